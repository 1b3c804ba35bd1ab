"""What may be spent: caps that count what is in flight, and a ledger's exact words."""

import asyncio
import contextlib

import pytest
from support.clients import (
    KEY,
    refusing,
    scripted,
)

from zai_images import (
    AnswerLostError,
    BudgetError,
    ConfigurationError,
    ImageRequest,
    ImageSession,
    RetryPolicy,
    SessionConfig,
    ZaiImagesError,
)
from zai_images.testing import Script, ScriptedTransport


class TestBudget:
    async def test_max_pictures_counts_what_is_in_flight(self):
        async with scripted(Script(delay=0.001), max_pictures=3) as session:
            calls = [session.generate(f"fox {n}") for n in range(5)]
            results = await asyncio.gather(*calls, return_exceptions=True)

            assert [type(r) for r in results].count(BudgetError) == 2
            assert session.requester._http.posts == 3

    async def test_max_cost_is_never_exceeded(self):
        prices = {"cogview-4-250304": 0.01}
        config = SessionConfig(api_key=KEY, prices=prices)
        transport = ScriptedTransport()
        async with ImageSession(config, http=transport, max_cost=0.1) as session:
            for _ in range(10):
                await session.generate("a fox")
            with pytest.raises(BudgetError, match=r"\$0\.1 is reached"):
                await session.generate("a fox")

            assert transport.posts == 10
            assert session.stats().cost == pytest.approx(0.1)

    @pytest.mark.parametrize(
        ("code", "left"), [("1301", True), ("1302", True), ("1234", False)]
    )
    async def test_what_may_be_billed_counts_as_spent(self, code, left):
        failed = refusing(code, 400)
        config = SessionConfig(api_key=KEY, retry=RetryPolicy(server_errors=0))
        transport = ScriptedTransport([failed, Script()])
        async with ImageSession(config, http=transport, max_pictures=1) as session:
            with contextlib.suppress(ZaiImagesError):
                await session.generate("a fox", max_wait=0)
            if left:
                await session.generate("a fox")
            else:
                with pytest.raises(BudgetError):
                    await session.generate("a fox")

    async def test_a_cap_on_an_unknown_cost_cannot_be_kept(self):
        async with ImageSession(
            api_key=KEY, base_url="https://example.com/v4", max_cost=1
        ) as session:
            with pytest.raises(ConfigurationError, match="prices="):
                await session.generate("a fox")

    async def test_the_list_price_is_known_on_the_services_own_host_only(self):
        async with scripted() as session:
            await session.generate("a fox")
            await session.generate("a fox", model="glm-image")
            assert session.stats().cost == pytest.approx(0.025)
        async with scripted(base_url="https://example.com/v4") as session:
            await session.generate("a fox")
            assert session.stats().cost is None


class RecordingLedger:
    """Write down every word a ledger is told, and raise where it is asked to."""

    def __init__(self, raise_in: str = "") -> None:
        self.words: list[tuple] = []
        self._raise_in = raise_in

    def _note(self, word: str, *rest: object) -> None:
        self.words.append((word, *rest))
        if word == self._raise_in:
            raise OSError("disk full")

    async def before_send(self, request, attempt) -> None:
        self._note("before_send", request.prompt, attempt)

    async def answered(self, raw) -> None:
        self._note("answered", raw.status)

    async def settled(self, attempt, billed) -> None:
        self._note("settled", attempt, billed)


class TestLedger:
    @pytest.mark.looptime
    async def test_it_is_told_of_each_attempt_in_its_exact_place(self):
        refused = refusing("1302")
        ledger = RecordingLedger()
        async with scripted(refused, Script()) as session:
            await session.requester.answer(ImageRequest("a fox"), ledger=ledger)

        assert ledger.words == [
            ("before_send", "a fox", 1),
            ("answered", 429),
            ("settled", 1, "no"),
            ("before_send", "a fox", 2),
            ("answered", 200),
            ("settled", 2, "yes"),
        ]

    async def test_it_hears_of_an_answer_before_anything_decodes_it(self):
        ledger = RecordingLedger()
        async with scripted(Script(body=b"\xff")) as session:
            with pytest.raises(AnswerLostError):
                await session.requester.answer(ImageRequest("a fox"), ledger=ledger)

        assert ledger.words[1:] == [("answered", 200), ("settled", 1, "maybe")]

    async def test_its_errors_are_fatal_and_nothing_is_sent_after_one(self):
        ledger = RecordingLedger(raise_in="before_send")
        async with scripted(max_pictures=1) as session:
            with pytest.raises(OSError, match="disk full"):
                await session.requester.answer(ImageRequest("a fox"), ledger=ledger)
            assert session.requester._http.posts == 0
            assert ledger.words[-1] == ("settled", 1, "no")

            await session.generate("the budget was given back")

    async def test_an_answer_it_could_not_record_may_be_billed(self):
        ledger = RecordingLedger(raise_in="answered")
        async with scripted() as session:
            with pytest.raises(OSError, match="disk full"):
                await session.requester.answer(ImageRequest("a fox"), ledger=ledger)

        assert ledger.words[-1] == ("settled", 1, "maybe")

    async def test_it_is_told_once_more_when_the_call_is_cancelled(self):
        for written, billed in [(True, "maybe"), (False, "no")]:
            ledger = RecordingLedger()
            async with scripted(Script(delay=60, written=written)) as session:
                call = asyncio.create_task(
                    session.requester.answer(ImageRequest("a fox"), ledger=ledger)
                )
                while not ledger.words:
                    await asyncio.sleep(0)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call

            assert ledger.words[1:] == [("settled", 1, billed)]
