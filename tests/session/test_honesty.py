"""
The money, in the corners: earlier attempts, closed sessions, broken links and inputs.

Every POST that may be billed ends up as a picture, as an error that says so, or in a
batch's `abandoned`; each test here is a way in which one once did not.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from support.faults import FaultServer, Wire
from support.pictures import PictureHost
from support.strange import GOOD, answering, refusal

from zai_images import (
    AccountError,
    AnswerLostError,
    BatchRunner,
    BudgetError,
    BusyError,
    ConfigurationError,
    ConnectError,
    Done,
    DownloadError,
    Failed,
    ImageRequest,
    ImageResponse,
    ImageSession,
    ImageURL,
    InvalidRequestError,
    RateLimitedError,
    ResponseError,
    RetryPolicy,
    SessionConfig,
    events,
)
from zai_images._api.judge import seconds_to_wait
from zai_images.testing import Script, ScriptedTransport

pytestmark = pytest.mark.looptime

KEY = "sk-test-0123456789"


def session(*script: Script, **settings) -> ImageSession:
    given = ("max_pictures", "observer")
    caps = {k: settings.pop(k) for k in given if k in settings}
    config = SessionConfig(
        api_key=KEY, base_url="http://127.0.0.1:9/api/paas/v4", **settings
    )
    return ImageSession(config, http=ScriptedTransport(script), **caps)


def answer(body: object, status: int = 200, **fields) -> Script:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Script(status=status, body=data, **fields)


FAILED = answer(refusal("1234"), 500, delay=5)
REFUSED = answer(refusal("1302"), 429, delay=0.1)


class TestEarlierAttempts:
    """An attempt that may be billed is not forgotten when a later one is free."""

    @pytest.mark.parametrize(
        ("later", "kind", "caps"),
        [
            (Script(error=ConnectError("no network"), written=False), ConnectError, {}),
            (REFUSED, BusyError, {}),
            (Script(), BudgetError, {"max_pictures": 1}),
            (answer(refusal("1301"), 400), None, {}),
        ],
    )
    async def test_the_error_of_the_last_says_that_an_earlier_may_be_billed(
        self, later, kind, caps
    ):
        async with session(FAILED, later, **caps) as one:
            with pytest.raises(kind or Exception) as caught:
                await one.generate("a fox", max_wait=20)

            assert one.stats().maybe_billed == 1
        assert caught.value.billed == "maybe"
        assert "earlier attempt" in str(caught.value)

    async def test_a_batch_that_stops_in_the_pause_after_one_gives_its_outcome(self):
        broke = answer(refusal("1113"), 429, delay=5.2)
        async with session(FAILED, broke, adaptive=False) as one:
            outcomes = await BatchRunner(one).run(["a", "b", "c"])

        assert [one.index for one in outcomes] == [0, 1, 2]
        assert isinstance(outcomes[0].error, AnswerLostError)
        assert outcomes[0].billed == "maybe"
        assert isinstance(outcomes[1].error, AccountError)

    async def test_leaving_early_abandons_it_though_its_last_try_was_refused(self):
        async with session(FAILED, REFUSED) as one:
            async with BatchRunner(one).run(["a"]) as run:
                await asyncio.sleep(8)

        assert [left.index for left in run.abandoned] == [0]
        assert run.unsent == []
        assert (run.summary.abandoned, run.summary.maybe_billed) == (1, 1)


class TestClosing:
    async def test_closing_while_a_picture_is_fetched_keeps_the_link(self):
        async def unavailable(request):
            return web.Response(status=503)

        async with PictureHost(unavailable) as host:
            link = answer({"data": [{"url": host.url}]})
            one = session(link)
            call = asyncio.create_task(one.generate_picture("a fox"))
            await asyncio.sleep(2)
            await one.aclose()
            with pytest.raises(DownloadError) as caught:
                await call

        assert caught.value.response.url == host.url

    async def test_a_picture_answered_as_the_session_closed_is_paid_and_says_so(self):
        one = session(Script(delay=5))
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
            one = session(answer({"data": [{"url": host.url}]}), observer=seen.append)
            async with one:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(3):
                        await one.generate_picture("a fox")

        assert seen[-1].response.url == host.url
        assert "s3cret" not in repr(seen)


class TestStrangeLinks:
    @pytest.mark.parametrize(
        "location",
        ["https://[", "//[", "http://[::1", "https://a..b/", f"https://{'a' * 70}/"],
    )
    async def test_a_redirect_to_nonsense_fails_one_picture_and_not_the_batch(
        self, location
    ):
        async def redirects(request):
            return web.Response(status=302, headers={"Location": location})

        async with PictureHost(redirects) as host:
            one = session(answer({"data": [{"url": host.url}]}))
            async with one:
                outcomes = await BatchRunner(one, download=True).run(["a", "b"])

        assert {type(outcome.error) for outcome in outcomes} == {DownloadError}

    async def test_a_signed_link_goes_out_exactly_as_it_came(self):
        async with PictureHost() as host, session() as one:
            url = host.url.replace("s3cret", "a%2Fb%2Bc%3D%7E")
            await one.download(url)

        assert host.requests[0].rel_url.raw_query_string == "Signature=a%2Fb%2Bc%3D%7E"

    @pytest.mark.parametrize(
        "host", ["１２７.０.０.１", "169。254。169。254", "localhost。"]
    )
    async def test_behind_a_proxy_other_scripts_spell_no_private_address(self, host):
        async with FaultServer(hear) as proxy:
            config = SessionConfig(api_key=KEY, proxy=f"http://127.0.0.1:{proxy.port}")
            async with ImageSession(config) as one:
                with pytest.raises(DownloadError, match="not a public address"):
                    await one.download(f"https://{host}/a.png")

        assert proxy.connections == 0

    def test_a_response_shows_where_its_link_leads_and_not_the_signature(self):
        response = ImageResponse(
            created=1, images=(ImageURL(url="https://e.example/a.png?Signature=s3"),)
        )

        assert "https://e.example/a.png?***" in repr(response)

    async def test_a_picture_made_to_keep_a_reader_busy_is_given_up_at_once(self):
        body = b"\xff\xd8" + b"\xff" * 2**20

        async def serve(request):
            return web.Response(body=body)

        async with PictureHost(serve) as host, session() as one:
            with pytest.raises(DownloadError, match="more than 10000 parts"):
                await one.download(host.url)


async def hear(server: FaultServer, wire: Wire) -> None:
    await wire.reader.read()


class TestStrangeAnswers:
    async def test_a_field_nested_too_deep_does_not_lose_the_picture(self):
        deep = b"[" * 800 + b"]" * 800
        body = b'{"data":[{"url":"https://e.example/a"}],"x":' + deep + b"}"
        async with session(answer(body)) as one:
            response = await one.generate("a fox")

        assert response.url == "https://e.example/a"

    async def test_a_number_too_long_to_read_does_not_either(self):
        body = b'{"data":[{"url":"https://e.example/a"}],"n":' + b"9" * 9999 + b"}"
        async with session(answer(body)) as one:
            assert (await one.generate("a fox")).url == "https://e.example/a"

    @pytest.mark.parametrize(
        "header", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Mon, 1 Jan"]
    )
    def test_a_date_out_of_this_world_says_nothing(self, header):
        from datetime import UTC, datetime

        assert seconds_to_wait(header, datetime.now(UTC)) is None

    @pytest.mark.parametrize(
        "body",
        [
            {"error": {"message": "x"}, "code": "1113"},
            {"error": {}, "code": "1113"},
            {"error": {"code": None}, "code": 1113},
            {"error": [{"code": "1113"}]},
        ],
    )
    async def test_the_code_is_found_beside_an_error_without_one(self, body):
        async with session(answer(body, 429)) as one:
            with pytest.raises(AccountError):
                await one.generate("a fox")

            assert one.requester._http.posts == 1

    async def test_a_signed_link_in_a_strange_answer_is_kept_but_not_quoted(self):
        url = "https://e.example/a.png?Signature=s3cret"
        for body, kind in [
            ({"success": False, "data": [{"url": url}]}, ResponseError),
            (b'{"data":[{"url":"' + url.encode() + b'"}]} trailing', AnswerLostError),
        ]:
            async with session(answer(body)) as one:
                with pytest.raises(kind) as caught:
                    await one.generate("a fox")

            assert "s3cret" not in str(caught.value)
            assert url in caught.value.body

    async def test_a_code_of_any_length_is_made_fit_for_a_line(self):
        body = refusal("1" * 9999 + "\x1b[2J\n")
        async with session(answer(body, 400)) as one:
            with pytest.raises(Exception, match="code 111") as caught:
                await one.generate("a fox")

        assert len(str(caught.value)) < 600
        assert "\x1b" not in str(caught.value)

    async def test_a_key_that_stands_in_a_link_does_not_spoil_it(self):
        good = {"data": [{"url": f"https://{KEY}.example/{KEY}.png"}]}
        async with answering((200, good)) as server:
            async with ImageSession(api_key=KEY, base_url=server.base_url) as one:
                assert (await one.generate("a fox")).url == good["data"][0]["url"]

    async def test_a_failure_of_a_borrowed_session_after_the_write_may_be_billed(self):
        async def breaks(*_: object) -> None:
            raise ValueError("a tracer's own mistake")

        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(breaks)
        async with (
            answering(GOOD) as server,
            aiohttp.ClientSession(trace_configs=[trace]) as http,
            ImageSession(api_key=KEY, base_url=server.base_url, http=http) as one,
        ):
            with pytest.raises(AnswerLostError):
                await one.generate("a fox")

            assert server.posts == one.stats().maybe_billed == 1


class TestLongSieges:
    @pytest.mark.parametrize("code", ["1302", "1305"])
    @pytest.mark.parametrize("adaptive", [True, False])
    async def test_thousands_of_refusals_are_only_waited_for(self, code, adaptive):
        busy = answer(refusal(code), 429)
        no_network = Script(error=ConnectError("gone"), written=False)
        script = [*itertools.repeat(busy, 1200), no_network, Script()]
        async with session(*script, adaptive=adaptive) as one:
            await one.generate("a fox")

            assert one.stats().refusals == 1200


class TestInputs:
    async def test_an_input_whose_own_wait_is_cancelled_is_not_a_quiet_end(self):
        async def prompts() -> AsyncIterator[str]:
            yield "a fox"
            waiting = asyncio.ensure_future(asyncio.sleep(60))
            asyncio.get_running_loop().call_later(1, waiting.cancel)
            await waiting
            yield "never"  # pragma: no cover

        async with session() as one:
            run = BatchRunner(one).run(prompts())
            with pytest.raises(asyncio.CancelledError) as caught:
                await run

        assert [type(outcome) for outcome in caught.value.finished] == [Done]
        assert "1 outcomes had finished" in caught.value.__notes__[0]

    async def test_bad_sizes_by_the_hundred_do_not_hold_up_the_loop(self):
        """The nearest legal size is found without trying every one."""
        async with session(answer(refusal("1113"), 429)) as one:
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
        async with session() as one:
            outcomes = await BatchRunner(one).run([item, "a fox"])

        assert isinstance(outcomes[0].error, InvalidRequestError)
        assert isinstance(outcomes[1], Done)

    async def test_stopping_from_within_a_call_does_not_wait_out_its_pause(self):
        transport = ScriptedTransport(
            [answer(refusal("7777"), 429, retry_after="60"), Script()]
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
        async with session() as one:
            with pytest.raises(InvalidRequestError, match="max_wait"):
                await one.generate("a fox", max_wait=-1)


class TestSettings:
    @pytest.mark.parametrize(
        "settings",
        [
            {"base_url": "https://[bad"},
            {"base_url": "https://example.com:x/v4"},
            {"api_key": 5},
            {"max_in_flight": "5"},
            {"max_in_flight": 0.5},
            {"max_in_flight": True},
            {"max_downloads": 2.5},
            {"max_downloads": None},
            {"prices": {"a": "x"}},
            {"prices": {"a": -1.0}},
            {"prices": {"a": float("nan")}},
            {"proxy": "user:pw@proxy.example:1"},
            {"proxy": "http://us@er:pw@[bad/"},
            {"proxy": "http://me:pw@h:99999/"},
        ],
    )
    def test_a_setting_of_the_wrong_kind_is_refused_without_showing_secrets(
        self, settings
    ):
        with pytest.raises(ConfigurationError) as caught:
            SessionConfig(**settings)

        assert "pw" not in str(caught.value)

    @pytest.mark.parametrize("cap", [float("nan"), -1, "5"])
    @pytest.mark.parametrize("name", ["max_cost", "max_pictures"])
    def test_a_cap_that_could_not_be_kept_is_refused(self, name, cap):
        with pytest.raises(ConfigurationError, match=name):
            ImageSession(api_key=KEY, **{name: cap})

    def test_the_password_of_a_proxy_is_masked_however_it_is_written(self):
        config = SessionConfig(api_key=KEY, proxy="http://us@er:s3cret@proxy.example:1")

        assert "s3cret" not in repr(config)

    async def test_nor_is_it_in_the_error_of_a_proxy_that_refuses(self, caplog):
        caplog.set_level("DEBUG")

        async def refuses(server: FaultServer, wire: Wire) -> None:
            await wire.reader.readuntil(b"\r\n\r\n")
            await wire.send(b"HTTP/1.1 407 P\r\nContent-Length: 0\r\n\r\n")

        async with FaultServer(refuses) as proxy:
            config = SessionConfig(
                api_key=KEY,
                proxy=f"http://user:s3cret@127.0.0.1:{proxy.port}",
                retry=RetryPolicy(connect_errors=1),
            )
            async with ImageSession(config) as one:
                with pytest.raises(ConnectError) as caught:
                    await one.generate("a fox")

        assert "s3cret" not in str(caught.value) + caplog.text

    async def test_a_model_the_account_lacks_says_so_for_each_item_by_itself(self):
        lacks = answer(refusal("1311"), 429)
        async with session(lacks) as one:
            outcomes = await BatchRunner(one).run(["a", "b", "c"])

        assert len({id(outcome.error) for outcome in outcomes}) == 3

    async def test_an_enumeration_of_ones_own_goes_out_by_its_value(self):
        from enum import Enum

        class Ratio(str, Enum):  # noqa: UP042 - the kind that str() spells otherwise
            WIDE = "16:9"

        async with session() as one:
            await one.generate(ImageRequest("a", model="foo", size=Ratio.WIDE))

            assert json.loads(one.requester._http.bodies[0])["size"] == "16:9"

    def test_a_refusal_is_an_error_like_others(self):
        assert RateLimitedError("busy").retryable
