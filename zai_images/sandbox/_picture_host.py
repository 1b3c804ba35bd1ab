"""The picture host: a second origin, which knows links and no API key."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl

import attrs
from aiohttp import web

from zai_images.sandbox._answers import BAD_SIGNATURE, MISSING_PICTURE, encode
from zai_images.sandbox._drawing.pictures import picture, plain
from zai_images.sandbox._faults import ORDINARY, PICTURE_TROUBLES, Fault
from zai_images.sandbox._validation import Order

_LIFETIME: Final = 30 * 24 * 3600
_SECRET_HEADERS: Final = ("Authorization", "Proxy-Authorization", "Cookie")
_HARMLESS_HEADERS: Final = ("User-Agent", "Accept", "Referer")
_DRAWERS: Final = 2


@attrs.frozen(kw_only=True)
class PictureRequest:
    """
    One request to the picture host.

    `headers` has those of Authorization, Proxy-Authorization and Cookie that came
    (their values as "***"), and User-Agent, Accept, Referer. `carried_key` tells
    whether the API key stood anywhere in the request line or the headers.
    """

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    carried_key: bool


@attrs.define(kw_only=True)
class _Shelf:
    """One picture that can be fetched, and the trouble that fetching it meets."""

    prompt: str
    width: int
    height: int
    query: dict[str, str]
    trouble: str | None = None
    fetches: int | None = None
    until: float | None = None

    def troubled(self, now: float) -> str | None:
        """Return the trouble of this fetch, and count the fetch."""
        if self.until is not None and now >= self.until:
            self.trouble = None
        trouble = self.trouble
        if self.fetches is not None:
            self.fetches -= 1
            if self.fetches == 0:
                self.trouble = None
        return trouble


class PictureHost:
    """
    Keep the pictures that were paid for, and make each when it is fetched.

    `requests` records every request in the order of the answers.
    """

    def __init__(self, *, api_key: str, drawn: bool) -> None:
        self.origin = ""
        self.requests: list[PictureRequest] = []
        self._api_key = api_key
        self._drawn = drawn
        self._shelves: dict[str, _Shelf] = {}
        self._drawers: ThreadPoolExecutor | None = None

    def link(
        self, order: Order, request_id: str, fault: Fault = ORDINARY, speed: float = 1
    ) -> str:
        """Put an order's picture on the shelf and return its signed link."""
        shelf = _Shelf(
            prompt=order.prompt,
            width=order.width,
            height=order.height,
            query={
                "Expires": str(int(time.time()) + _LIFETIME),
                "Signature": secrets.token_hex(20),
            },
        )
        if fault.action in PICTURE_TROUBLES:
            shelf.trouble = fault.action
            shelf.fetches = fault.fetches
            if fault.seconds is not None:
                now = asyncio.get_running_loop().time()
                shelf.until = now + fault.seconds / speed
        path = f"/sandbox/{request_id}.png"
        self._shelves[path] = shelf
        query = "&".join(f"{name}={value}" for name, value in shelf.query.items())
        return f"{self.origin}{path}?{query}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request and record it."""
        response = await self._answer(request)
        shown = {name: "***" for name in _SECRET_HEADERS if name in request.headers}
        for name in _HARMLESS_HEADERS:
            if name in request.headers:
                shown[name] = request.headers[name]
        everything = (request.path_qs, *request.headers.values())
        self.requests.append(
            PictureRequest(
                method=request.method,
                path=request.path,
                status=response.status,
                headers=MappingProxyType(shown),
                carried_key=any(self._api_key in text for text in everything),
            )
        )
        return response

    def close(self) -> None:
        """Let the drawing threads end; one that is drawing finishes its picture."""
        if self._drawers is not None:
            self._drawers.shutdown(wait=False, cancel_futures=True)
            self._drawers = None

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.method not in ("GET", "HEAD"):
            body = encode({"RetCode": -405, "ErrMsg": "method not allowed"})
            return _json(405, body, {"Allow": "GET, HEAD"})
        shelf = self._shelves.get(request.path)
        if shelf is None:
            return _json(404, MISSING_PICTURE)
        # Anything added to or missing from the query spoils the signature.
        if dict(parse_qsl(request.query_string)) != shelf.query:
            return _json(403, BAD_SIGNATURE)
        trouble = shelf.troubled(asyncio.get_running_loop().time())
        if trouble == "missing_picture":
            return _json(404, MISSING_PICTURE)
        if trouble == "expired_picture":
            return _json(403, BAD_SIGNATURE)
        data = await self._picture(shelf)
        response = web.Response(body=data, content_type="image/png")
        if trouble == "truncated_picture":
            cut(response, data)
        return response

    async def _picture(self, shelf: _Shelf) -> bytes:
        if not self._drawn:
            return plain(shelf.prompt, shelf.width, shelf.height)
        # Threads of our own: drawings must not queue before the user's own
        # `asyncio.to_thread` calls on the same loop.
        if self._drawers is None:
            self._drawers = ThreadPoolExecutor(_DRAWERS, "zai-images-sandbox")
        make = partial(picture, shelf.prompt, shelf.width, shelf.height, drawn=True)
        return await asyncio.get_running_loop().run_in_executor(self._drawers, make)


def cut(response: web.Response, body: bytes) -> None:
    """Make a response announce its whole body, send half of it and hang up."""
    response.headers["Content-Length"] = str(len(body))
    response.body = body[: len(body) // 2]
    response.force_close()


def _json(
    status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status, body=body, content_type="application/json", headers=headers
    )
