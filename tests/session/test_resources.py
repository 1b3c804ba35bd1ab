"""What a session opens on an event loop: its pools, and the places of each model."""

import asyncio
import gc
import resource

import aiohttp
import pytest
from support.clients import KEY, offline, saying, scripted
from support.pictures import PictureHost
from support.strange import GOOD, answering

from zai_images import (
    ConfigurationError,
    DownloadError,
    ImageSession,
    RetryPolicy,
    SessionConfig,
)
from zai_images._http.downloader import Downloader
from zai_images.sandbox import Sandbox
from zai_images.testing import Script, ScriptedTransport


def test_one_session_serves_one_loop_after_another():
    """A notebook restarts its loop, and a test has one of its own."""

    async def one_picture(session: ImageSession) -> None:
        async with Sandbox(speed=1000, pictures="plain") as sandbox:
            # The port is new with each loop, so point the session at it.
            session.requester.config = SessionConfig(
                api_key=sandbox.api_key, base_url=sandbox.base_url
            )
            picture = await session.generate_picture("a fox")
            assert picture.width == 1024

    session = ImageSession(api_key="sk-sandbox", base_url="http://127.0.0.1:1")
    for _ in range(3):
        asyncio.run(one_picture(session))
    asyncio.run(session.aclose())

    assert session.stats().pictures == 3


async def test_one_session_does_not_serve_two_running_loops():
    session = scripted()
    await session.generate("a fox")

    def elsewhere() -> None:
        asyncio.run(session.generate("a fox"))

    with pytest.raises(ConfigurationError, match="another running event loop"):
        await asyncio.to_thread(elsewhere)
    await session.aclose()


def test_a_session_goes_on_when_its_loop_rests_unclosed():
    """The first loop may run again, so what was open there is left, and warns."""
    session = scripted()
    loops = asyncio.new_event_loop(), asyncio.new_event_loop()
    with pytest.warns(ResourceWarning, match="Unclosed client session"):
        for loop in loops:
            assert loop.run_until_complete(session.generate("a fox"))
        loops[-1].run_until_complete(session.aclose())
        gc.collect()
    for loop in loops:
        loop.close()

    assert session.stats().pictures == 2


async def test_the_pool_of_a_borrowed_session_is_a_ceiling():
    connector = aiohttp.TCPConnector(limit=2)
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        answering(GOOD) as server,
        ImageSession(api_key=KEY, base_url=server.base_url, http=http) as session,
    ):
        await session.generate("a fox")

        await asyncio.gather(*(session.generate(f"fox {n}") for n in range(9)))
        found = session.stats().models["cogview-4-250304"]
        assert (found.limit, found.limit_reason) == (2, "connector")


@pytest.mark.looptime
async def test_fixed_places_are_five_by_default_and_never_more():
    async with Sandbox(limit=5, pictures="plain") as sandbox:
        config = SessionConfig(
            api_key=sandbox.api_key, base_url=sandbox.base_url, adaptive=False
        )
        async with ImageSession(config) as session:
            calls = [session.generate(f"fox {n}") for n in range(12)]
            await asyncio.gather(*calls)
            stats = session.stats()

        assert sandbox.bill.total == 12
        assert stats.refusals == 0
        latency = stats.models["cogview-4-250304"].latency["standard"]
        assert 5 <= latency.median <= latency.p95 <= 10
        assert latency.window == (5.0, 10.0)
    assert session.stats() == stats  # what was learned outlives the session


@pytest.mark.looptime
async def test_each_model_has_places_of_its_own():
    config = SessionConfig(api_key=KEY, max_in_flight=1)
    transport = ScriptedTransport([Script(delay=5)])
    async with ImageSession(config, http=transport) as session:
        await asyncio.gather(
            session.generate("a fox"), session.generate("a fox", model="glm-image")
        )

        assert asyncio.get_running_loop().time() < 6
        assert set(session.stats().models) == {"cogview-4-250304", "glm-image"}


@pytest.mark.parametrize(
    ("settings", "limit", "reason"),
    [
        ({}, 1, "growing"),
        ({"known_limits": {"cogview-4-250304": 40}}, 20, "known"),
        ({"known_limits": {"cogview-4-250304": 40}, "max_in_flight": 7}, 7, None),
        ({"adaptive": False}, 5, "fixed"),
        ({"adaptive": False, "max_in_flight": 9}, 9, "fixed"),
    ],
)
async def test_the_places_a_session_begins_with(settings, limit, reason):
    async with scripted(**settings) as session:
        await session.generate("a fox", quality="hd")
        found = session.stats().models["cogview-4-250304"]

    if settings:
        assert found.limit == limit
    assert found.limit_reason == (reason or "max_in_flight")


@pytest.mark.parametrize("adaptive", [True, False])
async def test_the_files_a_process_may_open_are_a_ceiling_on_its_places(
    monkeypatch, adaptive
):
    """64 of them are left to the rest of the process."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (67, 4096))
    settings = {"known_limits": {"cogview-4-250304": 40}, "max_in_flight": 20}
    async with scripted(adaptive=adaptive, **settings) as session:
        await session.generate("a fox")
        found = session.stats().models["cogview-4-250304"]

    reason = "open files" if adaptive else "fixed"
    assert (found.limit, found.limit_reason) == (3, reason)


async def test_no_bound_on_open_files_is_no_ceiling(monkeypatch):
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: unlimited)
    async with scripted(adaptive=False, max_in_flight=900) as session:
        await session.generate("a fox")

        assert session.stats().models["cogview-4-250304"].limit == 900


async def test_both_pools_are_closed_though_the_first_fails_at_it(monkeypatch):
    closed = []

    async def close(self):
        closed.append(type(self))

    close_downloads = Downloader.aclose

    async def fail(self):
        await close_downloads(self)
        raise OSError("the disk is gone")

    monkeypatch.setattr(ScriptedTransport, "aclose", close)
    monkeypatch.setattr(Downloader, "aclose", fail)
    session = scripted()
    await session.generate("a fox")
    with pytest.raises(OSError, match="the disk is gone"):
        await session.aclose()

    assert closed == [ScriptedTransport]


@pytest.mark.looptime
async def test_downloads_have_a_bound_of_their_own_and_pauses_do_not_count(
    looptime, no_jitter
):
    out, most, seen = 0, 0, set()
    patient = RetryPolicy(download_pause=4)

    async def slow(request):
        nonlocal out, most
        out += 1
        most = max(most, out)
        await asyncio.sleep(5)
        out -= 1
        first, _ = request.path not in seen, seen.add(request.path)
        return aiohttp.web.Response(status=503 if first else 403)

    async with (
        PictureHost(slow) as host,
        offline(max_downloads=2, retry=patient) as session,
    ):
        links = [host.url.replace("/a.png", f"/{n}.png") for n in range(6)]
        calls = [session.download(link) for link in links]
        results = await asyncio.gather(*calls, return_exceptions=True)

    assert {type(one) for one in results} == {DownloadError}
    assert most == 2
    assert 30 <= looptime < 36  # 12 answers of 5 s each, two at a time


async def test_a_paid_picture_that_is_not_fetched_is_told_with_its_kept_link():
    async def gone(request):
        return aiohttp.web.Response(status=410)

    async with PictureHost(gone) as host:
        link = saying({"created": 1760335349, "data": [{"url": host.url}]})
        async with offline(link) as session:
            with pytest.raises(DownloadError, match="made and paid for") as caught:
                await session.generate_picture("a fox")

    assert caught.value.response.url == host.url
    assert caught.value.expires.year == 2025
    assert "Its link is kept until 2025-11-12" in str(caught.value)
