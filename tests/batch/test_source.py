"""The lock of the worker that pulls: nobody waits for one that is free."""

import asyncio

from zai_images._batch.source import PullLock


async def hold(lock: PullLock, told: list[str], name: str) -> None:
    while not lock.acquire_nowait():
        await lock.released()
    told.append(name)


async def test_only_one_holds_it():
    lock, told = PullLock(), []
    assert lock.acquire_nowait()
    other = asyncio.create_task(hold(lock, told, "other"))
    await asyncio.sleep(0)
    assert told == []
    lock.release()
    await other
    assert told == ["other"]


async def test_who_waits_gets_it_when_it_is_released():
    lock, told = PullLock(), []
    assert lock.acquire_nowait()
    waits = asyncio.create_task(hold(lock, told, "waits"))
    await asyncio.sleep(0)
    assert told == []
    lock.release()
    await waits
    assert told == ["waits"]


async def test_who_is_awake_takes_it_before_those_who_wait():
    lock, told = PullLock(), []
    assert lock.acquire_nowait()
    waits = asyncio.create_task(hold(lock, told, "waits"))
    await asyncio.sleep(0)
    lock.release()
    assert lock.acquire_nowait()
    await asyncio.sleep(0)
    assert told == []
    lock.release()
    await waits


async def test_one_who_is_cancelled_as_it_is_released_tells_the_next():
    lock, told = PullLock(), []
    assert lock.acquire_nowait()
    first = asyncio.create_task(hold(lock, told, "first"))
    second = asyncio.create_task(hold(lock, told, "second"))
    await asyncio.sleep(0)
    lock.release()
    first.cancel()
    async with asyncio.timeout(5):
        await second
    assert told == ["second"]
    assert first.cancelled()


async def test_one_who_is_cancelled_while_it_waits_is_passed_over():
    lock, told = PullLock(), []
    assert lock.acquire_nowait()
    first = asyncio.create_task(hold(lock, told, "first"))
    second = asyncio.create_task(hold(lock, told, "second"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    lock.release()
    async with asyncio.timeout(5):
        await second
    assert told == ["second"]
