"""Small real pictures, and a host that serves them as a test wishes."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiohttp import web
from PIL import Image


def picture(kind: str = "PNG", size: tuple[int, int] = (32, 16), **options) -> bytes:
    """Make a picture with Pillow, in whatever format."""
    buffer = io.BytesIO()
    Image.effect_noise(size, 50).convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PictureHost:
    """Serve pictures on loopback; keep the headers of everyone who asked."""

    def __init__(self, handler: Handler | None = None) -> None:
        self.handler = handler or self.plain
        self.requests: list[web.BaseRequest] = []

    async def plain(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0)
        return web.Response(body=picture(), content_type="image/png")

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        return await self.handler(request)

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}/a.png?Signature=s3cret"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()
