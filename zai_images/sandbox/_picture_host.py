"""The picture host: a second origin, which knows links and no API key."""

import asyncio
import math
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, urlencode

import attrs
from aiohttp import web

from zai_images.sandbox._answers import BAD_SIGNATURE, MISSING_PICTURE, WRONG_METHOD
from zai_images.sandbox._drawing.pictures import drawn, plain
from zai_images.sandbox._faults import PICTURE_TROUBLES, Fault
from zai_images.sandbox._log import SECRET_HEADERS
from zai_images.sandbox._validation import Order

_LIFETIME: Final = 30 * 24 * 3600
_HARMLESS_HEADERS: Final = ("User-Agent", "Accept", "Referer")


@attrs.frozen(kw_only=True)
class PictureRequest:
    """
    A request to the picture host.

    `headers` has those of Authorization, Proxy-Authorization and Cookie that came
    (their values as "***"), and User-Agent, Accept, Referer. `carried_key` tells
    whether the API key stood anywhere in the request line or the headers.
    """

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    carried_key: bool


@attrs.define
class _Shelf:
    """A picture that can be fetched, and the trouble that fetching it meets."""

    order: Order
    query: Mapping[str, str]
    trouble: str | None
    fetches: int | None
    until: float

    def troubled(self, now: float) -> str | None:
        """Return the trouble of this fetch, and count the fetch."""
        if now >= self.until or self.fetches == 0:
            self.trouble = None
        if self.fetches:
            self.fetches -= 1
        return self.trouble


class PictureHost:
    """
    The pictures that were paid for, each of which is made when it is fetched.

    `requests` records every request in the order of the answers.
    """

    def __init__(self, *, api_key: str, drawn: bool) -> None:
        self.origin = ""
        self.requests: list[PictureRequest] = []
        self._api_key = api_key
        self._drawn = drawn
        self._shelves: dict[str, _Shelf] = {}
        self.drawers: ThreadPoolExecutor | None = None

    def link(self, order: Order, request_id: str, fault: Fault, speed: float) -> str:
        """Put an order's picture on the shelf and return its signed link."""
        query = {
            "Expires": str(int(time.time()) + _LIFETIME),
            "Signature": secrets.token_hex(20),
        }
        trouble = fault.action if fault.action in PICTURE_TROUBLES else None
        until = math.inf
        if fault.seconds is not None:
            until = asyncio.get_running_loop().time() + fault.seconds / speed
        path = f"/sandbox/{request_id}.png"
        self._shelves[path] = _Shelf(order, query, trouble, fault.fetches, until)
        return f"{self.origin}{path}?{urlencode(query)}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request and record it."""
        response = await self._answer(request)
        shown = {
            name: "***" if name in SECRET_HEADERS else request.headers[name]
            for name in (*SECRET_HEADERS, *_HARMLESS_HEADERS)
            if name in request.headers
        }
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

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.method not in ("GET", "HEAD"):
            return _json(405, WRONG_METHOD, {"Allow": "GET, HEAD"})
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
        data = await self._picture(shelf.order)
        response = web.Response(body=data, content_type="image/png")
        if trouble == "truncated_picture":
            cut(response, data)
        return response

    async def _picture(self, order: Order) -> bytes:
        width, height = map(int, order.size.split("x"))
        if not self._drawn:
            return plain(order.prompt, width, height)
        make = partial(drawn, order.prompt, width, height)
        return await asyncio.get_running_loop().run_in_executor(self.drawers, make)


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
