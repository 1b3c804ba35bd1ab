"""Calls that are left while their session closes, or as it is closed."""

import asyncio
import gc

import pytest
from support.clients import scripted

from zai_images import BatchRunner, ConnectError, events
from zai_images._session.flight import Background, finish
from zai_images.testing import Script

# A sleep moves the virtual clock, and waits for nothing.
pytestmark = pytest.mark.looptime


def kinds(seen: list[events.Event]) -> list[str]:
    return [type(one).__name__ for one in seen]


async def leave(call: asyncio.Task) -> None:
    call.cancel()
    await asyncio.wait((call,))


async def test_who_leaves_as_the_closing_is_cancelled_is_abandoned_with_it():
    seen: list[events.Event] = []
    settings = {"finish_cancelled": True, "observer": seen.append}
    session = scripted(Script(delay=9), Script(delay=99), **settings)
    first = asyncio.create_task(session.generate("a fox"))
    second = asyncio.create_task(session.generate("a cat"))
    await asyncio.sleep(1)
    await leave(first)
    closing = asyncio.create_task(session.aclose())
    await asyncio.sleep(1)
    closing.cancel()
    second.cancel()  # it is left in the turn after the closing gave up
    await asyncio.wait((closing, second))

    assert kinds(seen).count("Abandoned") == 2
    assert session.stats().maybe_billed == 2
    assert asyncio.get_running_loop().time() == pytest.approx(2)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_who_leaves_a_closed_session_is_not_waited_for_by_anybody():
    seen: list[events.Event] = []
    settings = {"finish_cancelled": True, "observer": seen.append}
    session = scripted(Script(delay=9), **settings)
    call = asyncio.create_task(session.generate("a fox"))
    await asyncio.sleep(1)
    await session.aclose()  # the script's transport does not cut what it answers
    await leave(call)

    assert kinds(seen)[-1] == "Abandoned"
    assert session.stats().maybe_billed == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_answer_in_the_turn_in_which_a_closed_session_is_left_is_told():
    loop = asyncio.get_running_loop()
    seen: list[events.Event] = []

    def tell(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.Answered):
            loop.call_soon(call.cancel)

    session = scripted(Script(delay=9), finish_cancelled=True, observer=tell)
    call = asyncio.create_task(session.generate("a fox"))
    await asyncio.sleep(1)
    await session.aclose()
    await asyncio.wait((call,))
    await asyncio.sleep(0)

    assert call.cancelled()
    assert kinds(seen)[-1] == "Rescued"


async def test_what_ends_in_the_background_leaves_no_task_behind():
    seen: list[events.Event] = []
    settings = {"finish_cancelled": True, "observer": seen.append}
    session = scripted(Script(delay=9), **settings)
    call = asyncio.create_task(session.generate("a fox"))
    await asyncio.sleep(1)
    await leave(call)
    await asyncio.sleep(10)

    assert kinds(seen)[-1] == "Rescued"
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await session.aclose()


def test_a_loop_that_ends_in_the_middle_abandons_calls_and_a_run_without_a_warning():
    seen: list[events.Event] = []
    settings = {"finish_cancelled": True, "observer": seen.append}
    session = scripted(Script(delay=9), adaptive=False, **settings)

    async def begin() -> list[object]:
        begun = [
            asyncio.ensure_future(session.generate("a fox")),
            asyncio.ensure_future(BatchRunner(session).run(["a cat"] * 9)),
        ]
        await asyncio.sleep(0.05)
        return begun

    asyncio.run(begin())
    run = session.last_run
    asyncio.run(session.aclose())

    sent = kinds(seen).count("Sent")
    assert kinds(seen).count("Abandoned") == sent == session.stats().maybe_billed == 5
    # The loop cancels its tasks in any order: a call may end before its run is told.
    left = [*run.abandoned, *run.finished]
    assert sorted(one.index for one in left) == [0, 1, 2, 3]
    assert run.summary.maybe_billed == 4


async def test_a_cancelled_closing_ends_after_what_it_abandons():
    async def slow_to_end() -> None:
        try:
            await asyncio.sleep(99)
        finally:
            await asyncio.sleep(3)

    background = Background()
    task = asyncio.create_task(slow_to_end())
    background.adopt(task)
    closing = asyncio.create_task(background.drain())
    await asyncio.sleep(1)
    await leave(closing)

    assert closing.cancelled()
    assert task.done()


async def test_an_error_that_ends_a_call_as_it_is_left_unsent_is_no_stray_one():
    """What is nobody's any more must not be told as an error that nobody saw."""
    stray: list[dict] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: stray.append(context))

    async def work(flight):
        try:
            await asyncio.Event().wait()
        finally:
            raise ConnectError("the connection broke as it was closed")

    call = asyncio.create_task(finish(work, lambda *_: None))
    await asyncio.sleep(1)
    await leave(call)
    assert call.cancelled()
    call = None
    gc.collect()

    assert stray == []
