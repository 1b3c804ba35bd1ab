"""A cancelled call goes on in the background once it was sent, if that is wanted."""

import asyncio
import contextlib
import gc
import json
import logging
import random
import subprocess
import sys
import textwrap

import anyio
import pytest
from aiohttp import web
from support.clients import client, offline, plain, refusing, scripted
from support.pictures import PictureHost, picture as made
from support.processes import unmeasured

from zai_images import (
    BudgetError,
    ConnectError,
    ImageRequest,
    ImageSession,
    SessionConfig,
    ZaiImagesError,
    events,
)
from zai_images.sandbox import Fault
from zai_images.testing import Script

MODEL = "cogview-4-250304"

# A sleep moves the virtual clock, and waits for nothing.
pytestmark = pytest.mark.looptime


def finishing(*script: Script, **settings):
    return scripted(*script, finish_cancelled=True, **settings)


def kinds(seen: list[events.Event]) -> list[str]:
    return [type(one).__name__ for one in seen]


async def cut(call, after: float) -> None:
    """Await a call, cancelled after so many seconds."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(after):
            await call


def leftover_tasks() -> list[asyncio.Task]:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return [one for one in tasks if "zai_images/_" in repr(one.get_coro())]


class TestWhatWasSent:
    async def test_it_goes_on_and_its_answer_is_told(self):
        seen: list[events.Event] = []
        async with finishing(Script(delay=9), observer=seen.append) as session:
            await cut(session.generate("a fox"), 2)
            assert asyncio.get_running_loop().time() == pytest.approx(2)
            assert session.stats().models[MODEL].in_flight == 1
            assert session.stats().maybe_billed == 0

        rescued = seen[-1]
        assert kinds(seen)[-2:] == ["Answered", "Rescued"]
        assert rescued.request == ImageRequest("a fox")
        assert rescued.response.url == "https://example.com/picture.png"
        assert rescued.picture is None
        assert session.stats().billed == 1
        assert session.stats().maybe_billed == 0
        assert session.stats().models[MODEL].in_flight == 0

    async def test_it_keeps_its_place_and_its_price_until_it_ends(self):
        async with finishing(
            Script(delay=9), max_in_flight=1, max_pictures=1
        ) as session:
            await cut(session.generate("a fox"), 2)
            assert session.stats().models[MODEL].in_flight == 1
            with pytest.raises(BudgetError):
                await session.generate("a cat")
            assert asyncio.get_running_loop().time() == pytest.approx(9)

    async def test_a_failure_in_the_background_is_told_and_not_tried_again(
        self, caplog
    ):
        seen: list[events.Event] = []
        refused = refusing("1302", delay=5)
        async with finishing(refused, Script(), observer=seen.append) as session:
            await cut(session.generate("a fox"), 2)
            await session.aclose()

            assert session.requester._http.posts == 1
        assert kinds(seen)[-2:] == ["Refused", "Failed"]
        assert "brought no picture" in caplog.text
        assert session.stats().billed == session.stats().maybe_billed == 0

    async def test_an_error_that_is_not_ours_is_in_the_log(self, caplog):
        broken = Script(error=MemoryError("too much"), delay=5)
        async with finishing(broken) as session:
            await cut(session.generate("a fox"), 2)

        assert "too much" in caplog.text

    async def test_without_an_observer_the_log_tells_of_it_without_the_signature(
        self, caplog
    ):
        link = "https://example.com/a.png?Signature=s3cret"
        body = json.dumps({"data": [{"url": link}]}).encode()
        caplog.set_level(logging.INFO)
        async with finishing(Script(body=body, delay=5)) as session:
            await cut(session.generate("a fox"), 2)

        assert "https://example.com/a.png" in caplog.text
        assert "observer" in caplog.text
        assert "s3cret" not in caplog.text

    async def test_the_whole_link_is_in_the_log_of_who_asks_for_everything(
        self, caplog
    ):
        caplog.set_level(logging.DEBUG)
        async with finishing(Script(delay=5)) as session:
            await cut(session.generate("a fox"), 2)

        assert caplog.messages[-1].endswith("https://example.com/picture.png")

    async def test_its_picture_is_fetched_too_where_the_call_would_have(self):
        seen: list[events.Event] = []
        async with plain() as box:
            async with client(
                box, finish_cancelled=True, observer=seen.append
            ) as session:
                await cut(session.generate_picture("a fox"), 2)
            assert box.bill.total == 1

        assert kinds(seen)[-2:] == ["Downloaded", "Rescued"]
        assert seen[-1].picture.request == ImageRequest("a fox")
        assert seen[-1].picture.response == seen[-1].response

    async def test_a_download_that_was_cancelled_goes_on(self):
        async def slow(request):
            await asyncio.sleep(9)
            return web.Response(body=made())

        seen: list[events.Event] = []
        async with PictureHost(slow) as host:
            body = json.dumps({"data": [{"url": host.url}]}).encode()
            one = offline(
                Script(body=body), finish_cancelled=True, observer=seen.append
            )
            async with one:
                await cut(one.generate_picture("a fox"), 5)

        assert kinds(seen)[-1] == "Rescued"
        assert seen[-1].picture.data

    async def test_a_picture_that_cannot_be_fetched_is_told_by_its_link(self):
        seen: list[events.Event] = []
        link = "http://127.0.0.1:9/a.png"
        body = json.dumps({"data": [{"url": link}]}).encode()
        one = offline(
            Script(body=body, delay=3), finish_cancelled=True, observer=seen.append
        )
        async with one:
            await cut(one.generate_picture("a fox"), 2)

        assert seen[-1].response.url == link
        assert seen[-1].picture is None


class TestWhatWasNotSent:
    async def test_a_call_cancelled_before_its_place_is_not_sent(self):
        async with finishing(Script(delay=9), max_in_flight=1) as session:
            first = asyncio.create_task(session.generate("a fox"))
            await asyncio.sleep(1)
            await cut(session.generate("a cat"), 2)
            await first
            await asyncio.sleep(60)

            assert session.requester._http.prompts == ["a fox"]
            assert leftover_tasks() == []

    async def test_a_call_cancelled_while_it_connects_is_not_sent(self):
        class Connecting:
            async def post(self, body, *, on_write):
                await asyncio.sleep(5)
                raise AssertionError("it is about to be sent")

            def scrub(self, error):
                raise AssertionError(error)

            async def aclose(self):
                pass

        config = SessionConfig(api_key="any", finish_cancelled=True)
        async with ImageSession(config, http=Connecting()) as session:
            await cut(session.generate("a fox"), 2)
            await asyncio.sleep(60)

            assert session.stats().maybe_billed == 0
            assert session.stats().models[MODEL].in_flight == 0

    async def test_a_call_cancelled_in_the_pause_before_a_retry_is_not_sent_again(self):
        failed = Script(error=ConnectError("nobody listens"), written=False)
        busy = refusing("1305")
        for first in (failed, busy):
            async with finishing(first, Script()) as session:
                await cut(session.generate("a fox"), 0.2)
                await asyncio.sleep(60)

                assert session.requester._http.posts == 1
                assert leftover_tasks() == []

    async def test_a_call_cancelled_at_once_is_not_sent(self):
        async with finishing() as session:
            call = asyncio.create_task(session.generate("a fox"))
            call.cancel()
            await asyncio.wait((call,))

            assert call.cancelled()
            assert session.requester._http.posts == 0


class TestEveryMoment:
    @pytest.mark.parametrize("picture", [False, True])
    async def test_whenever_it_is_cancelled_the_bill_is_what_was_told(self, picture):
        """Step by step through a whole call with a refusal in it."""
        refused = Fault(status=429, code="1302", nth=1)
        ended = set()
        for step in range(60):
            seen: list[events.Event] = []
            async with plain(faults=[refused]) as box:
                session = client(box, finish_cancelled=True, observer=seen.append)
                async with session:
                    call = session.generate_picture if picture else session.generate
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(step * 0.25):
                            seen.append(await call("a fox"))

                stats = session.stats()
                assert leftover_tasks() == []
                assert (stats.billed, stats.maybe_billed) == (box.bill.total, 0)
                got = [e for e in seen if not isinstance(e, events.CallEvent)]
                got += [e for e in seen if isinstance(e, events.Rescued)]
                got = [e for e in got if not isinstance(e, events.LimitChanged)]
                assert len(got) == box.bill.total
                ended.add(kinds(seen)[-1] if seen else "")

        assert "Rescued" in ended

    async def test_an_answer_that_comes_in_the_turn_of_the_cancellation_is_told(self):
        loop = asyncio.get_running_loop()
        seen: list[events.Event] = []

        def tell(event: events.Event) -> None:
            seen.append(event)
            if isinstance(event, events.Answered):
                loop.call_soon(call.cancel)

        async with finishing(Script(delay=5), observer=tell) as session:
            call = asyncio.create_task(session.generate("a fox"))
            await asyncio.wait((call,))

        assert call.cancelled()
        assert kinds(seen)[-1] == "Rescued"

    @pytest.mark.timeout(120)
    async def test_a_storm_of_five_hundred_cancelled_calls_is_billed_as_it_is_counted(
        self,
    ):
        chance = random.Random(12)
        seen: list[events.Event] = []
        async with plain(limit=40, speed=20) as box:
            session = client(box, finish_cancelled=True, observer=seen.append)
            async with session:
                calls = [
                    asyncio.create_task(session.generate(f"fox {n}"))
                    for n in range(500)
                ]
                for call in chance.sample(calls, 400):
                    await asyncio.sleep(chance.random() * 0.03)
                    call.cancel()
                ended = await asyncio.gather(*calls, return_exceptions=True)

            stats = session.stats()
            assert stats.billed + stats.maybe_billed == box.bill.total
            assert stats.maybe_billed == 0
        got = [one for one in ended if not isinstance(one, BaseException)]
        told = [one for one in seen if isinstance(one, events.Rescued)]
        assert len(got) + len(told) == box.bill.total
        assert told
        assert leftover_tasks() == []


class TestWhoCancels:
    async def test_a_task_group_whose_other_task_fails(self):
        async def fail() -> None:
            await asyncio.sleep(2)
            raise LookupError

        seen: list[events.Event] = []
        async with finishing(Script(delay=9), observer=seen.append) as session:
            with pytest.raises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(session.generate("a fox"))
                    group.create_task(fail())
            assert asyncio.get_running_loop().time() == pytest.approx(2)

        assert kinds(seen)[-1] == "Rescued"

    async def test_a_scope_of_anyio_which_cancels_again_and_again(self):
        seen: list[events.Event] = []
        async with finishing(Script(delay=9), observer=seen.append) as session:
            with anyio.move_on_after(2) as scope:
                await session.generate("a fox")
            assert scope.cancelled_caught

        assert kinds(seen)[-1] == "Rescued"

    async def test_one_who_cancels_twice(self):
        seen: list[events.Event] = []
        async with finishing(Script(delay=9), observer=seen.append) as session:
            call = asyncio.create_task(session.generate("a fox"))
            await asyncio.sleep(2)
            call.cancel()
            call.cancel()
            await asyncio.wait((call,))
            call.cancel()

        assert kinds(seen)[-1] == "Rescued"

    def test_ctrl_c_through_asyncio_run_in_a_process_of_its_own(self):
        code = """
        import asyncio, os, signal
        from zai_images import ImageSession, SessionConfig, events
        from zai_images.testing import Script, ScriptedTransport

        def tell(event):
            if isinstance(event, events.Sent):
                loop = asyncio.get_running_loop()
                loop.call_soon(os.kill, os.getpid(), signal.SIGINT)
            if isinstance(event, events.Rescued):
                print(type(event).__name__, event.response.url)

        async def main():
            config = SessionConfig(api_key="any", finish_cancelled=True)
            transport = ScriptedTransport([Script(delay=0.3)])
            async with ImageSession(config, http=transport, observer=tell) as session:
                await session.generate("a fox")

        # What a shell starts in the background ignores Ctrl-C; a terminal's does not.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            env=unmeasured(),
            check=True,
        )

        assert ran.stdout.split("\n")[:2] == [
            "Rescued https://example.com/picture.png",
            "interrupted",
        ]
        assert ran.stderr == ""


class TestClosing:
    async def test_closing_waits_for_what_goes_on(self):
        seen: list[events.Event] = []
        session = finishing(Script(delay=9), observer=seen.append)
        await cut(session.generate("a fox"), 2)
        await session.aclose()

        assert asyncio.get_running_loop().time() == pytest.approx(9)
        assert kinds(seen)[-1] == "Rescued"

    async def test_a_cancelled_closing_abandons_and_says_so(self):
        seen: list[events.Event] = []
        session = finishing(Script(delay=9), observer=seen.append)
        await cut(session.generate("a fox"), 2)
        await cut(session.aclose(), 3)

        assert asyncio.get_running_loop().time() == pytest.approx(5)
        assert (kinds(seen)[-1], seen[-1].billed) == ("Abandoned", "maybe")
        assert session.stats().maybe_billed == 1
        assert session.stats().models[MODEL].in_flight == 0
        assert leftover_tasks() == []

    async def test_a_closing_cancelled_in_the_turn_of_the_last_answer_is_harmless(self):
        seen: list[events.Event] = []

        def tell(event: events.Event) -> None:
            seen.append(event)
            if isinstance(event, events.Rescued):
                asyncio.get_running_loop().call_soon(closing.cancel)

        session = finishing(Script(delay=9), observer=tell)
        await cut(session.generate("a fox"), 2)
        closing = asyncio.create_task(session.aclose())
        await asyncio.wait((closing,))

        assert kinds(seen)[-1] == "Rescued"
        assert session.stats().billed == 1

    async def test_who_leaves_while_it_closes_is_waited_for_too(self):
        seen: list[events.Event] = []
        session = finishing(Script(delay=9), Script(delay=20), observer=seen.append)
        await cut(session.generate("a fox"), 1)
        second = asyncio.create_task(session.generate("a cat"))
        await asyncio.sleep(1)
        closing = asyncio.create_task(session.aclose())
        await asyncio.sleep(1)
        second.cancel()
        await closing

        assert kinds(seen).count("Rescued") == 2

    def test_the_end_of_the_loop_abandons_what_goes_on(self):
        seen: list[events.Event] = []
        session = finishing(Script(delay=9), observer=seen.append)

        async def leave() -> None:
            await cut(session.generate("a fox"), 0.05)

        asyncio.run(leave())
        asyncio.run(session.aclose())

        assert (kinds(seen)[-1], seen[-1].billed) == ("Abandoned", "maybe")
        assert session.stats().maybe_billed == 1

    def test_a_second_loop_is_served_after_that(self):
        seen: list[events.Event] = []
        session = finishing(Script(delay=0.2), observer=seen.append)

        async def leave() -> None:
            await cut(session.generate("a fox"), 0.05)

        async def again() -> None:
            async with session:
                await cut(session.generate("a cat"), 0.05)

        asyncio.run(leave())
        asyncio.run(again())

        assert kinds(seen).count("Abandoned") == 1
        assert kinds(seen)[-1] == "Rescued"
        gc.collect()


class TestTheSetting:
    async def test_it_is_off_outside_a_notebook(self):
        seen: list[events.Event] = []
        async with scripted(Script(delay=9), observer=seen.append) as session:
            await cut(session.generate("a fox"), 2)
            assert kinds(seen)[-1] == "Abandoned"
            assert leftover_tasks() == []

    @pytest.mark.parametrize(
        ("shell", "on"), [({"kernel": 1}, True), ({}, False), (None, False)]
    )
    def test_it_is_on_in_a_kernel_and_not_in_a_terminals_ipython(
        self, monkeypatch, shell, on
    ):
        found = None if shell is None else type("Shell", (), shell)()
        module = type("IPython", (), {"get_ipython": staticmethod(lambda: found)})
        monkeypatch.setitem(sys.modules, "IPython", module)

        assert SessionConfig().finishes_cancelled is on
        assert SessionConfig(finish_cancelled=not on).finishes_cancelled is not on

    def test_anything_but_yes_or_no_is_refused(self):
        with pytest.raises(ZaiImagesError, match="finish_cancelled"):
            SessionConfig(finish_cancelled="False")
