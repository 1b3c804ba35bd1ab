"""Whose turn it is to pull: nobody waits for a turn that is free."""

import asyncio

from zai_images._batch.turn import Turn


async def hold(turn: Turn, told: list[str], name: str) -> None:
    while not turn.take():
        await turn.given_back()
    told.append(name)


async def test_only_one_has_it():
    turn = Turn()
    assert turn.take()
    assert not turn.take()
    turn.give_back()
    assert turn.take()


async def test_who_waits_gets_it_when_it_is_given_back():
    turn, told = Turn(), []
    turn.take()
    waits = asyncio.create_task(hold(turn, told, "waits"))
    await asyncio.sleep(0)
    assert told == []
    turn.give_back()
    await waits
    assert told == ["waits"]


async def test_who_is_awake_takes_it_before_those_who_wait():
    turn, told = Turn(), []
    turn.take()
    waits = asyncio.create_task(hold(turn, told, "waits"))
    await asyncio.sleep(0)
    turn.give_back()
    assert turn.take()
    await asyncio.sleep(0)
    assert told == []
    turn.give_back()
    await waits


async def test_one_who_is_cancelled_as_it_is_given_back_tells_the_next():
    turn, told = Turn(), []
    turn.take()
    first = asyncio.create_task(hold(turn, told, "first"))
    second = asyncio.create_task(hold(turn, told, "second"))
    await asyncio.sleep(0)
    turn.give_back()
    first.cancel()
    async with asyncio.timeout(5):
        await second
    assert told == ["second"]
    assert first.cancelled()


async def test_one_who_is_cancelled_while_it_waits_is_passed_over():
    turn, told = Turn(), []
    turn.take()
    first = asyncio.create_task(hold(turn, told, "first"))
    second = asyncio.create_task(hold(turn, told, "second"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    turn.give_back()
    async with asyncio.timeout(5):
        await second
    assert told == ["second"]
