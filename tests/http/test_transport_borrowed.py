"""A session of the caller's is looked at before a byte leaves, and kept to one POST."""

import asyncio

import aiohttp
import pytest
from support.clients import KEY, saying, scripted
from support.strange import GOOD, answering, refusal

from zai_images import (
    AnswerLostError,
    BatchRunner,
    ConfigurationError,
    ImageSession,
    RequestRejectedError,
    RetryPolicy,
    SessionConfig,
    ZaiImagesError,
)
from zai_images.testing import sandbox_in_thread

pytestmark = pytest.mark.tried("resources of the caller's")

ELSEWHERE = "belongs to another event loop. Nothing was sent"
NONE_LEFT = RetryPolicy(connect_errors=0)


@pytest.fixture(scope="module")
def service():
    """Run a service beside every loop of a test."""
    with sandbox_in_thread(speed=1000, pictures="plain") as sandbox:
        yield sandbox


@pytest.fixture
def home():
    """Give the loop that the caller's session belongs to."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def http(home):
    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    session = home.run(make())
    yield session
    home.run(session.close())


def at(service, http) -> ImageSession:
    return ImageSession(api_key=service.api_key, base_url=service.base_url, http=http)


async def used(service):
    """Make a picture through a session of the caller's, which stays open."""
    connector = aiohttp.TCPConnector(force_close=True)
    http = aiohttp.ClientSession(connector=connector)
    session = at(service, http)
    return session, http, await session.generate("a fox")


class TestOtherLoops:
    def test_one_that_was_used_on_a_loop_serves_no_other(self, service):
        session, http, response = asyncio.run(used(service))
        paid = service.bill.total

        async def again() -> None:
            with pytest.raises(ConfigurationError, match=ELSEWHERE) as caught:
                await session.generate("a fox")
            assert caught.value.billed == "no"
            # What is paid is fetched through a pool of our own.
            assert (await session.download(response)).width == 1024
            await session.aclose()
            await http.close()

        asyncio.run(again())
        assert service.bill.total == paid
        assert session.stats().maybe_billed == 0

    def test_nor_does_one_that_was_only_made_there(self, service, http):
        before = service.bill.total

        async def call() -> None:
            async with at(service, http) as session:
                await session.generate("a fox")

        with pytest.raises(ConfigurationError, match=ELSEWHERE):
            asyncio.run(call())
        assert service.bill.total == before

    def test_nor_one_whose_loop_has_ended(self, service):
        async def make() -> aiohttp.ClientSession:
            return aiohttp.ClientSession()

        http = asyncio.run(make())

        async def call() -> None:
            try:
                async with at(service, http) as session:
                    await session.generate("a fox")
            finally:
                await http.close()

        before = service.bill.total
        with pytest.raises(ConfigurationError, match=ELSEWHERE):
            asyncio.run(call())
        assert service.bill.total == before

    def test_nor_one_whose_loop_runs_in_another_thread(self, service, home, http):
        async def call() -> None:
            async with at(service, http) as session:
                await session.generate("a fox")

        async def both() -> None:
            with pytest.raises(ConfigurationError, match=ELSEWHERE):
                await asyncio.to_thread(asyncio.run, call())

        before = service.bill.total
        home.run(both())
        assert service.bill.total == before

    def test_it_serves_its_own_loop_after_that(self, service, home, http):
        session = at(service, http)
        with pytest.raises(ConfigurationError):
            asyncio.run(session.generate("a fox"))

        assert home.run(session.generate("a fox")).url
        home.run(session.aclose())

    def test_a_batch_on_it_stops_and_sends_nothing(self, service, http):
        async def run() -> list:
            async with at(service, http) as session:
                return await BatchRunner(session).run(["a", "b", "c"] * 9)

        before = service.bill.total
        outcomes = asyncio.run(run())
        assert {type(one.error) for one in outcomes} == {ConfigurationError}
        assert {one.error.billed for one in outcomes} == {"no"}
        assert service.bill.total == before

    def test_the_free_check_tells_it(self, service, http):
        async def check():
            async with at(service, http) as session:
                return await session.check()

        found = asyncio.run(check())
        assert not found.ok
        assert ELSEWHERE in found.reason

    def test_a_script_serves_every_loop(self):
        session = scripted(saying(GOOD[1]))
        for _ in range(3):
            assert asyncio.run(session.generate("a fox")).url
        asyncio.run(session.aclose())


async def detach(http: aiohttp.ClientSession) -> None:
    connector = http.connector
    http.detach()
    await connector.close()


@pytest.mark.looptime
@pytest.mark.parametrize(
    "close",
    [
        pytest.param(lambda http: http.close(), id="the session"),
        pytest.param(lambda http: http.connector.close(), id="its connector alone"),
        pytest.param(detach, id="its connector taken away"),
    ],
)
@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
async def test_one_that_is_closed_is_told_before_anything_is_sent(close, used):
    http = aiohttp.ClientSession()
    async with answering(GOOD) as server:
        async with ImageSession(
            api_key=KEY, base_url=server.base_url, http=http
        ) as session:
            if used:
                await session.generate("a fox")
            await close(http)
            with pytest.raises(ConfigurationError, match="Nothing was sent") as caught:
                await session.generate("a fox")

        assert server.posts == used
    assert "is closed, or its connector is" in str(caught.value)
    assert session.stats().maybe_billed == 0


@pytest.mark.looptime
@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "https://elsewhere.invalid/x/"},
        {"raise_for_status": True},
        {"timeout": aiohttp.ClientTimeout(total=1e-9)},
        {"headers": {"Authorization": "Bearer other", "Content-Type": "text/plain"}},
        {"skip_auto_headers": ["Content-Type", "User-Agent"]},
        {"auto_decompress": False},
        {"cookies": {"a": "b"}},
        {"version": aiohttp.HttpVersion10},
    ],
    ids=lambda options: next(iter(options)),
)
async def test_what_it_is_set_to_changes_neither_the_address_nor_the_verdict(options):
    async with (
        answering(GOOD, (400, refusal("1210"))) as server,
        aiohttp.ClientSession(**options) as http,
        ImageSession(api_key=KEY, base_url=server.base_url, http=http) as session,
    ):
        assert (await session.generate("a fox")).url == "https://example.com/a.png"
        with pytest.raises(RequestRejectedError, match="code 1210"):
            await session.generate("a fox")

        assert server.posts == 2
        assert f"Authorization: Bearer {KEY}".encode() in server.seen[0]


ERRORS = [RuntimeError, KeyError, TypeError, ValueError, AssertionError, OSError]
BEFORE = [
    "on_request_start",
    "on_request_headers_sent",
    "on_connection_create_start",
    "on_connection_create_end",
]
AFTER = ["on_request_chunk_sent", "on_request_end"]


def tracing(signal: str, error: type[Exception]) -> aiohttp.TraceConfig:
    async def breaks(*_: object) -> None:
        raise error("a tracer's own mistake")

    trace = aiohttp.TraceConfig()
    getattr(trace, signal).append(breaks)
    return trace


@pytest.mark.looptime
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("signal", BEFORE + AFTER)
async def test_a_tracer_that_fails_is_told_with_what_it_cost(signal, error):
    async with (
        answering(GOOD) as server,
        aiohttp.ClientSession(trace_configs=[tracing(signal, error)]) as http,
    ):
        config = SessionConfig(api_key=KEY, base_url=server.base_url, retry=NONE_LEFT)
        async with ImageSession(config, http=http) as session:
            with pytest.raises(ZaiImagesError) as caught:
                await session.generate("a fox")

            assert session.stats().maybe_billed == (signal in AFTER)
    if signal in AFTER:
        assert type(caught.value) is AnswerLostError
    else:
        assert server.posts == 0
        assert caught.value.billed == "no"
        assert "othing was sent" in str(caught.value)


async def tries_again(request, handler) -> aiohttp.ClientResponse:
    """Do as many do: try again after a failure, and whatever it was."""
    for _ in range(3):
        try:
            response = await handler(request)
            if response.status < 500:
                return response
        except aiohttp.ClientError as error:
            failed = error
    raise failed


@pytest.mark.looptime
async def test_a_middleware_that_tries_again_pays_once():
    async with (
        answering((503, b"<html>")) as server,
        aiohttp.ClientSession(middlewares=[tries_again]) as http,
        ImageSession(api_key=KEY, base_url=server.base_url, http=http) as session,
    ):
        with pytest.raises(AnswerLostError, match="billed, twice") as caught:
            await session.generate("a fox")

        assert server.posts == 1
        assert session.stats().maybe_billed == 1
    assert caught.value.billed == "maybe"


@pytest.mark.looptime
async def test_a_middleware_that_fails_first_costs_nothing():
    async def fails(request, handler) -> aiohttp.ClientResponse:
        raise LookupError("no token")

    async with (
        answering(GOOD) as server,
        aiohttp.ClientSession(middlewares=[fails]) as http,
        ImageSession(api_key=KEY, base_url=server.base_url, http=http) as session,
    ):
        with pytest.raises(ConfigurationError, match="LookupError: no token"):
            await session.generate("a fox")
        assert not (await session.check()).ok
        elsewhere = ImageSession(
            api_key=KEY, base_url="https://x.invalid/v1", http=http
        )
        async with elsewhere:  # it is asked for a list, by a GET
            found = await elsewhere.check()

        assert "LookupError: no token" in found.reason
        assert server.posts == 0
