"""What SIGSTOP and SIGCONT do to a loop, without a second of real time."""

import asyncio

from support.faults import FaultServer, Wire
from support.plays import Step


def stop_the_process(seconds: float) -> None:
    """
    Let time pass in which this loop of virtual time could do nothing.

    A poll that was under way as the process stopped ends without events (EINTR), so
    what is due is run before any socket is looked at.
    """
    loop = asyncio.get_running_loop()
    loop.setup_looptime(start=loop.time() + seconds)
    polled = loop._selector.select

    def interrupted(timeout: float | None) -> list[object]:
        loop._selector.select = polled
        return []

    loop._selector.select = interrupted


def stopped(seconds: float) -> Step:
    """Make a step for a server: its client is stopped for so long."""

    async def step(server: FaultServer, wire: Wire) -> None:
        stop_the_process(seconds)

    return step


def unsent(data: bytes) -> Step:
    """Make a step that leaves to the kernel what it takes, and goes on at once."""

    async def step(server: FaultServer, wire: Wire) -> None:
        wire.writer.write(data)

    return step
