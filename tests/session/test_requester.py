"""Closing while something is under way loses no link and no bill."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from support.clients import (
    KEY,
    offline,
    saying,
)
from support.faults import FaultServer, Wire
from support.pictures import PictureHost

from zai_images import (
    AnswerLostError,
    BatchRunner,
    ConfigurationError,
    DownloadError,
    ImageSession,
    SessionConfig,
    events,
)
from zai_images.testing import Script

pytestmark = pytest.mark.looptime


class TestClosing:
    async def test_closing_while_a_picture_is_fetched_keeps_the_link(self):
        async def unavailable(request):
            return web.Response(status=503)

        async with PictureHost(unavailable) as host:
            link = saying({"data": [{"url": host.url}]})
            one = offline(link)
            call = asyncio.create_task(one.generate_picture("a fox"))
            await asyncio.sleep(2)
            await one.aclose()
            with pytest.raises(DownloadError) as caught:
                await call

        assert caught.value.response.url == host.url

    async def test_a_picture_answered_as_the_session_closed_is_paid_and_says_so(self):
        one = offline(Script(delay=5))
        async with BatchRunner(one, download=True).run(["a fox"]) as run:
            await asyncio.sleep(1)
            await one.aclose()
            (outcome,) = [outcome async for outcome in run]

        assert isinstance(outcome.error, DownloadError)
        assert outcome.response.url == "https://example.com/picture.png"
        assert outcome.billed == "yes"
        assert run.summary.billed == 1

    async def test_a_link_is_told_when_its_download_is_cancelled(self):
        async def never(request):
            await asyncio.sleep(1000)

        seen: list[events.Event] = []
        async with PictureHost(never) as host:
            told = saying({"data": [{"url": host.url}]})
            one = offline(told, observer=seen.append)
            async with one:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(3):
                        await one.generate_picture("a fox")

        assert seen[-1].response.url == host.url
        assert "s3cret" not in repr(seen)


async def test_what_waits_for_a_place_as_the_session_closes_is_not_sent():
    """A borrowed connection pool stays open, and must not be used any more."""

    async def silence(server: FaultServer, wire: Wire) -> None:
        await server.read(wire)
        read.set()
        await asyncio.sleep(1000)

    read = asyncio.Event()
    async with FaultServer(silence) as server, aiohttp.ClientSession() as http:
        config = SessionConfig(
            api_key=KEY, base_url=server.base_url, adaptive=False, max_in_flight=1
        )
        session = ImageSession(config, http=http)
        calls = [asyncio.create_task(session.generate(f"fox {n}")) for n in range(2)]
        await read.wait()
        await session.aclose()
        sent, waited = await asyncio.gather(*calls, return_exceptions=True)

    assert (type(sent), type(waited)) == (AnswerLostError, ConfigurationError)
    assert "Nothing was sent" in str(waited)
    assert len(server.seen) == 1
