"""One timer for all attempts in flight."""

import asyncio

import pytest

from zai_images._http.deadlines import Deadlines

pytestmark = pytest.mark.looptime


class Watched:
    """An attempt that notes when its time was up."""

    def __init__(self) -> None:
        self.ended_at: float | None = None

    def expire(self) -> None:
        self.ended_at = asyncio.get_running_loop().time()


async def begun_at(clock: Deadlines, *seconds: float) -> list[Watched]:
    """Begin one attempt at each of these times."""
    attempts = []
    for at in seconds:
        await asyncio.sleep(at - asyncio.get_running_loop().time())
        attempts.append(Watched())
        clock.start(attempts[-1])
    return attempts


async def test_each_attempt_has_its_whole_time_whenever_it_began():
    attempts = await begun_at(Deadlines(10), 0, 1, 1, 7)
    await asyncio.sleep(60)

    ends = [one.ended_at for one in attempts]
    assert ends == pytest.approx([10, 11, 11, 17], abs=0.01)


async def test_an_attempt_that_ended_in_time_is_left_alone():
    clock = Deadlines(10)
    first, second, third = await begun_at(clock, 0, 1, 2)
    clock.stop(first)
    clock.stop(third)
    clock.stop(third)  # whether it runs or not
    await asyncio.sleep(60)

    assert (first.ended_at, third.ended_at) == (None, None)
    assert second.ended_at == pytest.approx(11, abs=0.01)


async def test_it_goes_on_after_a_time_in_which_nothing_was_out():
    clock = Deadlines(10)
    (first,) = await begun_at(clock, 0)
    await asyncio.sleep(60)
    (second,) = await begun_at(clock, 70)
    await asyncio.sleep(60)

    assert first.ended_at == pytest.approx(10, abs=0.01)
    assert second.ended_at == pytest.approx(80, abs=0.01)


async def test_closing_ends_what_runs_and_leaves_no_timer_behind():
    clock = Deadlines(10)
    attempts = await begun_at(clock, 0, 1)
    clock.close()
    ends = [one.ended_at for one in attempts]
    await asyncio.sleep(60)

    assert ends == pytest.approx([1, 1], abs=0.01)
    assert [one.ended_at for one in attempts] == ends


async def test_after_the_end_no_attempt_begins_that_nobody_would_end():
    clock = Deadlines(1)
    clock.close()
    late = Watched()
    clock.start(late)

    assert late.ended_at is not None
