"""Batches: lazy, bounded, streamed or awaited, and honest about the money."""

import asyncio
import itertools
import json
import subprocess
import sys
from collections import UserDict
from collections.abc import AsyncIterator, Iterator

import pytest
from support.strange import GOOD, answering, refusal

from zai_images import (
    AccountError,
    AnswerLostError,
    BatchRunner,
    BudgetError,
    ConfigurationError,
    Done,
    DownloadError,
    Failed,
    ImageRequest,
    ImageSession,
    InvalidRequestError,
    SessionConfig,
    ZaiImagesError,
)
from zai_images.sandbox import Fault, Sandbox
from zai_images.testing import Script, ScriptedTransport

pytestmark = pytest.mark.looptime

KEY = "sk-sandbox"


def plain(**settings) -> Sandbox:
    return Sandbox(pictures="plain", **settings)


def client(sandbox: Sandbox, **settings) -> ImageSession:
    config = SessionConfig(
        api_key=sandbox.api_key, base_url=sandbox.base_url, **settings
    )
    return ImageSession(config)


def scripted(*script: Script, **settings) -> ImageSession:
    config = SessionConfig(api_key=KEY, **settings)
    return ImageSession(config, http=ScriptedTransport(script, record=False))


def failing(code: str, **fields) -> Script:
    return Script(status=429, body=json.dumps(refusal(code)).encode(), **fields)


class TestAwaited:
    async def test_one_outcome_for_each_item_in_the_order_of_the_input(self):
        prompts = [f"fox {n}" for n in range(30)]
        async with plain(limit=5) as sandbox, client(sandbox) as session:
            outcomes = await BatchRunner(session, download=True).run(prompts)

            assert sandbox.bill.total == 30

        assert [one.index for one in outcomes] == list(range(30))
        assert [one.request.prompt for one in outcomes] == prompts
        assert all(isinstance(one, Done) and one.picture for one in outcomes)
        assert all(5 <= one.latency <= 10.5 for one in outcomes)
        # It takes a refusal to know that there are five places and no more.
        assert sum(one.attempts for one in outcomes) == 30 + sandbox.bill.refusals
        assert all(0 <= one.queued < 10 for one in outcomes)
        assert outcomes[3].picture.request is outcomes[3].request

    async def test_five_places_are_kept_busy(self, looptime):
        async with plain(limit=5) as sandbox, client(sandbox) as session:
            await BatchRunner(session).run(f"fox {n}" for n in range(50))

            assert sandbox.most_in_flight == 5
        assert looptime < 50 / 5 * 7.5 * 1.15

    async def test_prompts_mappings_and_requests_mix(self):
        async with scripted() as session:
            outcomes = await BatchRunner(session).run(
                ["a fox", {"prompt": "a cat", "size": "512x512"}, ImageRequest("a dog")]
            )

        assert [one.request.prompt for one in outcomes] == ["a fox", "a cat", "a dog"]

    async def test_an_async_iterable_is_read_as_places_come_free(self):
        pulled = 0

        async def prompts() -> AsyncIterator[str]:
            nonlocal pulled
            for n in range(20):
                await asyncio.sleep(0.1)
                pulled += 1
                yield f"fox {n}"

        async with scripted(Script(delay=5), max_in_flight=3) as session:
            run = BatchRunner(session).run(prompts())
            task = asyncio.ensure_future(run)
            await asyncio.sleep(4)

            assert pulled == 4  # three have places, and one waits for the next
            assert len(await task) == 20

    async def test_an_empty_input_is_an_empty_list(self):
        async with scripted() as session:
            assert await BatchRunner(session).run([]) == []

    async def test_one_bad_item_never_sinks_the_run(self):
        items = ["a fox", "", {"prompt": "x", "seed": 1}, 7, {"size": "1x1"}, "a cat"]
        async with scripted() as session:
            outcomes = await BatchRunner(session).run(items)

        kinds = [type(one) for one in outcomes]
        assert kinds == [Done, Failed, Failed, Failed, Failed, Done]
        for one in outcomes[1:5]:
            assert isinstance(one.error, InvalidRequestError)
            assert one.request == items[one.index]
            assert one.attempts == 0

    async def test_a_failed_item_says_how_long_and_how_often(self):
        faults = [Fault(prompt="fox 1", code="1301", delay=2)]
        async with plain(limit=5, faults=faults) as sandbox:
            async with client(sandbox) as session:
                outcomes = await BatchRunner(session).run(f"fox {n}" for n in range(5))

        assert isinstance(outcomes[1], Failed)
        assert outcomes[1].error.code == "1301"
        assert outcomes[1].attempts == 1
        assert 2 <= outcomes[1].latency < 3
        assert [type(o) for o in outcomes].count(Done) == 4


class TestStreamed:
    async def test_outcomes_come_as_they_finish(self):
        faults = [Fault(prompt="fox 0", action="picture", delay=100)]
        async with plain(limit=5, faults=faults) as sandbox:
            async with client(sandbox) as session:
                prompts = [f"fox {n}" for n in range(8)]
                async with BatchRunner(session).run(prompts) as run:
                    indexes = [one.index async for one in run]

        assert indexes[-1] == 0
        assert sorted(indexes) == list(range(8))
        assert run.summary.done == 8
        assert 100 <= run.summary.elapsed < 110

    async def test_ordered_outcomes_come_in_the_order_of_the_input(self):
        faults = [Fault(prompt="fox 0", action="picture", delay=100)]
        async with plain(limit=5, faults=faults) as sandbox:
            async with client(sandbox) as session:
                runner = BatchRunner(session, ordered=True)
                async with runner.run(f"fox {n}" for n in range(40)) as run:
                    indexes = [one.index async for one in run]

        assert indexes == list(range(40))

    async def test_the_limit_is_a_ceiling_on_this_batch_alone(self):
        async with plain() as sandbox, client(sandbox) as session:
            runner = BatchRunner(session, limit=2)
            run = asyncio.ensure_future(runner.run(f"fox {n}" for n in range(6)))
            await asyncio.sleep(1)
            assert sandbox.in_flight == 2
            single = asyncio.ensure_future(session.generate("a cat"))
            await asyncio.sleep(1)
            assert sandbox.in_flight == 3
            await asyncio.gather(run, single)

            assert sandbox.most_in_flight == 3

    async def test_a_slow_reader_slows_the_sending(self):
        """At most twice the download bound of outcomes wait unread."""
        async with scripted(max_downloads=2) as session:
            async with BatchRunner(session).run(itertools.repeat("a fox")) as run:
                for read in range(1, 30):
                    await anext(run)
                    await asyncio.sleep(60)
                    # four unread, and what was in flight as the fourth came in
                    assert session.requester._http.posts <= read + 4 + 5

    async def test_no_place_is_held_while_a_picture_is_fetched(self):
        """With one place and slow downloads, generation goes on beside them."""
        slow = [Fault(action="missing_picture", seconds=9, times=None)]
        async with plain(limit=1, faults=slow) as sandbox:
            async with client(sandbox, max_in_flight=1) as session:
                runner = BatchRunner(session, download=True)
                outcomes = await runner.run(f"fox {n}" for n in range(6))

        assert all(one.picture for one in outcomes)
        assert asyncio.get_running_loop().time() < 6 * 7.5 + 9 + 20

    async def test_iterating_outside_its_block_is_an_error(self):
        async with scripted() as session:
            run = BatchRunner(session).run(["a fox"])
            with pytest.raises(RuntimeError, match="async with"):
                await anext(run)
            async with run:
                pass
            with pytest.raises(RuntimeError, match="async with"):
                await anext(run)
            with pytest.raises(RuntimeError, match="runs once"):
                await run

    @pytest.mark.parametrize(
        "item", ["a fox", b"a fox", {"prompt": "a fox"}, ImageRequest("a fox")]
    )
    async def test_a_single_item_is_not_a_batch(self, item):
        async with scripted() as session:
            with pytest.raises(TypeError, match="pass a list"):
                BatchRunner(session).run(item)

    async def test_what_cannot_be_iterated_is_not_a_batch(self):
        async with scripted() as session:
            with pytest.raises(TypeError, match="cannot be iterated"):
                BatchRunner(session).run(7)
            with pytest.raises(ConfigurationError, match="limit"):
                BatchRunner(session, limit=0)


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
            [failing("1305", delay=0.5), failing("1113", delay=1), Script()]
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
            [failing("1113", delay=1), failing("1305", delay=2), Script()]
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
                    self._script = [failing("1311", delay=1)]
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

        async with scripted(failing("1113", delay=3)) as session:
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


class TestMoney:
    async def test_a_failed_download_keeps_the_paid_link(self):
        faults = [Fault(prompt="fox 1", action="missing_picture")]
        async with plain(limit=5, faults=faults) as sandbox:
            async with client(sandbox) as session:
                runner = BatchRunner(session, download=True)
                outcomes = await runner.run(f"fox {n}" for n in range(3))

            assert sandbox.bill.total == 3

        failed = outcomes[1]
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, DownloadError)
        assert failed.error.billed == "yes"
        assert failed.response.url == failed.error.response.url
        assert [type(one) for one in outcomes] == [Done, Failed, Done]

    async def test_the_summary_tells_paid_from_maybe_paid(self):
        faults = [
            Fault(prompt="fox 0", action="missing_picture"),
            Fault(prompt="fox 1", action="reset"),
            Fault(prompt="fox 2", code="1301"),
        ]
        async with plain(limit=5, faults=faults) as sandbox:
            async with client(sandbox) as session:
                runner = BatchRunner(session, download=True)
                async with runner.run([f"fox {n}" for n in range(5)] + [""]) as run:
                    async for _ in run:
                        pass

        summary = run.summary
        assert (summary.done, summary.failed) == (2, 4)
        assert (summary.billed, summary.maybe_billed) == (3, 1)

    async def test_every_fault_in_a_batch_is_billed_at_most_once(self):
        faults = [
            Fault(prompt="fox 1", action="truncate"),
            Fault(prompt="fox 2", action="empty"),
            Fault(prompt="fox 3", action="null_url"),
            Fault(prompt="fox 4", action="reset", billed=True),
            Fault(prompt="fox 5", action="html", billed=True),
            Fault(prompt="fox 6", action="truncated_picture", fetches=2),
            Fault(prompt="fox 7", action="missing_picture", fetches=3),
            Fault(prompt="fox 8", code="1302", times=3),
        ]
        async with plain(limit=5, faults=faults) as sandbox:
            async with client(sandbox) as session:
                runner = BatchRunner(session, download=True)
                outcomes = await runner.run(f"fox {n}" for n in range(12))

            for one in outcomes:
                assert len(sandbox.bill.for_prompt(one.request.prompt)) == 1
        lost = [one.index for one in outcomes if isinstance(one, Failed)]
        assert lost == [1, 2, 3, 4, 5]
        assert all(outcomes[n].error.maybe_billed for n in lost)
        assert isinstance(outcomes[4].error, AnswerLostError)

    async def test_the_key_never_reaches_the_picture_host(self):
        async with plain(limit=5) as sandbox, client(sandbox) as session:
            await BatchRunner(session, download=True).run(["a fox"] * 5)

            assert len(sandbox.picture_requests) == 5
            assert not any(one.carried_key for one in sandbox.picture_requests)


BULK = """
import asyncio, resource, sys
from zai_images import BatchRunner, ImageSession
from zai_images.testing import ScriptedTransport

async def main(count):
    transport = ScriptedTransport(record=False)
    async with ImageSession(api_key="any", http=transport) as session:
        async with BatchRunner(session).run(f"fox {n}" for n in range(count)) as run:
            async for _ in run:
                pass
    assert transport.posts == run.summary.done == count

asyncio.run(main(int(sys.argv[1])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak(count: int) -> int:
    """Run that many prompts over an instant transport; tell the peak in bytes."""
    ran = subprocess.run(
        [sys.executable, "-c", BULK, str(count)],
        stdout=subprocess.PIPE,
        check=True,
    )
    return int(ran.stdout)


class TestMemory:
    @pytest.mark.timeout(300)  # 100,000 pictures on a busy machine
    def test_memory_follows_the_places_and_not_the_input(self):
        """
        100,000 prompts from a generator raise the peak by less than 20 MB.

        In processes of their own, for a peak cannot be taken back.
        """
        small, large = peak(1_000), peak(100_000)

        assert large - small < 20 * 2**20

    async def test_at_most_one_pulled_item_waits_without_a_place(self):
        pulled = 0

        def prompts() -> Iterator[str]:
            nonlocal pulled
            for _ in range(1000):
                pulled += 1
                yield "a fox"

        async with plain() as sandbox, client(sandbox, max_in_flight=4) as session:
            async with BatchRunner(session).run(prompts()) as run:
                async for _ in run:
                    if run.summary.done == 200:
                        break
                    assert pulled <= run.summary.done + 4 + 1

    async def test_refused_items_go_before_new_ones(self):
        """While one waits to be sent again, nothing more is pulled."""
        pulled = 0

        def prompts() -> Iterator[str]:
            nonlocal pulled
            for _ in range(50):
                pulled += 1
                yield "a fox"

        async with plain(limit=1) as sandbox:
            async with client(sandbox, max_in_flight=5) as session:
                async with BatchRunner(session).run(prompts()) as run:
                    async for _ in run:
                        assert pulled <= run.summary.done + 6
        assert run.summary.done == 50


async def test_a_run_shows_its_condition():
    async with scripted() as session:
        run = BatchRunner(session).run(["a fox"])
        assert repr(run) == "<BatchRun new, 0 done, 0 failed>"
        assert run.summary.elapsed == 0
        async with run:
            await anext(run)
            assert repr(run) == "<BatchRun running, 1 done, 0 failed>"
            with pytest.raises(StopAsyncIteration):
                await anext(run)
        assert repr(run) == "<BatchRun ended, 1 done, 0 failed>"


async def test_a_stopping_error_is_raised_once():
    async with scripted(failing("1113")) as session:
        async with BatchRunner(session).run(["a fox"]) as run:
            assert isinstance(await anext(run), Failed)
            with pytest.raises(ZaiImagesError):
                await anext(run)
            with pytest.raises(StopAsyncIteration):
                await anext(run)


def test_the_strange_server_can_also_be_good():
    assert GOOD[0] == 200
