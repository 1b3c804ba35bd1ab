"""A sandbox for clients that block: it runs on a loop of its own, in a thread."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from zai_images.sandbox import Sandbox


@contextmanager
def in_thread(sandbox: Sandbox) -> Iterator[Sandbox]:
    """Run a sandbox beside the test, which may read its records meanwhile."""
    started = threading.Event()
    leave: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        done = asyncio.Event()
        async with sandbox:
            leave.append((asyncio.get_running_loop(), done))
            started.set()
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    started.wait()
    try:
        yield sandbox
    finally:
        [(loop, done)] = leave
        loop.call_soon_threadsafe(done.set)
        thread.join()
