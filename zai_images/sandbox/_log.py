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
        """
        The body, decoded.

        Raises:
            ValueError: it is not JSON.
        """
        return json.loads(self.body)

    @property
    def prompt(self) -> str:
        """
        The prompt that the body holds.

        Raises:
            ValueError: it is not JSON.
            LookupError: it holds none.
        """
        prompt: str = self.json["prompt"]
        return prompt


class Log:
    """Every request to a handler, in the order of their arrival."""

    def __init__(self, api_key: str) -> None:
        self.requests: list[LoggedRequest] = []
        self._api_key = api_key

    def kept(self, handler: Handler) -> Handler:
        """Wrap a handler so that every request to it is kept."""

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            entry = await self._add(request)
            response = await handler(request)
            connection = request.transport
            if connection is not None and not connection.is_closing():
                entry.status = response.status
            return response

        return handle

    async def _add(self, request: web.BaseRequest) -> LoggedRequest:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            body = b""  # the handler finds that out for itself
        headers = request.headers.copy()
        for name, value in request.headers.items():
            secret = name.title() in SECRET_HEADERS
            headers[name] = "***" if secret else self._masked(value)
        entry = LoggedRequest(
            method=request.method,
            path=self._masked(request.path_qs),
            headers=headers,
            body=body,
            at=asyncio.get_running_loop().time(),
        )
        self.requests.append(entry)
        return entry

    def _masked(self, text: str) -> str:
        return text.replace(self._api_key, "***")
