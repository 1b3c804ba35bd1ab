"""What is sent again, when and how often, and what an earlier attempt may have cost."""

import asyncio
import itertools

import pytest
from support.clients import client, offline, refusing
from support.strange import GOOD, answering, refusal

from zai_images import (
    AccountError,
    AnswerLostError,
    BatchRunner,
    BudgetError,
    BusyError,
    ConnectError,
    RateLimitedError,
    RetryPolicy,
    ServerError,
)
from zai_images.testing import Script

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("code", ["1302", "1303", "1305", "1312"])
@pytest.mark.parametrize("status", [429, 200, 503])
async def test_a_refusal_is_free_and_tried_again_until_it_succeeds(code, status):
    refused = (status, refusal(code))
    async with answering(refused, refused, GOOD) as server, client(server) as one:
        await one.generate("a fox")

        assert server.posts == 3
        stats = one.stats()

    assert (stats.refusals, stats.billed, stats.maybe_billed) == (2, 1, 0)


async def test_a_refusal_has_no_count_of_its_own():
    async with answering(*[(429, refusal("1302"))] * 30, GOOD) as server:
        async with client(server) as one:
            await one.generate("a fox")

        assert server.posts == 31


async def test_an_overloaded_model_is_left_alone_for_longer_than_a_full_one(
    looptime, no_jitter
):
    """1305 means minutes: 5, 10, 20 seconds, against 0.5, 1, 2."""
    async with answering(*[(429, refusal("1305"))] * 3, GOOD) as server:
        async with client(server) as one:
            await one.generate("a fox")

    assert 35 <= looptime < 36


async def test_max_wait_bounds_the_waiting_and_names_the_last_refusal(looptime):
    async with answering((429, refusal("1302"))) as server, client(server) as one:
        with pytest.raises(BusyError) as caught:
            await one.generate("a fox", max_wait=10)

    assert isinstance(caught.value.__cause__, RateLimitedError)
    assert caught.value.__cause__.code == "1302"
    assert 10 <= looptime < 11


async def test_a_retry_after_beyond_max_wait_is_not_waited_for(looptime):
    refused = (429, refusal("1302"), {"Retry-After": "60"})
    async with answering(refused) as server, client(server) as one:
        with pytest.raises(BusyError) as caught:
            await one.generate("a fox", max_wait=20)

        assert server.posts == 1

    assert caught.value.retry_after == 60
    assert looptime < 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    # Where nothing is said, a lone refused call waits for about a second.
    [("7", 7), ("100000", 120), ("0", 0.45), ("soon", 0.45), ("-5", 0.45)],
)
async def test_retry_after_is_obeyed_up_to_a_cap(looptime, no_jitter, header, seconds):
    refused = (429, refusal("1302"), {"Retry-After": header})
    async with answering(refused, GOOD) as server, client(server) as one:
        await one.generate("a fox")

    assert seconds <= looptime < seconds + 0.4


@pytest.mark.parametrize("code", ["7777", None])
async def test_an_unknown_refusal_gets_three_tries(code):
    async with answering((429, refusal(code))) as server, client(server) as one:
        with pytest.raises(RateLimitedError) as caught:
            await one.generate("a fox")

        assert server.posts == 3

    assert caught.value.code == code


SERVER_CODES = ["1100", "1120", "1200", "1230", "1234"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(status, code) for code in SERVER_CODES for status in (500, 200, 400)]
    + [(502, "8888"), (500, 9999), (408, "1234")],
)
async def test_a_server_error_is_sent_twice_at_most_and_may_be_billed(status, code):
    async with answering((status, refusal(code))) as server, client(server) as one:
        with pytest.raises(ServerError) as caught:
            await one.generate("a fox")

        assert server.posts == 2
        assert one.stats().maybe_billed == 2

    assert caught.value.billed == "maybe"
    assert "may have been billed" in str(caught.value)


async def test_the_second_try_after_a_server_error_can_succeed():
    failed = (500, refusal("1234"))
    async with answering(failed, GOOD) as server, client(server) as one:
        await one.generate("a fox")

        assert server.posts == 2


async def test_sending_again_after_a_server_error_can_be_turned_off():
    careful = RetryPolicy(server_errors=0)
    async with answering((500, refusal("1234"))) as server:
        async with client(server, retry=careful) as one:
            with pytest.raises(ServerError):
                await one.generate("a fox")

        assert server.posts == 1


async def test_a_service_that_is_down_is_not_asked_twice_for_everything():
    """The session's budget: three second tries, then one for each fifty pictures."""
    async with answering((500, refusal("1234"))) as server, client(server) as one:
        for _ in range(10):
            with pytest.raises(ServerError):
                await one.generate("a fox")

        assert server.posts == 10 + 3


FAILED = refusing("1234", 500, delay=5)


REFUSED = refusing("1302", 429, delay=0.1)


class TestEarlierAttempts:
    """An attempt that may be billed is not forgotten when a later one is free."""

    @pytest.mark.parametrize(
        ("later", "kind", "caps"),
        [
            (Script(error=ConnectError("no network"), written=False), ConnectError, {}),
            (REFUSED, BusyError, {}),
            (Script(), BudgetError, {"max_pictures": 1}),
            (refusing("1301", 400), None, {}),
        ],
    )
    async def test_the_error_of_the_last_says_that_an_earlier_may_be_billed(
        self, later, kind, caps
    ):
        async with offline(FAILED, later, **caps) as one:
            with pytest.raises(kind or Exception) as caught:
                await one.generate("a fox", max_wait=20)

            assert one.stats().maybe_billed == 1
        assert caught.value.billed == "maybe"
        assert "earlier attempt" in str(caught.value)

    async def test_a_batch_that_stops_in_the_pause_after_one_gives_its_outcome(self):
        broke = refusing("1113", 429, delay=5.2)
        async with offline(FAILED, broke, adaptive=False) as one:
            outcomes = await BatchRunner(one).run(["a", "b", "c"])

        assert [one.index for one in outcomes] == [0, 1, 2]
        assert isinstance(outcomes[0].error, AnswerLostError)
        assert outcomes[0].billed == "maybe"
        assert isinstance(outcomes[1].error, AccountError)

    async def test_leaving_early_abandons_it_though_its_last_try_was_refused(self):
        async with offline(FAILED, REFUSED) as one:
            async with BatchRunner(one).run(["a"]) as run:
                await asyncio.sleep(8)

        assert [left.index for left in run.abandoned] == [0]
        assert run.unsent == []
        assert (run.summary.abandoned, run.summary.maybe_billed) == (1, 1)


class TestLongSieges:
    @pytest.mark.parametrize("code", ["1302", "1305"])
    @pytest.mark.parametrize("adaptive", [True, False])
    async def test_thousands_of_refusals_are_only_waited_for(self, code, adaptive):
        busy = refusing(code, 429)
        no_network = Script(error=ConnectError("gone"), written=False)
        script = [*itertools.repeat(busy, 1200), no_network, Script()]
        async with offline(*script, adaptive=adaptive) as one:
            await one.generate("a fox")

            assert one.stats().refusals == 1200
