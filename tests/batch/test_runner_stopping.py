"""What stops a batch, and what becomes of it when its reader leaves."""

import asyncio
import itertools
from collections import UserDict
from collections.abc import AsyncIterator, Iterator

import pytest
from support.clients import (
    KEY,
    client,
    plain,
    refusing,
    scripted,
)
from support.strange import answering, refusal

from zai_images import (
    AccountError,
    BatchRunner,
    BudgetError,
    Done,
    Failed,
    ImageRequest,
    ImageSession,
    SessionConfig,
)
from zai_images.sandbox import Fault
from zai_images.testing import Script, ScriptedTransport

pytestmark = pytest.mark.looptime


class TestStopping:
    async def test_an_empty_account_costs_at_most_the_places_in_posts(self):
        """1,000 prompts, one clear error, and an outcome for each all the same."""
        async with answering((429, refusal("1113", "no balance"))) as server:
            config = SessionConfig(api_key=KEY, base_url=server.base_url)
            async with ImageSession(config) as session:
                outcomes = await BatchRunner(session).run(
                    f"fox {n}" for n in range(1000)
                )
                assert server.posts <= 5
                assert session.stats().maybe_billed == 0

        assert [one.index for one in outcomes] == list(range(1000))
        assert all(isinstance(one.error, AccountError) for one in outcomes)
        assert sum(one.attempts for one in outcomes) <= 5
        assert outcomes[-1].attempts == 0
        assert outcomes[-1].request == ImageRequest("fox 999")

    async def test_a_stream_yields_what_was_in_flight_and_then_raises(self):
        faults = [Fault(nth=4, code="1113", status=429)]
        async with plain(limit=5, faults=faults) as sandbox:
            async with client(sandbox) as session:
                seen = []
                with pytest.raises(AccountError, match="no balance"):
                    async with BatchRunner(session).run(itertools.repeat("a")) as run:
                        async for one in run:
                            seen.append(one)

            assert sandbox.requests <= 5

        assert [type(one) for one in seen].count(Failed) == 1
        assert [type(one) for one in seen].count(Done) == len(seen) - 1 >= 3
        assert len(run.unsent) <= 1
        assert run.abandoned == []

    async def test_nothing_refused_is_sent_again_after_the_stop(self):
        """A refused item that waits to be sent again is not sent any more."""
        transport = ScriptedTransport(
            [refusing("1305", delay=0.5), refusing("1113", delay=1), Script()]
        )
        async with ImageSession(
            SessionConfig(api_key=KEY, max_in_flight=2), http=transport
        ) as session:
            outcomes = await BatchRunner(session).run(["a", "b", "c", "d"])

        assert transport.posts == 2
        assert asyncio.get_running_loop().time() < 3
        assert [one.attempts for one in outcomes] == [1, 1, 0, 0]
        assert [one.error.code for one in outcomes] == ["1113"] * 4

    async def test_a_refusal_that_comes_after_the_stop_is_not_waited_out(self):
        transport = ScriptedTransport(
            [refusing("1113", delay=1), refusing("1305", delay=2), Script()]
        )
        async with ImageSession(
            SessionConfig(api_key=KEY, max_in_flight=2), http=transport
        ) as session:
            outcomes = await BatchRunner(session).run(["a", "b", "c"])

        assert transport.posts == 2
        assert asyncio.get_running_loop().time() < 3
        assert len(outcomes) == 3

    async def test_a_model_the_plan_lacks_stops_only_that_model(self):
        class Plan(ScriptedTransport):
            async def post(self, body, *, on_write):
                if b"glm-image" in body:
                    self._script = [refusing("1311", delay=1)]
                else:
                    self._script = [Script(delay=2)]
                return await super().post(body, on_write=on_write)

        items = [
            {"prompt": f"fox {n}", "model": ("glm-image", "cogview-4-250304")[n % 2]}
            for n in range(40)
        ]
        transport = Plan(record=True)
        config = SessionConfig(api_key=KEY, adaptive=False)
        async with ImageSession(config, http=transport) as session:
            outcomes = await BatchRunner(session).run(items)

        sent = sum(b"glm-image" in body for body in transport.bodies)
        assert sent <= 5
        assert [type(one) for one in outcomes] == [Failed, Done] * 20
        assert {one.error.code for one in outcomes[::2]} == {"1311"}
        assert sum(one.attempts for one in outcomes[::2]) == sent

    async def test_a_spent_budget_stops_the_run(self):
        transport = ScriptedTransport([Script(delay=1)])
        async with ImageSession(api_key=KEY, http=transport, max_pictures=7) as session:
            outcomes = await BatchRunner(session).run(["a fox"] * 20)

        assert transport.posts == 7
        assert [type(one) for one in outcomes].count(Done) == 7
        assert isinstance(outcomes[-1].error, BudgetError)

    async def test_stop_yields_what_is_in_flight_and_sends_nothing_new(self):
        async with plain(limit=5) as sandbox, client(sandbox) as session:
            seen = []
            async with BatchRunner(session).run(itertools.repeat("a fox")) as run:
                async for one in run:
                    seen.append(one)
                    if len(seen) == 3:
                        run.stop()

            assert len(seen) == sandbox.bill.total <= 3 + 5
        assert run.abandoned == []
        assert run.summary.done == len(seen)

    async def test_stop_reaches_an_awaited_run_too(self):
        async with scripted(Script(delay=5), max_in_flight=2) as session:
            run = BatchRunner(session).run(["a fox"] * 10)
            asyncio.get_running_loop().call_later(7, run.stop)
            outcomes = await run

        assert [type(one) for one in outcomes] == [Done] * 4 + [Failed] * 6
        assert "stopped by stop()" in str(outcomes[-1].error)
        assert outcomes[-1].error.billed == "no"

    async def test_stop_before_the_start_sends_nothing(self):
        async with scripted() as session:
            run = BatchRunner(session).run(["a fox"] * 3)
            run.stop()
            outcomes = await run

            assert session.requester._http.posts == 0
        assert [one.attempts for one in outcomes] == [0, 0, 0]

    async def test_an_awaited_run_pulls_an_async_input_to_its_end_after_a_stop(self):
        async def prompts() -> AsyncIterator[str]:
            for n in range(20):
                await asyncio.sleep(1)
                yield f"fox {n}"

        async with scripted(refusing("1113", delay=3)) as session:
            outcomes = await BatchRunner(session).run(prompts())

            assert session.requester._http.posts <= 5
        assert [one.index for one in outcomes] == list(range(20))

    async def test_a_stuck_input_does_not_hold_a_stopped_stream(self):
        async def prompts() -> AsyncIterator[str]:
            yield "a fox"
            await asyncio.Event().wait()
            yield "never"  # pragma: no cover

        async with scripted() as session:
            async with BatchRunner(session).run(prompts()) as run:
                async for _ in run:
                    run.stop()

        assert run.summary.done == 1

    async def test_an_item_that_stops_its_run_is_not_sent_itself(self):
        class Last(UserDict):
            def __iter__(self):
                run.stop()
                return super().__iter__()

        items = [Last(prompt="a fox"), "a cat"]
        async with scripted() as session:
            run = BatchRunner(session).run(items)
            async with run:
                assert [one async for one in run] == []

            assert session.requester._http.posts == 0
        assert run.summary.unsent == 1


class TestLeaving:
    async def test_leaving_early_cancels_and_says_what_was_abandoned(self):
        async with plain(limit=5) as sandbox, client(sandbox) as session:
            async with BatchRunner(session).run(f"fox {n}" for n in range(99)) as run:
                first = await anext(run)

            # One may have been written and not read yet: nobody here can know.
            assert sandbox.bill.total <= 1 + len(run.abandoned)
            assert session.stats().maybe_billed == len(run.abandoned) >= 4
        assert first.index not in {one.index for one in run.abandoned}
        assert all(isinstance(one.request, ImageRequest) for one in run.abandoned)
        assert run.summary.abandoned == len(run.abandoned)

    async def test_paid_pictures_nobody_read_are_abandoned_with_their_links(self):
        async with scripted() as session:
            async with BatchRunner(session).run(["a fox"] * 5) as run:
                await anext(run)
                await asyncio.sleep(1)

        assert [one.response.url for one in run.abandoned] == [
            "https://example.com/picture.png"
        ] * 4

    async def test_leaving_after_stop_waits_for_what_is_in_flight(self):
        async with plain(limit=5) as sandbox, client(sandbox) as session:
            async with BatchRunner(session).run(f"fox {n}" for n in range(99)) as run:
                await anext(run)
                run.stop()

            assert session.stats().maybe_billed == 0
            assert sandbox.bill.total == 1 + len(run.abandoned)
        assert all(one.response for one in run.abandoned)

    async def test_an_error_in_the_block_passes_as_it_is(self):
        async with scripted() as session:
            with pytest.raises(ZeroDivisionError):
                async with BatchRunner(session).run(["a fox"] * 9) as run:
                    async for _ in run:
                        _ = 1 / 0

    async def test_cancelling_an_awaited_run_keeps_what_had_finished(self):
        async with plain(limit=5) as sandbox, client(sandbox) as session:
            run = BatchRunner(session).run(f"fox {n}" for n in range(99))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(30):
                    await run

            known = len(run.finished) + len(run.abandoned)
            assert known == sandbox.bill.total
            assert len(run.finished) >= 10
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [t for t in tasks if "zai_images/_" in repr(t.get_coro())]

    async def test_an_input_that_raises_ends_the_run_after_what_was_in_flight(self):
        def prompts() -> Iterator[str]:
            yield "a fox"
            yield "a cat"
            raise LookupError("the database went away")

        async with scripted(Script(delay=5)) as session:
            seen = []
            with pytest.raises(LookupError):
                async with BatchRunner(session).run(prompts()) as run:
                    async for one in run:
                        seen.append(one)
            assert [type(one) for one in seen] == [Done, Done]

            run = BatchRunner(session).run(prompts())
            with pytest.raises(LookupError):
                await run
            assert [type(one) for one in run.finished] == [Done, Done]

    async def test_an_error_that_is_not_ours_ends_the_run_and_loses_nothing(self):
        """A bug, or a disk that is full in a ledger: what is paid still comes out."""
        broken = Script(error=MemoryError("not ours"), delay=1)
        async with scripted(broken, Script(delay=2), adaptive=False) as session:
            seen = []
            with pytest.raises(MemoryError):
                async with BatchRunner(session).run(["a fox"] * 9) as run:
                    async for one in run:
                        seen.append(one)

        assert [type(one) for one in seen] == [Done] * 4
        assert [one.index for one in run.abandoned] == [0]

    async def test_of_several_such_errors_the_first_is_raised(self):
        broken = [
            Script(error=MemoryError(f"{n}"), delay=delay)
            for n, delay in enumerate((2, 1, 3))
        ]
        async with scripted(*broken, adaptive=False) as session:
            run = BatchRunner(session).run(["a fox"] * 3)
            with pytest.raises(MemoryError, match="1"):
                await run

        assert [one.index for one in run.abandoned] == [1, 0, 2]

    async def test_an_input_that_raises_at_once_raises_that_and_no_more(self):
        def prompts() -> Iterator[str]:
            raise LookupError("the database is away")
            yield "never"

        async with scripted() as session:
            with pytest.raises(LookupError) as caught:
                await BatchRunner(session).run(prompts())

        assert not getattr(caught.value, "__notes__", None)

    async def test_who_waits_for_a_place_gives_back_the_batchs_own(self):
        async with scripted(Script(delay=5), max_in_flight=1) as session:
            runner = BatchRunner(session, limit=3)
            async with runner.run(["a fox"] * 9) as run:
                await asyncio.sleep(1)  # one is at the service, and one waits

            assert session.requester._http.posts == 1
            assert len(await runner.run(["a fox"] * 9)) == 9
        assert run.summary.abandoned == run.summary.maybe_billed == 1
