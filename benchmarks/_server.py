"""
A loopback server in a process of its own: answers and pictures, as cheap as can be.

    with serving(delay=5.0) as base: ...

Raw `asyncio.Protocol` (on uvloop where it is installed), so that what is measured is
the client. The server is pinned to the last core and the client to the first.
"""

import argparse
import asyncio
import contextlib
import functools
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from typing import cast

from _report import raise_open_files
from service import PICTURE

CHUNK = 8192  # bytes of picture data in each chunk, as libpng writes them


@functools.cache
def picture(size: int) -> bytes:
    """Make a PNG file of about `size` bytes: real chunks, and no real image in them."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1024, 1024, 8, 2, 0, 0, 0))
    data = _chunk(b"IDAT", bytes(range(256)) * (CHUNK // 256))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            header,
            data * max(1, (size - 57) // len(data)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


@functools.cache
def _reply(target: bytes) -> bytes:
    """Write the whole answer for a path: `/pictures/5000000` is a file that long."""
    kind, body = b"application/json", PICTURE
    if b"/pictures/" in target:
        kind, body = b"image/png", picture(int(target.rpartition(b"/")[2]))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (kind, len(body)) + body


class _Connection(asyncio.Protocol):
    """Answer each request on one connection after a delay; bodies are not looked at."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float) -> None:
        self._loop = loop
        self._delay = delay
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        named = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        if len(rest) < int(named or 0):
            return
        self._buffer = b""
        reply = _reply(head.split(b" ", 2)[1])
        if self._delay:
            self._loop.call_later(self._delay, self._transport.write, reply)
        else:
            self._transport.write(reply)


def pin(core: int) -> None:
    """Stay on one core, the first (0) or the last (-1), where the system has that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})


async def _serve(delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Connection(loop, delay), "127.0.0.1", 0, backlog=16384
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started this holds its input open, and closing that ends it.
    await loop.run_in_executor(None, sys.stdin.read)


@contextlib.contextmanager
def serving(delay: float = 0.0) -> Iterator[str]:
    """Run the server beside this process; yields its address without a path."""
    command = [sys.executable, __file__, "--delay", str(delay)]
    with subprocess.Popen(  # noqa: S603 - itself
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
        pin(0)
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            if cores is not None:
                os.sched_setaffinity(0, cores)
            process.stdin.close()


def main() -> None:
    """Serve until the input is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0)
    asked = parser.parse_args()
    raise_open_files()
    pin(-1)
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - only if it is there
    except ImportError:
        from asyncio import new_event_loop  # noqa: PLC0415
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(asked.delay))


if __name__ == "__main__":
    main()
