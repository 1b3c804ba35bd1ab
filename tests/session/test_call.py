"""One call: its place, and what cancelling it leaves behind."""

import asyncio
import contextlib
import json

import pytest
from support.clients import (
    KEY,
    refusing,
    scripted,
)
from support.pictures import PictureHost

from zai_images import (
    BusyError,
    ConnectError,
    ImageSession,
    SessionConfig,
    events,
)
from zai_images.sandbox import Fault, Sandbox
from zai_images.testing import Script, ScriptedTransport


class TestPlaces:
    @pytest.mark.looptime
    async def test_a_call_that_gets_no_place_in_time_is_busy_and_free(self):
        config = SessionConfig(api_key=KEY, max_in_flight=1)
        transport = ScriptedTransport([Script(delay=60)])
        async with ImageSession(config, http=transport) as session:
            first = asyncio.create_task(session.generate("a fox"))
            await asyncio.sleep(1)
            with pytest.raises(BusyError, match="within 20 s") as caught:
                await session.generate("a cat", max_wait=20)
            await first

            assert transport.posts == 1
            assert caught.value.retry_after is None
            assert caught.value.billed == "no"

    @pytest.mark.looptime
    async def test_a_call_that_waited_for_a_connection_ends_in_that_error(self):
        """Its place was taken by another while it paused; that is not what failed."""
        config = SessionConfig(api_key=KEY, max_in_flight=1)
        refused = Script(error=ConnectError("nobody listens"), written=False)
        transport = ScriptedTransport([refused, Script(delay=60)])
        async with ImageSession(config, http=transport) as session:
            first = asyncio.create_task(session.generate("a fox", max_wait=20))
            await asyncio.sleep(0.1)
            second = asyncio.create_task(session.generate("a cat"))
            with pytest.raises(ConnectError, match="nobody listens"):
                await first
            await second

        assert transport.posts == 2

    @pytest.mark.looptime
    async def test_max_wait_never_cuts_a_sent_request_short(self):
        async with scripted(Script(delay=200)) as session:
            assert await session.generate("a fox", max_wait=0)

    @pytest.mark.looptime
    async def test_no_place_is_held_during_a_pause(self):
        refused = refusing("1305")
        config = SessionConfig(api_key=KEY, max_in_flight=1)
        transport = ScriptedTransport([refused, Script()])
        async with ImageSession(config, http=transport) as session:
            waiting = asyncio.create_task(session.generate("a fox"))
            await asyncio.sleep(1)

            assert session.stats().models["cogview-4-250304"].in_flight == 0
            # An overload concerns everybody, so nobody is sent before it is over.
            with pytest.raises(BusyError):
                await session.generate("a cat", max_wait=2)
            await waiting


class TestCancelling:
    @pytest.mark.looptime
    async def test_a_call_cancelled_in_service_says_that_it_may_be_billed(self, caplog):
        seen: list[events.Event] = []
        async with Sandbox(pictures="plain") as sandbox:
            async with ImageSession(
                api_key=sandbox.api_key, base_url=sandbox.base_url, observer=seen.append
            ) as session:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(2):
                        await session.generate("a fox")

                assert session.stats().maybe_billed == 1
                assert session.stats().models["cogview-4-250304"].in_flight == 0
            assert sandbox.bill.total == 1

        assert isinstance(seen[-1], events.Abandoned)
        assert seen[-1].billed == "maybe"
        assert "may be billed" in caplog.text
        assert "a fox" not in caplog.text

    @pytest.mark.looptime
    async def test_cancelling_at_every_await_leaves_nothing_behind(self):
        """Step by step through a whole call, one virtual quarter second at a time."""
        refused = Fault(status=429, code="1302", nth=1)
        for step in range(60):
            async with Sandbox(pictures="plain", faults=[refused]) as sandbox:
                session = ImageSession(
                    api_key=sandbox.api_key, base_url=sandbox.base_url
                )
                async with session:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(step * 0.25):
                            await session.generate_picture("a fox")

                    tasks = asyncio.all_tasks() - {asyncio.current_task()}
                    ours = [t for t in tasks if "zai_images/_" in repr(t.get_coro())]
                    assert not ours
                    model = session.stats().models.get("cogview-4-250304")
                    assert model is None or model.in_flight == 0
                    counted = session.stats().billed + session.stats().maybe_billed
                    assert counted == sandbox.bill.total

    @pytest.mark.looptime
    async def test_cancelling_a_download_says_that_the_picture_is_paid(self):
        async def never(request):
            await asyncio.sleep(10_000)

        seen: list[events.Event] = []
        async with PictureHost(never) as host:
            body = json.dumps({"created": 1, "data": [{"url": host.url}]}).encode()
            session = ImageSession(
                api_key=KEY,
                base_url="http://127.0.0.1:9",
                http=ScriptedTransport([Script(body=body)]),
                observer=seen.append,
            )
            async with session:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(5):
                        await session.generate_picture("a fox")

        assert (type(seen[-1]), seen[-1].billed) == (events.Abandoned, "yes")
