"""What was asked of the API's origin, for tests of what a client sends."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import attrs
from aiohttp import web

SECRET_HEADERS: Final = ("Authorization", "Proxy-Authorization", "Cookie")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@attrs.define(kw_only=True)
class LoggedRequest:
    """
    A request to the API's origin, whatever became of it.

    `at` is the event loop's time at which it had arrived whole (with asyncio's own
    loops that of `time.monotonic()`). `headers` are found in any case; Authorization,
    Proxy-Authorization and Cookie are "***" there, and so is the key wherever else it
    stood. `status` is None while there is no answer, and stays so where nobody got one.
    """

    method: str
    path: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes
    at: float
    status: int | None = None

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the client has sent
        """The body, decoded; a ValueError where it is not JSON."""
        return json.loads(self.body)

    @property
    def prompt(self) -> str:
        """The prompt in the body; a ValueError or a LookupError where there is none."""
        prompt: str = self.json["prompt"]
        return prompt


def kept(handler: Handler, log: list[LoggedRequest], api_key: str) -> Handler:
    """Wrap a handler so that every request to it is logged, without the key."""

    def masked(text: str) -> str:
        return text.replace(api_key, "***")

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        headers = request.headers.copy()
        for name, value in request.headers.items():
            headers[name] = "***" if name.title() in SECRET_HEADERS else masked(value)
        entry = LoggedRequest(
            method=request.method,
            path=masked(request.path_qs),
            headers=headers,
            body=await read(request) or b"",
            at=asyncio.get_running_loop().time(),
        )
        log.append(entry)
        response = await handler(request)
        connection = request.transport
        if connection is not None and not connection.is_closing():
            entry.status = response.status
        return response

    return handle


async def read(request: web.BaseRequest) -> bytes | None:
    """Read a request's body; None is one too large to read."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        return None
