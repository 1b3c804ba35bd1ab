"""The gate's queue: who goes first, and that no place is ever lost."""

import asyncio
import math

import pytest
from support.limits import refusal

from zai_images._limiter.gate import End, Gate

pytestmark = pytest.mark.looptime


class Places:
    """A decision that a test can change at will, and that keeps what it is told."""

    reason = "told"

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.opens_at = 0.0
        self.ask_again: float | None = None
        self.told: list[tuple] = []

    def may_send(self, now, in_flight):
        return in_flight < self.limit and now >= self.opens_at, self.ask_again

    def on_send(self, sent, now):
        self.told.append(("sent", sent.others))

    def on_withdrawn(self, sent):
        self.told.append(("withdrawn",))

    def on_refused(self, sent, now, in_flight, error):
        self.told.append(("refused", in_flight, error.code))

    def on_answer(self, sent, now, *, picture):
        self.told.append(("answer", picture))


class Callers:
    """Calls that wait at a gate, and the order in which they were let in."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.let_in: list[str] = []
        self.held = {}

    async def come(self, name, *, batch=False, again=False):
        """Let one more call wait, and tell its task."""

        async def wait():
            sent = await self.gate.enter("standard", batch=batch, again=again)
            self.let_in.append(name)
            self.held[name] = sent

        task = asyncio.create_task(wait())
        await turns()
        return task

    async def leave(self, name, verdict=End.PICTURE):
        self.gate.leave(self.held.pop(name), verdict)
        await turns()


async def turns():
    for _ in range(3):
        await asyncio.sleep(0)


async def test_single_calls_go_before_batches_and_refused_ones_before_new_ones():
    callers = Callers(Gate(Places(1)))
    await callers.come("first")
    await callers.come("batch", batch=True)
    await callers.come("batch, refused", batch=True, again=True)
    await callers.come("single")
    await callers.come("another single")
    await callers.come("single, refused", again=True)
    while callers.held:
        await callers.leave(callers.let_in[-1])

    assert callers.let_in == [
        "first",
        "single, refused",
        "single",
        "another single",
        "batch, refused",
        "batch",
    ]


async def test_nobody_overtakes_the_queue_though_a_place_is_free():
    places = Places(1)
    gate = Gate(places)
    callers = Callers(gate)
    assert gate.enter_at_once("standard") is not None
    await callers.come("waits")
    places.limit = 2

    assert gate.enter_at_once("standard") is None
    await callers.come("comes later")
    assert callers.let_in == ["waits"]


async def test_a_request_is_told_how_many_others_are_out():
    places = Places(3)
    gate = Gate(places)
    sends = [gate.enter_at_once("hd") for _ in range(3)]

    assert [sent.others for sent in sends] == [0, 1, 2]
    assert {sent.quality for sent in sends} == {"hd"}
    assert gate.enter_at_once("hd") is None
    assert gate.in_flight == 3


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (End.UNSENT, ("withdrawn",)),
        (End.ANSWER, ("answer", False)),
        (End.PICTURE, ("answer", True)),
        (refusal("1302"), ("refused", 1, "1302")),
    ],
)
async def test_what_became_of_a_request_is_learned_and_its_place_is_free(verdict, told):
    places = Places(2)
    gate = Gate(places)
    first, _ = gate.enter_at_once("standard"), gate.enter_at_once("standard")
    gate.leave(first, verdict)

    assert places.told[-1] == told
    assert gate.in_flight == 1
    assert gate.enter_at_once("standard") is not None


async def test_one_who_gives_up_waiting_is_passed_over():
    callers = Callers(Gate(Places(1)))
    await callers.come("first")
    gone = await callers.come("gives up")
    await callers.come("waits")
    gone.cancel()
    await callers.leave("first")

    assert callers.let_in == ["first", "waits"]
    assert callers.gate.in_flight == 1


async def test_one_who_is_cancelled_as_it_is_let_in_gives_its_place_to_the_next():
    places = Places(1)
    callers = Callers(Gate(places))
    await callers.come("first")
    unlucky = await callers.come("cancelled")
    await callers.come("waits")
    callers.gate.leave(callers.held.pop("first"), End.PICTURE)
    await asyncio.sleep(0)  # it is let in now, and has not noticed yet
    unlucky.cancel()
    await turns()

    assert callers.let_in == ["first", "waits"]
    assert ("withdrawn",) in places.told
    assert callers.gate.in_flight == 1


async def test_a_refused_request_is_back_in_the_queue_before_others_are_let_in():
    callers = Callers(Gate(Places(1)))
    await callers.come("refused")
    waits = await callers.come("waits")
    callers.gate.leave(callers.held.pop("refused"), refusal("1302"))
    sent = await callers.gate.enter("standard", batch=False, again=True)
    assert not waits.done()
    callers.gate.leave(sent, End.PICTURE)
    await waits

    assert callers.let_in == ["refused", "waits"]


async def test_it_asks_again_when_the_decision_says_so(looptime):
    places = Places(1)
    places.opens_at = places.ask_again = 30.0
    callers = Callers(Gate(places))
    task = await callers.come("waits")
    await task

    assert looptime == pytest.approx(30, abs=0.01)


@pytest.mark.parametrize("never", [None, math.inf])
async def test_it_is_not_woken_where_only_an_answer_can_change_anything(
    looptime, never
):
    places = Places(1)
    callers = Callers(Gate(places))
    await callers.come("first")
    places.ask_again = never
    await callers.come("waits")
    await asyncio.sleep(1000)
    assert callers.let_in == ["first"]
    await callers.leave("first")

    assert callers.let_in == ["first", "waits"]
    assert 1000 <= looptime < 1000.1


async def test_a_change_of_the_limit_is_told_once():
    changes = []
    places = Places(1)
    gate = Gate(places, lambda *change: changes.append(change))
    for limit in (3, 3, 2):
        places.limit = limit
        gate.leave(gate.enter_at_once("standard"), End.PICTURE)

    assert changes == [(1, 3, "told"), (3, 2, "told")]
