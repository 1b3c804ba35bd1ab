"""
Every way in which the fetching of a paid picture can break.

It costs nothing, so it is tried again where that makes sense; the generation never is.
What cannot be had is an error that keeps the paid link. The name of a case is the class
of faults that it alone stands for.
"""

import asyncio
import gzip
import json
from contextlib import asynccontextmanager

import pytest
from support import plays as play
from support.faults import FaultServer
from support.pictures import picture
from support.plays import CHUNKED, ENDLESS, HEAD, answer, chunks, on_each, plays

from zai_images import DownloadError, ImageSession, SessionConfig, Timeouts
from zai_images.testing import Script, ScriptedTransport

pytestmark = [pytest.mark.looptime, pytest.mark.tried("network: broken downloads")]

PNG = picture()
GOOD = answer(PNG)
LIMIT = 20.0  # seconds for one try
PAUSES = 60.0  # seconds at most between eight tries, in all
TRIES = 8

AT_ONCE = {
    "closed as it was accepted": [],
    "reset as it was accepted": [play.reset],
    "a greeting of another protocol": [b"220 mail\r\n\r\n", play.stall],
    "closed in the request": [play.read_some, play.close],
    "closed in place of an answer": [play.read_head, play.close],
    "reset in place of an answer": [play.read_head, play.reset],
    "closed in the status line": [play.read_head, b"HTTP/1.1 2", play.close],
    "reset in a header": [play.read_head, HEAD + b"Content-Le", play.reset],
    "closed before the body": [play.read_head, GOOD[: -len(PNG)], play.close],
    "closed in the body": [play.read_head, GOOD[:-99], play.close],
    "reset in the body": [play.read_head, GOOD[:-99], play.reset],
    "closed in a body that its end delimits": [
        play.read_head,
        ENDLESS + PNG[:-20],
        play.close,
    ],
    "closed between two chunks": [
        play.read_head,
        CHUNKED + chunks(PNG[:99]),
        play.close,
    ],
    "a size of chunk that is no number": [
        play.read_head,
        CHUNKED + b"zz\r\n",
        play.stall,
    ],
    "a length that is too short": [play.read_head, answer(PNG, length=99), play.stall],
    "a length that is negative": [play.read_head, answer(PNG, length=-1), play.stall],
    "two lengths that differ": [
        play.read_head,
        answer(PNG, headers="Content-Length: 3\r\n"),
        play.stall,
    ],
    "a header without end": [play.read_head, HEAD + b"X: " + b"y" * 2**17, play.stall],
    "an answer without a head (HTTP/0.9)": [play.read_head, PNG, play.close],
    "closed after early hints": [
        play.read_head,
        b"HTTP/1.1 103 E\r\n\r\n",
        play.close,
    ],
    "an empty picture": [play.read_head, answer(b"")],
    "a page in place of a picture": [play.read_head, answer(b"<html>")],
    "a compressed picture": [
        play.read_head,
        answer(gzip.compress(PNG), headers="Content-Encoding: gzip\r\n"),
    ],
    "unavailable": [play.read_head, answer(b"", status=503)],
    "too many requests": [play.read_head, answer(b"", status=429)],
}
LATE = {
    "silence in place of an answer": [play.read_head, play.stall],
    "silence in a header": [play.read_head, HEAD + b"Content-Le", play.stall],
    "silence before the body": [play.read_head, GOOD[: -len(PNG)], play.stall],
    "silence in the body": [play.read_head, GOOD[:-9], play.stall],
    "silence in a chunk": [play.read_head, CHUNKED + chunks(PNG)[:-9], play.stall],
    "silence at the end of a body that its end delimits": [
        play.read_head,
        ENDLESS + PNG,
        play.stall,
    ],
    "a head of one byte a second": [play.read_head, play.slowly(GOOD)],
    "a body of one byte a second": [
        play.read_head,
        GOOD[: -len(PNG)],
        play.slowly(PNG),
    ],
    "word to go on every second": [
        play.read_head,
        play.endlessly(b"HTTP/1.1 100 C\r\n\r\n", 1),
    ],
}
# Another try would end the same.
LASTING = {
    "forbidden": [play.read_head, answer(b"", status=403), play.stall],
    "gone": [play.read_head, answer(b"", status=410), play.stall],
    "a length beyond all pictures": [
        play.read_head,
        answer(PNG, length=2**40),
        play.stall,
    ],
    "a body beyond all pictures": [
        play.read_head,
        ENDLESS,
        play.endlessly(b"\0" * 2**20),
    ],
    "elsewhere without end": [
        play.read_head,
        answer(b"", status=302, headers="Location: /a.png\r\n"),
    ],
    "elsewhere, to nonsense": [
        play.read_head,
        answer(b"", status=302, headers="Location: https://[\r\n"),
        play.stall,
    ],
}


@asynccontextmanager
async def paid(script):
    """Pay for a picture that lies on this server; nothing may be left open."""
    async with FaultServer(script) as host:
        link = f"http://127.0.0.1:{host.port}/a.png?Signature=s3cret"
        body = json.dumps({"created": 1, "data": [{"url": link}]}).encode()
        transport = ScriptedTransport([Script(body=body)])
        config = SessionConfig(
            api_key="sk-fault-canary",
            base_url="http://127.0.0.1:9/api/paas/v4",
            timeouts=Timeouts(download=LIMIT),
        )
        async with ImageSession(config, http=transport) as session:
            yield host, session, link
            await asyncio.sleep(0)
            assert (
                not session.requester.resources.downloader._session.connector._acquired
            )
            assert session.requester.resources.downloads._value == config.max_downloads
            assert (session.stats().billed, session.stats().maybe_billed) == (1, 0)
        await host.all_gone()
        orphans = asyncio.all_tasks() - host._tasks - {asyncio.current_task()}
        assert not orphans
    assert transport.posts == 1
    assert not any(b"fault-canary" in one for one in host.seen)


async def fails(steps):
    """Let every try fail; returns how many connections it took."""
    async with paid(plays(*steps)) as (host, session, link):
        with pytest.raises(DownloadError) as caught:
            await session.generate_picture("a fox")

    assert caught.value.billed == "yes"
    assert caught.value.response.url == link
    assert "s3cret" not in str(caught.value)
    return host.connections


@pytest.mark.parametrize("steps", AT_ONCE.values(), ids=AT_ONCE)
async def test_a_picture_that_breaks_off_is_fetched_again_and_its_link_kept(
    steps, looptime
):
    # aiohttp by itself repeats a GET whose connection ends before there is an answer.
    assert TRIES <= await fails(steps) <= 2 * TRIES
    assert looptime < PAUSES


@pytest.mark.parametrize("steps", LATE.values(), ids=LATE)
async def test_a_picture_that_never_ends_is_given_up_after_its_time_out(
    steps, looptime
):
    assert await fails(steps) == TRIES
    assert TRIES * LIMIT <= looptime < TRIES * LIMIT + PAUSES


@pytest.mark.parametrize("steps", LASTING.values(), ids=LASTING)
async def test_a_picture_that_is_not_there_is_given_up_at_once(steps, looptime):
    assert await fails(steps) <= 4  # redirects
    assert looptime < LIMIT


TRANSIENT = AT_ONCE | LATE


@pytest.mark.parametrize("steps", TRANSIENT.values(), ids=TRANSIENT)
async def test_one_bad_try_costs_a_pause_and_no_picture(steps, looptime):
    script = on_each(plays(*steps), plays(play.read_head, GOOD, play.stall))
    async with paid(script) as (host, session, _):
        found = await session.generate_picture("a fox")

    assert found.data == PNG
    assert host.connections == 2
    assert looptime < LIMIT + 5


async def test_what_comes_of_an_idle_connection_is_no_picture_of_anyone():
    other = answer(picture(size=(8, 8)))
    script = on_each(
        plays(play.read_head, GOOD, play.wait(1), other, play.stall),
        plays(play.read_head, GOOD, play.stall),
    )
    async with paid(script) as (host, session, link):
        await session.generate_picture("a fox")
        await asyncio.sleep(2)
        again = await session.download(link)

    assert again.data == PNG
    assert host.connections == 2
