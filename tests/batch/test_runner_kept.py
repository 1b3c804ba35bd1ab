"""What a run keeps when it is cut short, and where a person finds it."""

import asyncio
import gc
import itertools
import traceback

import attrs
import pytest
from support.clients import client, plain, refusing, scripted

from zai_images import BatchRunner, Done, Failed, events
from zai_images.testing import Script

# A sleep moves the virtual clock, and waits for nothing.
pytestmark = pytest.mark.looptime


def indices(outcomes) -> list[int]:
    return sorted(one.index for one in outcomes)


class TestAwaited:
    async def test_a_time_out_keeps_what_had_finished_and_says_so(self):
        async with scripted(Script(delay=5), max_in_flight=3) as session:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(7):
                    await BatchRunner(session).run(["a fox"] * 9)

            run = session.last_run
            assert indices(run.finished) == [0, 1, 2]
            assert indices(run.abandoned) == [3, 4, 5]
        shown = "".join(traceback.format_exception(caught.value))
        assert "3 outcomes had finished" in shown
        assert caught.value.__cause__.finished is run.finished

    @pytest.mark.parametrize("how", ["cancel", "wait_for", "group", "twice"])
    async def test_however_it_is_cancelled(self, how):
        async def fail() -> None:
            await asyncio.sleep(7)
            raise LookupError

        async with scripted(Script(delay=5), max_in_flight=3) as session:
            run = BatchRunner(session).run(["a fox"] * 9)
            task = asyncio.ensure_future(run)
            if how == "wait_for":
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(task, 7)
            elif how == "group":
                with pytest.raises(ExceptionGroup):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(fail())
                        await task
            else:
                await asyncio.sleep(7)
                task.cancel()
                if how == "twice":
                    asyncio.get_running_loop().call_soon(task.cancel)
            with pytest.raises(asyncio.CancelledError) as caught:
                await task

            assert session.last_run is run
        assert indices(run.finished) == [0, 1, 2]
        assert indices(run.abandoned) == [3, 4, 5]
        assert run.summary.billed == run.summary.maybe_billed == 3
        if how in ("cancel", "twice"):  # of the others it is an error's cause
            assert len(caught.value.__notes__) == 1

    async def test_nothing_finished_is_not_worth_a_note(self):
        async with scripted(Script(delay=5)) as session:
            task = asyncio.ensure_future(BatchRunner(session).run(["a fox"]))
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task

        assert not hasattr(caught.value, "__notes__")

    async def test_what_finished_in_the_turn_of_the_cancellation_is_kept(self):
        def tell(event: events.Event) -> None:
            if isinstance(event, events.Answered):
                asyncio.get_running_loop().call_soon(task.cancel)

        async with scripted(Script(delay=5), observer=tell) as session:
            task = asyncio.ensure_future(BatchRunner(session).run(["a fox"]))
            await asyncio.wait((task,))

            run = session.last_run
        assert task.cancelled()
        assert indices(run.finished) == [0]
        assert run.abandoned == []
        assert run.summary.done == run.summary.billed == 1

    async def test_a_stopped_run_that_is_cancelled_keeps_both(self):
        async with scripted(Script(delay=5), max_in_flight=3) as session:
            run = BatchRunner(session).run(["a fox"] * 9)
            task = asyncio.ensure_future(run)
            await asyncio.sleep(6)
            run.stop()
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.wait((task,))

        assert indices(run.finished) == [0, 1, 2]
        assert indices(run.abandoned) == [3, 4, 5]

    async def test_one_cancelled_while_it_lists_what_it_never_sent_keeps_them(self):
        async def prompts():
            yield "a fox"
            yield "a cat"
            await asyncio.sleep(60)
            yield "an owl"

        script = [Script(), refusing("1113")]
        async with scripted(*script) as session:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(9):
                    await BatchRunner(session, limit=1).run(prompts())

            assert indices(session.last_run.finished) == [0, 1]
        assert "2 outcomes" in caught.value.__cause__.__notes__[0]


class TestStreamed:
    @pytest.mark.parametrize("ordered", [False, True])
    async def test_what_waits_to_be_handed_out_is_there_already(self, ordered):
        script = [Script(delay=5), Script(), Script()]
        async with scripted(*script, max_in_flight=3) as session:
            runner = BatchRunner(session, ordered=ordered)
            async with runner.run(["a fox"] * 3) as run:
                await asyncio.sleep(1)
                early = indices(run.finished)
                await asyncio.sleep(5)
                first = await anext(run)
                late = indices(run.finished)
                rest = [one async for one in run]

        assert early == [1, 2]
        assert late == sorted({0, 1, 2} - {first.index})
        assert len(rest) == 2
        assert run.finished == []

    async def test_an_error_of_the_caller_that_takes_no_attribute_stays_itself(self):
        @attrs.frozen
        class OwnError(Exception):
            pass

        async with scripted() as session:
            with pytest.raises(OwnError) as caught:
                async with BatchRunner(session).run(["a fox"]) as run:
                    await asyncio.sleep(1)
                    raise OwnError

        assert "1 outcomes" in caught.value.__notes__[0]
        assert indices(run.finished) == [0]

    async def test_what_was_not_handed_out_is_kept_and_what_is_paid_of_it_named(self):
        script = [Script(), refusing("1301", 400), Script()]
        async with scripted(*script) as session:
            async with BatchRunner(session).run(["a fox"] * 3) as run:
                first = await anext(run)
                await asyncio.sleep(1)

        assert first.index not in indices(run.finished)
        assert [type(one) for one in run.finished] == [Failed, Done]
        assert indices(run.abandoned) == [2]
        assert run.summary.abandoned == 1
        assert run.summary.billed == 2

    async def test_a_cancelled_block_says_what_had_finished(self):
        async with scripted(Script()) as session:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(5):
                    async with BatchRunner(session).run(["a fox"] * 3) as run:
                        await asyncio.sleep(60)

        assert indices(run.finished) == [0, 1, 2]
        assert "3 outcomes" in caught.value.__cause__.__notes__[0]

    async def test_a_run_read_to_its_end_keeps_nothing(self):
        async with scripted() as session:
            async with BatchRunner(session).run(["a fox"] * 3) as run:
                assert len([one async for one in run]) == 3

        assert run.finished == run.abandoned == []


class TestTheLastRun:
    async def test_there_is_none_before_the_first(self):
        async with scripted() as session:
            assert session.last_run is None
            BatchRunner(session).run(["a fox"])
            assert session.last_run is None

    async def test_one_that_ended_normally_is_not_kept(self):
        async with scripted() as session:
            await BatchRunner(session).run(["a fox"])
            gc.collect()
            assert session.last_run is None
            async with BatchRunner(session).run(["a fox"]) as run:
                async for _ in run:
                    assert session.last_run is run
            assert session.last_run is run
            del run
            gc.collect()
            assert session.last_run is None

    async def test_one_that_was_cut_short_is_kept_until_the_next(self):
        async with scripted(Script(delay=5), max_in_flight=1) as session:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(BatchRunner(session).run(["a fox"] * 9), 1)
            gc.collect()
            assert len(session.last_run.abandoned) == 1
            await BatchRunner(session).run(["a cat"])
            gc.collect()
            assert session.last_run is None

    async def test_one_that_was_left_early_is_kept(self):
        async with scripted(Script(delay=5), max_in_flight=2) as session:
            async with BatchRunner(session).run(["a fox"] * 9) as run:
                await anext(run)
            del run
            gc.collect()
            assert session.last_run.abandoned

    async def test_closing_lets_it_go(self):
        async with scripted(Script(delay=5)) as session:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(BatchRunner(session).run(["a fox"] * 9), 1)
            run = session.last_run
        assert session.last_run is run
        del run
        gc.collect()
        assert session.last_run is None

    async def test_a_run_that_ends_late_leaves_a_newer_one_alone(self):
        async with scripted(Script(delay=5), Script(delay=50)) as session:
            first = asyncio.ensure_future(BatchRunner(session).run(["a fox"]))
            await asyncio.sleep(1)
            second = asyncio.ensure_future(BatchRunner(session).run(["a cat"]))
            await first
            second.cancel()
            await asyncio.wait((second,))
            gc.collect()

            assert len(session.last_run.abandoned) == 1


class TestTheLength:
    async def test_a_run_is_as_long_as_its_input(self):
        async with scripted() as session:
            runner = BatchRunner(session)
            assert len(runner.run(["a fox"] * 3)) == 3
            assert len(runner.run({"a fox", "a cat"})) == 2
            assert runner.run([])
            with pytest.raises(TypeError, match="no length"):
                len(runner.run(itertools.repeat("a fox")))
            assert runner.run(itertools.repeat("a fox"))


class TestFinishing:
    async def test_a_cancelled_run_has_all_that_it_paid_for_in_the_end(self):
        seen: list[events.Event] = []
        async with plain(limit=5) as box:
            async with client(
                box, finish_cancelled=True, observer=seen.append
            ) as session:
                run = BatchRunner(session, download=True).run(["a fox"] * 50)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(30):
                        await run
                before = len(run.finished)
                assert before + len(run.abandoned) == box.bill.total
                assert run.summary.maybe_billed == len(run.abandoned) > 0

            assert session.stats().billed == box.bill.total
            assert session.stats().maybe_billed == 0
        assert all(isinstance(one, Done) and one.picture for one in run.finished)
        assert len(run.finished) == box.bill.total > before
        assert run.abandoned == []
        assert run.summary.billed == run.summary.done == box.bill.total
        assert run.summary.maybe_billed == 0
        rescued = [one for one in seen if isinstance(one, events.Rescued)]
        assert len(rescued) == box.bill.total - before

    async def test_a_streamed_run_keeps_them_too(self):
        one = {"max_in_flight": 1, "finish_cancelled": True}
        async with scripted(Script(delay=5), **one) as session:
            async with BatchRunner(session).run(["a fox"] * 9) as run:
                await anext(run)
                await asyncio.sleep(1)
            assert [one.response for one in run.abandoned] == [None]
            await session.aclose()

        assert indices(run.finished) == indices(run.abandoned) == [1]
        assert run.abandoned[0].response.url == "https://example.com/picture.png"
        assert (run.summary.billed, run.summary.maybe_billed) == (2, 0)

    async def test_what_fails_in_the_background_is_kept_as_that(self):
        lost = refusing("1301", 400, delay=5)
        async with scripted(lost, finish_cancelled=True) as session:
            run = BatchRunner(session).run(["a fox"])
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(run, 1)
            await session.aclose()

        assert [type(one) for one in run.finished] == [Failed]
        assert run.abandoned == []
        assert (run.summary.billed, run.summary.maybe_billed) == (0, 0)

    async def test_a_bug_in_the_background_is_in_the_log(self, caplog):
        broken = Script(error=MemoryError("too much"), delay=5)
        async with scripted(broken, finish_cancelled=True) as session:
            run = BatchRunner(session).run(["a fox"])
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(run, 1)

        assert "too much" in caplog.text
        assert indices(run.abandoned) == [0]

    async def test_a_cancelled_closing_leaves_them_abandoned_once(self):
        async with scripted(Script(delay=9), finish_cancelled=True) as session:
            run = BatchRunner(session).run(["a fox"])
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(run, 1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(session.aclose(), 1)

        assert indices(run.abandoned) == [0]
        assert run.finished == []
        assert run.summary.maybe_billed == session.stats().maybe_billed == 1

    async def test_what_waits_for_a_place_is_unsent(self):
        one = {"max_in_flight": 1, "finish_cancelled": True}
        async with scripted(Script(delay=9), **one) as session:
            run = BatchRunner(session).run(["a fox"] * 9)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(run, 1)
            await session.aclose()

            assert session.requester._http.posts == 1
        assert indices(run.finished) == [0]
        assert indices(run.unsent) == [1]

    async def test_a_run_that_is_stopped_and_then_cancelled(self):
        two = {"max_in_flight": 2, "finish_cancelled": True}
        async with scripted(Script(delay=9), **two) as session:
            run = BatchRunner(session).run(["a fox"] * 9)
            task = asyncio.ensure_future(run)
            await asyncio.sleep(1)
            run.stop()
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.wait((task,))
            assert len(run.abandoned) == 2
            await session.aclose()

        assert len(run.finished) == 2
        assert run.abandoned == []

    async def test_an_outcome_that_was_handed_over_is_not_told_as_rescued(self):
        seen: list[events.Event] = []

        def tell(event: events.Event) -> None:
            seen.append(event)
            if isinstance(event, events.Answered):
                asyncio.get_running_loop().call_soon(task.cancel)

        settings = {"observer": tell, "finish_cancelled": True}
        async with scripted(Script(delay=5), **settings) as session:
            task = asyncio.ensure_future(BatchRunner(session).run(["a fox"]))
            await asyncio.wait((task,))
            run = session.last_run

        assert indices(run.finished) == [0]
        assert run.abandoned == []
        assert not [one for one in seen if isinstance(one, events.Rescued)]

    async def test_stopping_from_within_a_call_still_ends_it(self):
        def stop(event: events.Event) -> None:
            if isinstance(event, events.Retried):
                run.stop()

        script = [refusing("7777", 429, retry_after="60"), Script()]
        settings = {"observer": stop, "finish_cancelled": True}
        async with scripted(*script, **settings) as session:
            run = BatchRunner(session).run(["a fox", "a cat"])
            outcomes = await run

        assert asyncio.get_running_loop().time() < 2
        assert [type(outcome) for outcome in outcomes] == [Failed, Failed]
