"""The session as its users hold it: opening, closing, budget, cancelling, secrets."""

import asyncio
import base64
import contextlib
import copy
import gc
import json
import logging
import os
import pickle
import stat
import traceback
import warnings
from pathlib import Path

import aiohttp
import pytest
from support.faults import FaultServer, Wire, ok, unused_port
from support.pictures import PictureHost
from support.strange import GOOD, answering, refusal

from zai_images import (
    AnswerLostError,
    BudgetError,
    BusyError,
    ConfigurationError,
    ConnectError,
    ImageRequest,
    ImageSession,
    InvalidRequestError,
    RetryPolicy,
    SessionConfig,
    ZaiImagesError,
    events,
)
from zai_images.sandbox import Fault, Sandbox
from zai_images.testing import Script, ScriptedTransport

KEY = "sk-canary-0123456789"


def scripted(*script: Script, **settings) -> ImageSession:
    return ImageSession(api_key=KEY, http=ScriptedTransport(script), **settings)


class TestOpeningAndClosing:
    async def test_a_session_opens_at_its_first_use_and_closes_twice_quietly(self):
        async with Sandbox(speed=1000) as sandbox:
            session = ImageSession(api_key=sandbox.api_key, base_url=sandbox.base_url)
            assert "new" in repr(session)
            await session.generate("a fox")
            assert "open" in repr(session)
            await session.aclose()
            await session.aclose()

            assert "closed" in repr(session)
            with pytest.raises(ConfigurationError, match="is closed"):
                await session.generate("a fox")
            with pytest.raises(ConfigurationError, match="is closed"):
                await session.download("https://example.com/a.png")

    def test_without_a_key_it_says_both_ways_out(self):
        with pytest.raises(ConfigurationError, match=r"ZAI_API_KEY.*Sandbox"):
            ImageSession()

    def test_the_environment_is_read_and_keywords_win(self, monkeypatch):
        monkeypatch.setenv("ZAI_API_KEY", "sk-env")
        monkeypatch.setenv("ZAI_BASE_URL", "http://127.0.0.1:1/api/paas/v4/")

        assert ImageSession().config.base_url == "http://127.0.0.1:1/api/paas/v4"
        assert ImageSession(api_key="sk-own").config.api_key == "sk-own"
        config = SessionConfig(api_key="sk-config", max_in_flight=3)
        session = ImageSession(config, base_url="https://example.com/v4")
        assert session.config.api_key == "sk-config"
        assert session.config.base_url == "https://example.com/v4"
        assert session.config.max_in_flight == 3

    def test_one_session_serves_one_loop_after_another(self):
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

    async def test_one_session_does_not_serve_two_running_loops(self):
        session = scripted()
        await session.generate("a fox")

        def elsewhere() -> None:
            asyncio.run(session.generate("a fox"))

        with pytest.raises(ConfigurationError, match="another running event loop"):
            await asyncio.to_thread(elsewhere)
        await session.aclose()

    def test_a_session_goes_on_when_its_loop_rests_unclosed(self):
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

    async def test_a_forgotten_session_warns(self):
        gc.collect()  # other tests' litter is not this one's
        session = scripted()
        await session.generate("a fox")
        # Nothing of aiohttp's own may stay behind to warn as well.
        await session.requester.resources.downloader.aclose()

        with pytest.warns(ResourceWarning, match="was never closed"):
            del session
            gc.collect()

    async def test_a_session_that_was_never_used_needs_no_closing(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scripted()
            gc.collect()


class TestBorrowedSessions:
    async def test_a_borrowed_session_is_used_for_the_api_only_and_never_closed(self):
        seen: list[str] = []

        async def note(_, __, params) -> None:
            seen.append(params.url.path)

        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(note)
        async with (
            Sandbox(speed=1000, pictures="plain") as sandbox,
            aiohttp.ClientSession(trace_configs=[trace], raise_for_status=True) as http,
        ):
            async with ImageSession(
                api_key=sandbox.api_key, base_url=sandbox.base_url, http=http
            ) as session:
                await session.generate_picture("a fox")
                with pytest.raises(ZaiImagesError) as caught:
                    await session.generate("x", model="no-such-model")

            assert not http.closed
            assert "Authorization" not in http.headers

        assert seen == ["/api/paas/v4/images/generations"] * 2
        assert caught.value.code == "1211"

    async def test_a_closed_borrowed_session_is_a_clear_error(self):
        async with aiohttp.ClientSession() as http:
            pass
        async with ImageSession(api_key=KEY, http=http) as session:
            with pytest.raises(ConfigurationError, match="is closed"):
                await session.generate("a fox")

    async def test_a_borrowed_session_with_credentials_of_its_own_is_refused(
        self, monkeypatch, tmp_path
    ):
        """What netrc says would take the place of the Bearer key."""
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password pw")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        async with (
            answering(GOOD) as server,
            aiohttp.ClientSession(trust_env=True) as http,
            ImageSession(api_key=KEY, base_url=server.base_url, http=http) as session,
        ):
            with pytest.raises(ConfigurationError, match="aiohttp cannot send"):
                await session.generate("a fox")

    async def test_the_pool_of_a_borrowed_session_is_a_ceiling(self):
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

    async def test_something_else_as_http_is_refused(self):
        async with contextlib.AsyncExitStack() as stack:
            with pytest.raises(ConfigurationError, match="got object"):
                await stack.enter_async_context(
                    ImageSession(api_key=KEY, http=object())
                )


class TestPlaces:
    @pytest.mark.looptime
    async def test_fixed_places_are_five_by_default_and_never_more(self):
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
    async def test_each_model_has_places_of_its_own(self):
        config = SessionConfig(api_key=KEY, max_in_flight=1)
        transport = ScriptedTransport([Script(delay=5)])
        async with ImageSession(config, http=transport) as session:
            await asyncio.gather(
                session.generate("a fox"), session.generate("a fox", model="glm-image")
            )

            assert asyncio.get_running_loop().time() < 6
            assert set(session.stats().models) == {"cogview-4-250304", "glm-image"}

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
        refused = Script(status=429, body=json.dumps(refusal("1305")).encode())
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


class TestBudget:
    async def test_max_pictures_counts_what_is_in_flight(self):
        async with scripted(Script(delay=0.001), max_pictures=3) as session:
            calls = [session.generate(f"fox {n}") for n in range(5)]
            results = await asyncio.gather(*calls, return_exceptions=True)

            assert [type(r) for r in results].count(BudgetError) == 2
            assert session.requester._http.posts == 3

    async def test_max_cost_is_never_exceeded(self):
        prices = {"cogview-4-250304": 0.01}
        config = SessionConfig(api_key=KEY, prices=prices)
        transport = ScriptedTransport()
        async with ImageSession(config, http=transport, max_cost=0.1) as session:
            for _ in range(10):
                await session.generate("a fox")
            with pytest.raises(BudgetError, match=r"\$0\.1 is reached"):
                await session.generate("a fox")

            assert transport.posts == 10
            assert session.stats().cost == pytest.approx(0.1)

    @pytest.mark.parametrize(
        ("code", "left"), [("1301", True), ("1302", True), ("1234", False)]
    )
    async def test_what_may_be_billed_counts_as_spent(self, code, left):
        failed = Script(status=400, body=json.dumps(refusal(code)).encode())
        config = SessionConfig(api_key=KEY, retry=RetryPolicy(server_errors=0))
        transport = ScriptedTransport([failed, Script()])
        async with ImageSession(config, http=transport, max_pictures=1) as session:
            with contextlib.suppress(ZaiImagesError):
                await session.generate("a fox", max_wait=0)
            if left:
                await session.generate("a fox")
            else:
                with pytest.raises(BudgetError):
                    await session.generate("a fox")

    async def test_a_cap_on_an_unknown_cost_cannot_be_kept(self):
        async with ImageSession(
            api_key=KEY, base_url="https://example.com/v4", max_cost=1
        ) as session:
            with pytest.raises(ConfigurationError, match="prices="):
                await session.generate("a fox")

    async def test_the_list_price_is_known_on_the_services_own_host_only(self):
        async with scripted() as session:
            await session.generate("a fox")
            await session.generate("a fox", model="glm-image")
            assert session.stats().cost == pytest.approx(0.025)
        async with scripted(base_url="https://example.com/v4") as session:
            await session.generate("a fox")
            assert session.stats().cost is None


class RecordingLedger:
    """Write down every word a ledger is told, and raise where it is asked to."""

    def __init__(self, raise_in: str = "") -> None:
        self.words: list[tuple] = []
        self._raise_in = raise_in

    def _note(self, word: str, *rest: object) -> None:
        self.words.append((word, *rest))
        if word == self._raise_in:
            raise OSError("disk full")

    async def before_send(self, request, attempt) -> None:
        self._note("before_send", request.prompt, attempt)

    async def answered(self, raw) -> None:
        self._note("answered", raw.status)

    async def settled(self, attempt, billed) -> None:
        self._note("settled", attempt, billed)


class TestLedger:
    @pytest.mark.looptime
    async def test_it_is_told_of_each_attempt_in_its_exact_place(self):
        refused = Script(status=429, body=json.dumps(refusal("1302")).encode())
        ledger = RecordingLedger()
        async with scripted(refused, Script()) as session:
            await session.requester.answer(ImageRequest("a fox"), ledger=ledger)

        assert ledger.words == [
            ("before_send", "a fox", 1),
            ("answered", 429),
            ("settled", 1, "no"),
            ("before_send", "a fox", 2),
            ("answered", 200),
            ("settled", 2, "yes"),
        ]

    async def test_it_hears_of_an_answer_before_anything_decodes_it(self):
        ledger = RecordingLedger()
        async with scripted(Script(body=b"\xff")) as session:
            with pytest.raises(AnswerLostError):
                await session.requester.answer(ImageRequest("a fox"), ledger=ledger)

        assert ledger.words[1:] == [("answered", 200), ("settled", 1, "maybe")]

    async def test_its_errors_are_fatal_and_nothing_is_sent_after_one(self):
        ledger = RecordingLedger(raise_in="before_send")
        async with scripted(max_pictures=1) as session:
            with pytest.raises(OSError, match="disk full"):
                await session.requester.answer(ImageRequest("a fox"), ledger=ledger)
            assert session.requester._http.posts == 0
            assert ledger.words[-1] == ("settled", 1, "no")

            await session.generate("the budget was given back")

    async def test_an_answer_it_could_not_record_may_be_billed(self):
        ledger = RecordingLedger(raise_in="answered")
        async with scripted() as session:
            with pytest.raises(OSError, match="disk full"):
                await session.requester.answer(ImageRequest("a fox"), ledger=ledger)

        assert ledger.words[-1] == ("settled", 1, "maybe")

    async def test_it_is_told_once_more_when_the_call_is_cancelled(self):
        for written, billed in [(True, "maybe"), (False, "no")]:
            ledger = RecordingLedger()
            async with scripted(Script(delay=60, written=written)) as session:
                call = asyncio.create_task(
                    session.requester.answer(ImageRequest("a fox"), ledger=ledger)
                )
                while not ledger.words:
                    await asyncio.sleep(0)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call

            assert ledger.words[1:] == [("settled", 1, billed)]


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


class TestEvents:
    @pytest.mark.looptime
    async def test_an_observer_sees_a_call_from_queue_to_picture(self):
        seen: list[events.Event] = []
        faults = [Fault(status=429, code="1302", nth=1)]
        async with Sandbox(pictures="plain", faults=faults) as sandbox:
            async with ImageSession(
                api_key=sandbox.api_key,
                base_url=sandbox.base_url,
                observer=events.fan_out(seen.append, lambda event: 1 / 0),
            ) as session:
                await session.generate_picture("a fox")

        assert [type(event).__name__ for event in seen] == [
            "Queued", "Sent", "Refused", "Retried", "Sent", "Answered", "Downloaded"
        ]  # fmt: skip
        assert all(event.request.prompt == "a fox" for event in seen)
        assert KEY not in repr(seen)

    async def test_an_observer_that_raises_is_logged_and_changes_nothing(self, caplog):
        async with scripted(observer=lambda event: 1 / 0) as session:
            await session.generate("a fox")

        assert "An observer failed on Queued" in caplog.text

    async def test_a_failed_call_is_an_event(self):
        seen: list[events.Event] = []
        failed = Script(status=400, body=json.dumps(refusal("1301")).encode())
        async with scripted(failed, observer=seen.append) as session:
            with pytest.raises(ZaiImagesError):
                await session.generate("a fox")

        assert isinstance(seen[-1], events.Failed)


class TestRequests:
    async def test_keywords_replace_the_fields_of_a_request(self):
        transport = ScriptedTransport()
        async with ImageSession(api_key=KEY, http=transport) as session:
            await session.generate(
                ImageRequest("a fox", size="512x512", quality="hd"),
                size=(1440, 720),
                user_id="user-1",
                extra={"seed": 7},
            )

        assert json.loads(transport.bodies[0]) == {
            "model": "cogview-4-250304",
            "prompt": "a fox",
            "quality": "hd",
            "size": "1440x720",
            "user_id": "user-1",
            "seed": 7,
        }

    async def test_a_bad_request_is_refused_before_anything_is_sent(self):
        transport = ScriptedTransport()
        async with ImageSession(api_key=KEY, http=transport) as session:
            for call in (session.generate, session.generate_picture):
                with pytest.raises(InvalidRequestError):
                    await call("a fox", size="1x1")

        assert transport.posts == 0


class TestSaving:
    async def test_a_picture_is_saved_whole_private_and_over_an_old_one(self, tmp_path):
        async with Sandbox(speed=1000, pictures="plain") as sandbox:
            async with ImageSession(
                api_key=sandbox.api_key, base_url=sandbox.base_url
            ) as session:
                picture = await session.generate_picture("a fox", size="512x528")

        target = tmp_path / "fox.png"
        target.write_bytes(b"old")
        old_mask = os.umask(0)
        try:
            assert await picture.save(str(target)) == target
        finally:
            os.umask(old_mask)

        assert target.read_bytes() == picture.data
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert os.listdir(tmp_path) == ["fox.png"]
        assert (picture.width, picture.height) == (512, 528)
        assert picture.request.prompt == "a fox"
        assert picture.cost is None
        assert picture.latency > 0

    async def test_a_failed_save_leaves_no_part_behind(self, tmp_path, monkeypatch):
        picture = await self.any_picture()

        def no_space(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("zai_images._picture.picture.os.fsync", no_space)
        with pytest.raises(OSError, match="No space"):
            await picture.save(tmp_path / "a.png")
        assert os.listdir(tmp_path) == []

        with pytest.raises(FileNotFoundError):
            await picture.save(tmp_path / "missing" / "a.png")

    async def test_a_notebook_shows_the_picture_from_the_bytes_it_has(self):
        picture = await self.any_picture()

        shown, sizes = picture._repr_mimebundle_()

        assert base64.b64decode(shown["image/png"]) == picture.data
        assert sizes["image/png"] == {"width": 32, "height": 16}
        assert "bytes>" in shown["text/plain"]

    async def any_picture(self):
        async with PictureHost() as host:
            async with ImageSession(
                api_key=KEY, base_url="http://127.0.0.1:9"
            ) as session:
                return await session.download(host.url)


async def everything_shown(url: str) -> list[str]:
    """Fail a call, and gather all that a person or a program could see of it."""
    seen: list[str] = []
    session = ImageSession(
        api_key=KEY, base_url=url, observer=lambda event: seen.append(repr(event))
    )
    async with session:
        with pytest.raises(ZaiImagesError) as caught:
            await session.generate("a fox", max_wait=5)
        seen += [repr(session), repr(session.config), str(session.config)]
        seen.append(repr(vars(session)))
    shown = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    return [
        *seen,
        "".join(shown.format()),
        pickle.dumps(caught.value).decode("latin-1"),
    ]


class TestSecrets:
    """The key appears in no repr, log, traceback or pickle, however a call fails."""

    @pytest.mark.looptime
    async def test_the_key_is_nowhere_to_be_seen(self, caplog):
        caplog.set_level(logging.DEBUG)
        seen: list[str] = []

        async def hang_up(server: FaultServer, wire: Wire) -> None:
            await server.read(wire)
            wire.reset()

        async def sleep(server: FaultServer, wire: Wire) -> None:
            await server.read(wire)
            await asyncio.sleep(1000)

        echo = (401, {"error": {"code": "1000", "message": f"key {KEY} is bad"}})
        servers = [
            FaultServer(hang_up),
            FaultServer(sleep),
            answering(echo),
            answering((500, refusal("1234", KEY))),
            answering((200, f"<html>{KEY}".encode())),
            answering((200, {"data": [], "key": KEY})),
            answering((429, refusal("1302"))),
        ]
        urls = [f"http://127.0.0.1:{unused_port()}/api", "https://no-host.invalid/api"]
        async with contextlib.AsyncExitStack() as stack:
            for server in servers:
                await stack.enter_async_context(server)
                urls.append(server.base_url)
            for url in urls:
                seen += await everything_shown(url)
            assert all(KEY.encode() in s.seen[0] for s in servers)  # it did go out

        seen.append(caplog.text)
        assert len(seen) > 9 * 4
        for text in seen:
            assert KEY not in text

    @pytest.mark.looptime
    async def test_a_cancelled_call_shows_no_key_in_its_traceback(self):
        async def sleep(server: FaultServer, wire: Wire) -> None:
            await server.read(wire)
            await asyncio.sleep(1000)

        async with FaultServer(sleep) as server:
            async with ImageSession(api_key=KEY, base_url=server.base_url) as session:
                try:
                    async with asyncio.timeout(1):
                        await session.generate("a fox")
                except TimeoutError as error:
                    shown = traceback.TracebackException.from_exception(
                        error, capture_locals=True
                    )
                    assert KEY not in "".join(shown.format())

    def test_the_config_is_masked_and_still_usable(self):
        config = SessionConfig(api_key=KEY, proxy="http://me:pw@proxy.example:1")

        assert KEY not in repr(config)
        assert "pw" not in repr(config)
        assert copy.copy(config).api_key == KEY

    @pytest.mark.parametrize(
        ("settings", "match"),
        [
            ({"api_key": "two words"}, "no HTTP header"),
            ({"base_url": "ftp://example.com"}, "not an http"),
            ({"base_url": "example.com"}, "not an http"),
            ({"base_url": "http://example.com/v4"}, "in the clear"),
            ({"base_url": "https://me:pw@example.com/v4"}, "no user"),
            ({"max_in_flight": 0}, "max_in_flight"),
            ({"max_wait": -1}, "max_wait"),
            ({"headers": {"authorization": "x"}}, "api_key"),
            ({"retry": None}, None),
        ],
    )
    def test_settings_that_make_no_sense_are_refused(self, settings, match):
        if match is None:
            with pytest.raises(ConfigurationError):
                RetryPolicy(server_errors=-1)
            return
        with pytest.raises(ConfigurationError, match=match) as caught:
            SessionConfig(**settings)
        assert "pw" not in str(caught.value)


async def test_own_headers_go_to_the_api_and_the_language_is_english():
    server = FaultServer(one_good_answer)
    async with server:
        config = SessionConfig(
            api_key=KEY, base_url=server.base_url, headers={"X-Team": "art"}
        )
        async with ImageSession(config) as session:
            await session.generate("a fox")

    head = server.seen[0].decode().lower()
    assert "x-team: art" in head
    assert "accept-language: en-us,en" in head
    assert f"authorization: bearer {KEY}" in head
    assert "content-type: application/json" in head
    assert "accept-encoding: identity" in head


async def one_good_answer(server: FaultServer, wire: Wire) -> None:
    await server.read(wire)
    await wire.send(ok())


async def test_a_proxy_from_the_environment_is_used_only_where_it_is_trusted(
    monkeypatch,
):
    async with FaultServer(one_good_answer) as proxy, answering(GOOD) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        for trust_env in (False, True):
            config = SessionConfig(
                api_key=KEY, base_url=server.base_url, trust_env=trust_env
            )
            async with ImageSession(config) as session:
                await session.generate("a fox")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with ImageSession(config) as session:
            await session.generate("a fox")

        assert (server.posts, proxy.posts) == (2, 1)


def test_files_are_written_beside_their_target(tmp_path: Path):
    """A rename across two file systems would not be atomic."""
    from zai_images._picture.files import write_atomically

    for name in ("x" * 200 + ".png", "\N{FOX FACE}" * 62 + ".png"):
        write_atomically(tmp_path / name, b"data")

        assert (tmp_path / name).read_bytes() == b"data"
