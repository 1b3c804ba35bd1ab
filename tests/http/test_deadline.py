"""A deadline ends nothing whose data is there, however late the loop looks at it."""

import asyncio
import json
import ssl

import aiohttp
import pytest
from support import plays as play
from support.certificates import Authority
from support.faults import FaultServer
from support.pictures import picture
from support.plays import CHUNKED, ENDLESS, HEAD, answer, body, chunks, plays
from support.stops import stop_the_process, stopped, unsent

from zai_images import (
    AnswerLostError,
    BusyError,
    DownloadError,
    ImageSession,
    SessionConfig,
    Timeouts,
)
from zai_images._http.deadline import LATE, LONGEST, PAUSE, Deadline, within
from zai_images.testing import Script, ScriptedTransport

# A sleep moves the virtual clock, and waits for nothing.
pytestmark = [pytest.mark.looptime, pytest.mark.tried("time: a stopped process")]

TOTAL = 3.0
AWAY = 5.0
LARGE = body()[:-1] + b" " * 900_000 + b"}"
WHOLE = answer(body())
CLOSING = answer(body(), headers="Connection: close\r\n")
# Each step of the server is taken before the stopped client gets to read.
ANSWERS = {
    "whole": [WHOLE, stopped(AWAY), play.stall],
    "whole, for an hour": [WHOLE, stopped(3600), play.stall],
    "whole, just as its time is up": [WHOLE, stopped(TOTAL), play.stall],
    "whole, stopped twice": [WHOLE, stopped(2), stopped(2), play.stall],
    "its second segment just after": [
        WHOLE[:-20],
        stopped(AWAY),
        WHOLE[-20:],
        play.stall,
    ],
    "its second segment half a second after": [
        WHOLE[:40],
        stopped(AWAY),
        play.wait(0.5),
        WHOLE[40:],
        play.stall,
    ],
    "in parts, each after the one before": [
        WHOLE[:-60],
        stopped(AWAY),
        play.slowly(WHOLE[-60:], 0.03),
        play.stall,
    ],
    "in chunks": [CHUNKED, chunks(body()) + b"0\r\n\r\n", stopped(AWAY), play.stall],
    "large": [unsent(answer(LARGE)), stopped(AWAY), play.stall],
    "large, in chunks": [
        unsent(CHUNKED + chunks(LARGE, 997) + b"0\r\n\r\n"),
        stopped(AWAY),
        play.stall,
    ],
    "closed after it": [CLOSING, stopped(AWAY), play.close],
    "closed after it, before the stop": [CLOSING, play.close, stopped(AWAY)],
    "reset after it": [WHOLE, play.reset, stopped(AWAY)],
    "without a length": [ENDLESS + body(), play.close, stopped(AWAY)],
    "after word to go on": [b"HTTP/1.1 100 C\r\n\r\n", WHOLE, stopped(AWAY)],
}


def settings(base_url: str, **more: object) -> SessionConfig:
    timeouts = Timeouts(total=TOTAL, download=TOTAL)
    return SessionConfig(
        api_key="sk-fault-canary", base_url=base_url, timeouts=timeouts, **more
    )


@pytest.mark.parametrize("steps", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_came_while_the_process_was_stopped_is_read(steps):
    async with FaultServer(plays(play.read, *steps)) as server:
        async with ImageSession(settings(server.base_url)) as session:
            response = await session.generate("a fox")

    assert response.url == "https://example.com/1.png"
    assert (server.posts, session.stats().billed) == (1, 1)


@pytest.fixture
def tls(tmp_path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make the contexts of a server and of its client."""
    authority = Authority(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority.certificate(tmp_path, "127.0.0.1"))
    return server, ssl.create_default_context(cafile=authority.path)


@pytest.mark.parametrize("data", [body(), LARGE], ids=["small", "large"])
async def test_an_answer_under_tls_is_read_after_a_stop_too(data, tls):
    steps = [play.read, unsent(answer(data)), stopped(AWAY), play.stall]
    connector = aiohttp.TCPConnector(ssl=tls[1])
    async with (
        FaultServer(plays(*steps), tls=tls[0]) as server,
        aiohttp.ClientSession(connector=connector) as http,
        ImageSession(settings(server.base_url), http=http) as session,
    ):
        await session.generate("a fox")
        assert session.stats().billed == 1


async def test_every_answer_of_many_in_flight_is_read_after_a_stop():
    """The first to find its time up does not wait for the others."""
    many = 20

    async def answers(server, wire):
        await server.read(wire)
        while server.posts < many:
            await asyncio.sleep(0)
        await wire.send(answer(LARGE))
        if wire is server.wires[-1]:
            stop_the_process(AWAY)
        await asyncio.sleep(1000)

    async with FaultServer(answers) as server:
        config = settings(server.base_url, max_in_flight=many, adaptive=False)
        async with ImageSession(config) as session:
            calls = (session.generate(f"fox {n}") for n in range(many))
            await asyncio.gather(*calls)

    assert session.stats().billed == many


NO_ANSWERS = {
    "nothing": [play.stall],
    "half of it": [WHOLE[:-9], play.stall],
    "a byte each 0.1 s": [CHUNKED, play.slowly(chunks(b" " * 999), 0.1)],
    "word to go on, without end": [play.endlessly(b"HTTP/1.1 100 C\r\n\r\n", 0.01)],
}


@pytest.mark.parametrize("steps", NO_ANSWERS.values(), ids=NO_ANSWERS)
@pytest.mark.parametrize("away", [0, AWAY])
async def test_an_answer_that_never_comes_is_given_up_in_about_its_time(
    steps, away, looptime
):
    """After a stop, the time that nobody could use may be used once more, at most."""
    async with FaultServer(plays(play.read, stopped(away), *steps)) as server:
        async with ImageSession(settings(server.base_url)) as session:
            with pytest.raises(AnswerLostError):
                await session.generate("a fox")

    assert max(TOTAL, away) <= looptime <= max(TOTAL, away) + (TOTAL if away else 0.1)


PNG = picture()
HEAVY = picture(size=(1400, 1200), compress_level=0)  # five megabytes
PICTURES = {
    "whole": (PNG, [answer(PNG), stopped(AWAY), play.stall]),
    "for an hour": (PNG, [answer(PNG), stopped(3600), play.stall]),
    "closed after it": (PNG, [ENDLESS + PNG, play.close, stopped(AWAY)]),
    "its head before the stop": (
        PNG,
        [answer(PNG)[:60], play.wait(1), answer(PNG)[60:], stopped(AWAY), play.stall],
    ),
    "half of it in the kernel": (
        HEAVY,
        [unsent(answer(HEAVY)), stopped(AWAY), play.stall],
    ),
    "half of it sent half a second after": (
        HEAVY,
        [
            unsent(answer(HEAVY)[:2_000_000]),
            stopped(AWAY),
            play.wait(0.5),
            answer(HEAVY)[2_000_000:],
            play.stall,
        ],
    ),
    "a redirect": (
        PNG,
        [
            answer(b"", status=302, headers="Location: /b.png\r\n"),
            stopped(AWAY),
            play.read_head,
            answer(PNG),
            play.stall,
        ],
    ),
}


@pytest.mark.parametrize(("data", "steps"), PICTURES.values(), ids=PICTURES)
async def test_a_picture_that_came_while_the_process_was_stopped_is_taken(data, steps):
    async with FaultServer(plays(play.read_head, *steps)) as host:
        link = f"http://127.0.0.1:{host.port}/a.png"
        config = settings("http://127.0.0.1:9/api/paas/v4")
        async with ImageSession(config, http=ScriptedTransport([])) as session:
            found = await session.requester.resources.downloader.fetch(link)

    assert found.data == data
    assert host.connections == 1


@pytest.mark.parametrize("away", [0, AWAY])
async def test_a_picture_that_never_comes_is_given_up_in_about_its_time(away, looptime):
    script = plays(play.read_head, stopped(away), HEAD, play.stall)
    async with FaultServer(script) as host:
        link = f"http://127.0.0.1:{host.port}/a.png"
        body = json.dumps({"created": 1, "data": [{"url": link}]}).encode()
        config = settings("http://127.0.0.1:9/api/paas/v4")
        transport = ScriptedTransport([Script(body=body)])
        async with ImageSession(config, http=transport) as session:
            with pytest.raises(DownloadError, match="it took too long"):
                await session.generate_picture("a fox")

    assert 8 * max(TOTAL, away) <= looptime < 8 * (max(TOTAL, away) + PAUSE) + 60


async def test_a_stop_while_it_connects_is_free_and_costs_one_more_try_at_most(tls):
    async def connects(server, wire):
        await play.pictures(server, wire)

    connector = aiohttp.TCPConnector(ssl=tls[1])
    async with (
        FaultServer(connects, tls=tls[0]) as server,
        aiohttp.ClientSession(connector=connector) as http,
        ImageSession(settings(server.base_url), http=http) as session,
    ):
        asyncio.get_running_loop().call_later(0, stop_the_process, 60)
        await session.generate("a fox")

    assert server.posts == 1


async def test_the_free_check_reads_an_answer_that_came_during_a_stop():
    refused = json.dumps({"error": {"code": "1210", "message": "empty"}}).encode()
    steps = [play.read, answer(refused, status=400), stopped(60), play.stall]
    async with FaultServer(plays(*steps)) as server:
        timeouts = Timeouts(total=300)
        config = SessionConfig(
            api_key="sk-fault-canary", base_url=server.base_url, timeouts=timeouts
        )
        async with ImageSession(config) as session:
            assert (await session.check()).ok


async def test_a_place_that_comes_free_with_an_answer_of_a_stop_is_taken():
    """The wait for a place is over only when what lies in the sockets was read."""
    steps = [WHOLE, stopped(AWAY), play.read, answer(body(2)), play.stall]
    async with FaultServer(plays(play.read, play.wait(1), *steps)) as server:
        config = settings(server.base_url, max_in_flight=1, adaptive=False)
        async with ImageSession(config) as session:
            first = asyncio.create_task(session.generate("a fox"))
            await asyncio.sleep(0)
            await session.generate("a cat", max_wait=2)
            await first

    assert server.posts == 2


async def test_a_place_that_does_not_come_free_is_waited_for_in_its_time(looptime):
    async with FaultServer(plays(play.read, play.stall)) as server:
        config = settings(server.base_url, max_in_flight=1, adaptive=False)
        async with ImageSession(config) as session:
            first = asyncio.create_task(session.generate("a fox"))
            await asyncio.sleep(0)
            with pytest.raises(BusyError):
                await session.generate("a cat", max_wait=2)
            assert looptime == 2
            with pytest.raises(AnswerLostError):
                await first


async def test_a_loop_that_is_never_quiet_ends_it_all_the_same():
    ended = []
    parts = []
    Deadline(1, lambda: ended.append(len(parts)), parts)
    await asyncio.sleep(1)
    while not ended:
        parts.append(b"x")
        await asyncio.sleep(0)

    assert ended[0] == pytest.approx(LONGEST, abs=5)


async def test_a_loop_that_is_merely_busy_gives_no_time_back(looptime):
    ended = asyncio.Event()
    Deadline(1, ended.set)
    await asyncio.sleep(0)
    stop_the_process(1 + LATE / 2)
    await ended.wait()

    assert looptime < 1 + LATE


async def test_a_block_that_ends_in_time_is_not_ended_later():
    async with within(1):
        await asyncio.sleep(0.5)
    await asyncio.sleep(10)


async def test_what_is_cancelled_in_the_last_turns_is_not_ended():
    ended = []
    one = Deadline(1, lambda: ended.append(True))
    await asyncio.sleep(1)
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.sleep(10)

    assert not ended


async def test_a_cancellation_passes_through_a_block_with_a_deadline():
    async def block() -> None:
        async with within(10):
            await asyncio.sleep(1000)

    task = asyncio.create_task(block())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
