"""Answers no page describes: the picture is kept, the code found, no link quoted."""

import pickle

import aiohttp
import pytest
from support.clients import KEY, client, offline, saying
from support.strange import GOOD, answering, refusal

from zai_images import (
    AccountError,
    AnswerLostError,
    ImageSession,
    ResponseError,
)
from zai_images._api.judge import seconds_to_wait

pytestmark = pytest.mark.looptime


class TestStrangeAnswers:
    async def test_a_field_nested_too_deep_does_not_lose_the_picture(self):
        deep = b"[" * 800 + b"]" * 800
        body = b'{"data":[{"url":"https://e.example/a"}],"x":' + deep + b"}"
        async with offline(saying(body)) as one:
            response = await one.generate("a fox")

        assert response.url == "https://e.example/a"

    @pytest.mark.parametrize("levels", [99, 100, 500, 850])
    async def test_what_is_kept_of_it_can_be_read_and_copied_deep_in_a_program(
        self, levels
    ):
        deep = b"[" * levels + b"]" * levels
        body = b'{"data":[{"url":"https://e.example/a","y":%b}],"x":%b}' % (deep, deep)
        async with offline(saying(body)) as one:
            response = await one.generate("a fox")

        def below(frames):
            if frames:
                return below(frames - 1)
            assert repr(response)
            return pickle.loads(pickle.dumps(response))

        assert below(400) == response
        assert bool(response.extra) == (levels < 100)

    async def test_a_number_too_long_to_read_does_not_either(self):
        body = b'{"data":[{"url":"https://e.example/a"}],"n":' + b"9" * 9999 + b"}"
        async with offline(saying(body)) as one:
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
        async with offline(saying(body, 429)) as one:
            with pytest.raises(AccountError):
                await one.generate("a fox")

            assert one.requester._http.posts == 1

    async def test_a_signed_link_in_a_strange_answer_is_kept_but_not_quoted(self):
        url = "https://e.example/a.png?Signature=s3cret"
        for body, kind in [
            ({"success": False, "images": [{"url": url}]}, ResponseError),
            (b'{"data":[{"url":"' + url.encode() + b'"}]} trailing', AnswerLostError),
        ]:
            async with offline(saying(body)) as one:
                with pytest.raises(kind) as caught:
                    await one.generate("a fox")

            assert "s3cret" not in str(caught.value)
            assert url in caught.value.body

    async def test_an_answer_with_more_links_than_one_keeps_all_and_says_so(
        self, caplog
    ):
        links = [f"https://e.example/{n}.png?Signature=s3cret" for n in range(3)]
        many = {"created": 1, "data": [{"url": url} for url in links]}
        async with offline(saying(many)) as one:
            response = await one.generate("a fox")

        assert [image.url for image in response.images] == links
        (said,) = [record.getMessage() for record in caplog.records]
        assert "has 3 links; each may be billed" in said
        assert "session.download(image.url)" in said
        assert "s3cret" not in said

    async def test_an_answer_with_one_link_is_no_news(self, caplog):
        one_link = {"data": [{"url": "https://e.example/a"}, {"url": None}]}
        async with offline(saying(one_link)) as one:
            await one.generate("a fox")

        assert not caplog.records

    @pytest.mark.parametrize("status", [200, 429, 400, 503])
    async def test_a_link_beside_an_error_is_paid_for_once(self, status):
        beside = refusal("1302") | {"data": [{"url": "https://e.example/a"}]}
        async with answering((status, beside)) as server, client(server) as one:
            assert (await one.generate("a fox")).url == "https://e.example/a"

            assert server.posts == 1
            assert (one.stats().billed, one.stats().refusals) == (1, 0)

    async def test_a_code_of_any_length_is_made_fit_for_a_line(self):
        body = refusal("1" * 9999 + "\x1b[2J\n")
        async with offline(saying(body, 400)) as one:
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
