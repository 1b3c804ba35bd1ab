"""The input of a batch, and the lock of the worker that pulls from it."""

import asyncio
from collections.abc import Iterator

import pytest

from zai_images._batch.source import PullLock, Source


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


async def test_what_was_not_pulled_is_gone_through_to_the_inputs_own_error():
    def items() -> Iterator[str]:
        yield "a fox"
        yield "a bear"
        raise OSError("the disk is gone")

    source, seen = Source(items()), []
    await source.pull(None)
    with pytest.raises(OSError, match="the disk is gone"):
        async for found in source.rest():
            seen.append(found)

    assert (seen, source.exhausted) == ([(1, "a bear")], True)
