"""One item of a batch: what it may be, how often it is sent, what it may cost."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.clients import (
    KEY,
    offline,
    refusing,
)

from zai_images import (
    BatchRunner,
    Done,
    Failed,
    ImageSession,
    InvalidRequestError,
    SessionConfig,
    events,
)
from zai_images.testing import Script, ScriptedTransport

pytestmark = pytest.mark.looptime


class TestInputs:
    async def test_an_input_whose_own_wait_is_cancelled_is_not_a_quiet_end(self):
        async def prompts() -> AsyncIterator[str]:
            yield "a fox"
            waiting = asyncio.ensure_future(asyncio.sleep(60))
            asyncio.get_running_loop().call_later(1, waiting.cancel)
            await waiting
            yield "never"  # pragma: no cover

        async with offline() as one:
            run = BatchRunner(one).run(prompts())
            with pytest.raises(asyncio.CancelledError) as caught:
                await run

        assert [type(outcome) for outcome in caught.value.finished] == [Done]
        assert "1 outcomes had finished" in caught.value.__notes__[0]

    async def test_bad_sizes_by_the_hundred_do_not_hold_up_the_loop(self):
        """The nearest legal size is found without trying every one."""
        async with offline(refusing("1113", 429)) as one:
            bad = [{"prompt": "a", "size": "999x999"}] * 3000
            outcomes = await BatchRunner(one).run(["a fox", *bad])

        assert len(outcomes) == 3001

    @pytest.mark.parametrize(
        "item",
        [
            {"prompt": "a", "model": "foo", "size": "\ud800"},
            {"prompt": "a", "model": "foo", "quality": "\ud800"},
            {"prompt": "a", "extra": {"x": __import__("functools").reduce(
                lambda inner, _: [inner], range(100_000), 0)}},
        ],
    )  # fmt: skip
    async def test_what_cannot_be_encoded_is_one_bad_item(self, item):
        async with offline() as one:
            outcomes = await BatchRunner(one).run([item, "a fox"])

        assert isinstance(outcomes[0].error, InvalidRequestError)
        assert isinstance(outcomes[1], Done)

    async def test_stopping_from_within_a_call_does_not_wait_out_its_pause(self):
        transport = ScriptedTransport(
            [refusing("7777", 429, retry_after="60"), Script()]
        )

        def stop(event: events.Event) -> None:
            if isinstance(event, events.Retried):
                run.stop()

        config = SessionConfig(api_key=KEY)
        async with ImageSession(config, http=transport, observer=stop) as one:
            run = BatchRunner(one).run(["a fox", "a cat"])
            outcomes = await run

        assert asyncio.get_running_loop().time() < 2
        assert [type(outcome) for outcome in outcomes] == [Failed, Failed]

    async def test_a_negative_wait_is_refused(self):
        async with offline() as one:
            with pytest.raises(InvalidRequestError, match="max_wait"):
                await one.generate("a fox", max_wait=-1)
