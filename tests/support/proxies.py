"""A real proxy: CONNECT for https, absolute addresses for http, and all is kept."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """
    Pass on to the one place it is told, whatever name is asked for.

    Attributes:
        heads: What was said to the proxy itself, in the clear.
        tunnelled: Every byte that went through a tunnel towards the server.
    """

    def __init__(self, port: int, *, secret: str | None = None) -> None:
        self._target = port
        self._secret = secret
        self.heads: list[bytes] = []
        self.tunnelled = b""
        self._tasks: set[asyncio.Task] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader, writer) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        ends = (asyncio.IncompleteReadError, ConnectionError)
        try:
            with contextlib.suppress(*ends):
                await self._pass_on(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._tasks.discard(task)

    async def _pass_on(self, reader, writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if self._secret and self._secret.encode() not in head:
            writer.write(b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n")
            return
        upstream, out = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            if head.startswith(b"CONNECT"):
                writer.write(b"HTTP/1.1 200 X\r\n\r\n")
            else:
                method, address, rest = head.split(b" ", 2)
                out.write(b" ".join((method, urlsplit(address).path, rest)))
            await asyncio.gather(
                self._copy(reader, out, kept=True), self._copy(upstream, writer)
            )
        finally:
            out.close()
            with contextlib.suppress(ConnectionError):
                await out.wait_closed()

    async def _copy(self, reader, writer, *, kept: bool = False) -> None:
        while data := await reader.read(2**16):
            if kept:
                self.tunnelled += data
            writer.write(data)
            await writer.drain()
        writer.close()
