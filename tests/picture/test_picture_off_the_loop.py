"""Fetching and saving large pictures leaves the event loop to others."""

import asyncio
import contextlib
import functools
import os
import re
import struct
import sys
import threading
import time
import zlib
from pathlib import Path

from support.keys import KEY

from zai_images import ImageSession, SessionConfig


def big_png(side: int = 1300) -> bytes:
    """Make a real PNG of 5 MB: nothing in it is compressed."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + os.urandom(3 * side) for _ in range(side))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows, level=0))
        + chunk(b"IEND", b"")
    )


@contextlib.asynccontextmanager
async def a_host_elsewhere(folder: Path):
    """Serve a folder from another process: this one has only the client."""
    command = ("-u", "-m", "http.server", "0", "--bind", "127.0.0.1")
    host = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        line = await host.stdout.readline()
        yield re.search(rb"\((http://.*)/\)", line)[1].decode()
    finally:
        host.terminate()
        await host.communicate()


async def watch_the_loop(late: list[float], busy: list[float]) -> None:
    """Note each millisecond how late the loop comes back, and the CPU it used."""
    while True:
        begun, worked = time.perf_counter(), time.thread_time()
        await asyncio.sleep(0.001)
        late.append((time.perf_counter() - begun - 0.001) * 1000)
        busy.append((time.thread_time() - worked) * 1000)


async def test_pictures_are_saved_off_the_loop(monkeypatch, tmp_path, record_property):
    """50 pictures of 5 MB; how long the loop stalls is told, and not judged here."""
    waited: set[int] = set()

    def noted(real, *args):
        waited.add(threading.get_ident())
        return real(*args)

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, functools.partial(noted, getattr(os, name)))
    late: list[float] = []
    busy: list[float] = []
    data = big_png()
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "a.png").write_bytes(data)
    config = SessionConfig(api_key=KEY, base_url="http://127.0.0.1:9/api/paas/v4")
    async with a_host_elsewhere(tmp_path / "host") as host, ImageSession(config) as one:

        async def fetch_and_save(number: int) -> int:
            picture = await one.download(f"{host}/a.png")
            return (await picture.save(tmp_path / f"{number}.png")).stat().st_size

        ticker = asyncio.create_task(watch_the_loop(late, busy))
        sizes = await asyncio.gather(*(fetch_and_save(n) for n in range(50)))
        ticker.cancel()

    # The first depends on what else this machine does; the second is our own doing.
    figures = f"{max(late):.1f} ms; most CPU in between {max(busy):.1f} ms"
    record_property("longest stall of the loop", figures)
    print("50 x 5 MB fetched and saved; longest stall of the loop:", figures)  # noqa: T201
    assert len(data) > 5_000_000
    assert sizes == [len(data)] * 50
    assert waited
    assert threading.get_ident() not in waited
