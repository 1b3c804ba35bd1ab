"""A batch as its user sees it: awaited or streamed, lazy and bounded."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from support.clients import (
    client,
    plain,
    refusing,
    scripted,
)
from support.strange import GOOD

from zai_images import (
    BatchRunner,
    ConfigurationError,
    Done,
    Failed,
    ImageRequest,
    InvalidRequestError,
    ZaiImagesError,
)
from zai_images.sandbox import Fault
from zai_images.testing import Script

pytestmark = pytest.mark.looptime


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
    async with scripted(refusing("1113")) as session:
        async with BatchRunner(session).run(["a fox"]) as run:
            assert isinstance(await anext(run), Failed)
            with pytest.raises(ZaiImagesError):
                await anext(run)
            with pytest.raises(StopAsyncIteration):
                await anext(run)


def test_the_strange_server_can_also_be_good():
    assert GOOD[0] == 200
