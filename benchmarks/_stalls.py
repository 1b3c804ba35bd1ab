"""How long an event loop did nothing else: a ticker that is late when others dawdle."""

import asyncio
import time

TICK = 0.001


async def longest_gap() -> dict[str, float]:
    """
    Tick until cancelled; returns by how much the latest tick was late.

    A stall is what the loop's thread did, or that it was kept from running by threads
    or other processes: its own CPU time between two ticks tells the two apart.
    """
    stall = busy = 0.0
    try:
        while True:
            begun, spent = time.perf_counter(), time.thread_time()
            await asyncio.sleep(TICK)
            stall = max(stall, time.perf_counter() - begun - TICK)
            busy = max(busy, time.thread_time() - spent)
    except asyncio.CancelledError:
        return {"longest stall ms": stall * 1000, "busy in one ms": busy * 1000}
