"""A server that breaks connections: plain asyncio, so that every byte is ours."""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import stat
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

PICTURE = json.dumps(
    {"created": 1, "data": [{"url": "https://example.com/a.png"}]}
).encode()


def ok(body: bytes = PICTURE, *, length: int | None = None, status: int = 200) -> bytes:
    """Write a whole answer; `length` is what its Content-Length claims."""
    claimed = len(body) if length is None else length
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
    return (head + f"Content-Length: {claimed}\r\n\r\n").encode() + body


class Wire:
    """One connection, with the verbs of trouble."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer
        self._socket = writer.transport.get_extra_info("socket")

    async def request(self) -> bytes:
        """Read one request whole; raises IncompleteReadError at the end."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().splitlines()
            if line.startswith(b"content-length")
        )
        return head + await self.reader.readexactly(length)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    @property
    def is_open(self) -> bool:
        """Whether this end of the connection is."""
        return self._socket.fileno() >= 0

    def shut(self) -> None:
        """Close at once, without a turn of the loop in between."""
        sock = self.writer.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Break off with RST, as a crashed peer does."""
        sock = self.writer.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[["FaultServer", Wire], Awaitable[None]]


class FaultServer:
    """
    Play a script on each connection; count the requests that arrived whole.

    With `tls` every byte is inside it, and `base_url` is https.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.tls = tls
        self.posts = 0
        self.connections = 0
        self.wires: list[Wire] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.seen: list[bytes] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self.tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._before = open_sockets()
        scheme = "http" if self.tls is None else "https"
        self.base_url = f"{scheme}://127.0.0.1:{self.port}/api/paas/v4"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for wire in self.wires:
            wire.writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    async def all_gone(self) -> None:
        """Wait until no socket is open but the server's own."""
        async with asyncio.timeout(5):
            while open_sockets() > self._before + sum(w.is_open for w in self.wires):
                await asyncio.sleep(0.1)

    def stop_listening(self) -> None:
        """Take no new connections; those there are stay."""
        self._server.close()

    async def read(self, wire: Wire) -> None:
        """Take one request, and count it."""
        self.seen.append(await wire.request())
        self.posts += 1

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        wire = Wire(reader, writer)
        self.wires.append(wire)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError)
        with contextlib.suppress(*ends):
            await self.script(self, wire)
        writer.close()
        with contextlib.suppress(*ends):
            await writer.wait_closed()
        self._tasks.discard(task)


def open_sockets() -> int:
    """Count the sockets of this process."""
    count = 0
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself
            count += stat.S_ISSOCK(os.fstat(int(name)).st_mode)
    return count


def unused_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
