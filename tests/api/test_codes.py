"""Each row of the service's code table, end to end against a strange server."""

import pickle

import pytest
from support.clients import (
    client,
)
from support.strange import GOOD, answering, refusal

import zai_images
from zai_images import (
    AccountError,
    AnswerLostError,
    APIError,
    AuthenticationError,
    ContentFilter,
    ContentRefusedError,
    QuotaError,
    RequestRejectedError,
    ResponseError,
    RetryPolicy,
    ServerError,
)

pytestmark = pytest.mark.looptime


FINAL = [
    *[(AuthenticationError, 401, code) for code in range(1000, 1006)],
    (AuthenticationError, 401, None),
    (AuthenticationError, 401, "401"),
    *[(AccountError, 429, code) for code in (1110, 1111, 1112, 1113, 1121)],
    (AccountError, 403, 1220),
    (AccountError, 403, None),
    *[(AccountError, 429, code) for code in (1309, 1311, 1313, 1314, 1315)],
    *[(QuotaError, 429, code) for code in (1304, 1308, 1310)],
    *[(QuotaError, 429, code) for code in range(1316, 1322)],
    (ContentRefusedError, 400, 1300),
    (ContentRefusedError, 400, 1301),
    *[(RequestRejectedError, 400, code) for code in range(1210, 1216)],
    *[(RequestRejectedError, 400, code) for code in (1221, 1222, 1231, 1261)],
    (RequestRejectedError, 400, 9999),
    (RequestRejectedError, 400, None),
    (RequestRejectedError, 404, None),
    (RequestRejectedError, 434, 4340),
    (RequestRejectedError, 435, None),
]


STOP = (AuthenticationError, AccountError, QuotaError)


# Codes have been seen under HTTP 200; an unlisted one is a ResponseError there.
UNDER_200 = [
    (error, 200, code) for error, _, code in FINAL if code not in (None, 9999, 4340)
]


@pytest.mark.parametrize(("error", "status", "code"), FINAL + UNDER_200)
async def test_a_final_code_costs_one_post_and_nothing_else(error, status, code):
    body = refusal(None if code is None else str(code))
    async with answering((status, body)) as server, client(server) as one:
        with pytest.raises(APIError) as caught:
            await one.generate("a fox")

        assert server.posts == 1
        assert one.stats().maybe_billed == 0

    assert type(caught.value) is error
    assert caught.value.billed == "no"
    assert not caught.value.retryable
    assert caught.value.status == status
    assert caught.value.code == (None if code is None else str(code))
    assert "Nothing was billed" in str(caught.value)
    stops = (
        "nothing" if error not in STOP else "model" if code == 1311 else "everything"
    )
    assert caught.value.stops == stops


GATEWAYS = [408, 409, 425, 499, 500, 502, 503, 504, 520, 522, 524, 529, 599]


@pytest.mark.tried("a gateway's words")
@pytest.mark.parametrize("status", GATEWAYS)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>Bad Gateway</html>", id="a page"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"upstream request timeout", id="a line"),
        pytest.param({}, id="an empty object"),
        pytest.param([1], id="a list"),
        pytest.param({"message": "The upstream server is timing out"}, id="kong"),
        pytest.param({"error": {"message": "sorry", "type": "x"}}, id="openai"),
        pytest.param({"error": {"code": 503, "message": "sorry"}}, id="google"),
        pytest.param({"code": 500, "msg": "x", "success": False}, id="spring"),
        pytest.param({"code": "401", "msg": "x"}, id="three digits of the table"),
        pytest.param({"error": {"code": "timeout"}}, id="a word for a code"),
        pytest.param({"code": "12345"}, id="five digits"),
        pytest.param({"code": "١٣٠٢"}, id="digits of another script"),
        pytest.param({"data": [{"url": None}]}, id="no link"),
        pytest.param({"detail": "sorry"}, id="fastapi"),
    ],
)
async def test_a_gateways_word_is_a_lost_answer_and_never_sent_again(status, body):
    async with answering((status, body)) as server, client(server) as one:
        with pytest.raises(AnswerLostError, match=f"HTTP {status}") as caught:
            await one.generate("a fox")

        assert server.posts == 1
        assert one.stats().maybe_billed == 1

    assert caught.value.billed == "maybe"
    assert not caught.value.retryable


@pytest.mark.parametrize("status", GATEWAYS)
@pytest.mark.parametrize(
    ("code", "error", "posts"),
    [
        ("1113", AccountError, 1),
        ("1210", RequestRejectedError, 1),
        ("1301", ContentRefusedError, 1),
        (1000, AuthenticationError, 1),
        ("1234", ServerError, 2),
    ],
)
async def test_the_services_own_code_decides_under_a_gateways_status(
    status, code, error, posts
):
    async with answering((status, refusal(code))) as server, client(server) as one:
        with pytest.raises(error):
            await one.generate("a fox")

        assert server.posts == posts


@pytest.mark.parametrize("status", [408, 409, 425, 499])
async def test_a_code_nobody_knows_does_not_make_a_gateways_4xx_free(status):
    async with answering((status, refusal("8888"))) as server, client(server) as one:
        with pytest.raises(AnswerLostError):
            await one.generate("a fox")

        assert server.posts == one.stats().maybe_billed == 1


async def test_a_lost_answer_is_sent_again_where_the_policy_says_so():
    lost = (504, {"message": "The upstream server is timing out"})
    async with answering(lost, GOOD) as server:
        async with client(server, retry=RetryPolicy(lost_answers=1)) as one:
            await one.generate("a fox")

        assert server.posts == 2


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html>hello</html>", AnswerLostError),
        (b"", AnswerLostError),
        (b'{"created": 1, "data": [{"url"', AnswerLostError),
        (b"\xff\xfe\x00", AnswerLostError),
        ({"created": 1, "data": []}, ResponseError),
        ({"created": 1, "data": [{"url": None}]}, ResponseError),
        ({"created": 1, "data": [{"url": ""}]}, ResponseError),
        ({"created": 1, "data": [{"url": 7}]}, ResponseError),
        ({"created": 1, "data": [None]}, ResponseError),
        ({"created": 1, "data": None}, ResponseError),
        ({"created": 1, "data": {"url": "https://x.example/a"}}, ResponseError),
        ({"created": 1}, ResponseError),
        ({}, ResponseError),
        ([], ResponseError),
        ("https://x.example/a", ResponseError),
        ({"code": 500, "msg": "404 NOT_FOUND", "success": False}, ResponseError),
        ({"error": {"code": "9999", "message": "?"}}, ResponseError),
        ({"success": False, "data": [{"url": "none"}]}, ResponseError),
    ],
)
async def test_a_200_without_a_usable_picture_is_an_error_and_never_sent_again(
    body, error
):
    async with answering((200, body)) as server, client(server) as one:
        with pytest.raises(error) as caught:
            await one.generate("a fox")

        assert server.posts == 1
        assert one.stats().maybe_billed == 1

    assert caught.value.billed == "maybe"


@pytest.mark.parametrize(
    "envelope",
    [
        {"error": {"code": "1113", "message": "no balance"}},
        {"error": {"code": 1113, "message": "no balance"}, "request_id": "r-1"},
        {"code": "1113", "message": "no balance"},
        {"code": 1113, "msg": "no balance", "success": False},
        {"error": {"code": "1113", "message": None}},
        {"error": {"code": " 1113 "}},
    ],
)
@pytest.mark.parametrize("status", [429, 200, 500])
async def test_the_code_decides_in_every_envelope_and_under_every_status(
    envelope, status
):
    async with answering((status, envelope)) as server, client(server) as one:
        with pytest.raises(AccountError) as caught:
            await one.generate("a fox")

        assert server.posts == 1

    assert caught.value.code == "1113"
    assert caught.value.request_id == envelope.get("request_id")
    assert "Top up" in str(caught.value)


async def test_a_refused_prompt_says_what_the_content_check_found():
    body = refusal("1301") | {"contentFilter": [{"role": "user", "level": "2"}]}
    async with answering((400, body)) as server, client(server) as one:
        with pytest.raises(ContentRefusedError) as caught:
            await one.generate("a fox")

    assert caught.value.content_filter == (ContentFilter(role="user", level=2),)


async def test_a_used_up_allowance_says_when_it_is_renewed():
    body = refusal("1308", "cap reached, resets at 2026-08-25 07:41:44")
    async with answering((429, body)) as server, client(server) as one:
        with pytest.raises(QuotaError) as caught:
            await one.generate("a fox")

    assert caught.value.resets_at.isoformat() == "2026-08-25T07:41:44+08:00"


async def test_a_time_of_renewal_that_is_none_is_left_out():
    body = refusal("1308", "cap reached, resets at 2026-02-30 25:41:44")
    async with answering((429, body)) as server, client(server) as one:
        with pytest.raises(QuotaError, match="2026-02-30 25:41:44") as caught:
            await one.generate("a fox")

    assert caught.value.resets_at is None


async def test_errors_of_the_service_survive_pickling():
    body = refusal("1301") | {"contentFilter": [{"role": "user", "level": 2}]}
    async with answering((400, body)) as server, client(server) as one:
        with pytest.raises(ContentRefusedError) as caught:
            await one.generate("a fox")

    copy = pickle.loads(pickle.dumps(caught.value))
    assert vars(copy) == vars(caught.value)
    assert str(copy) == str(caught.value)
    assert type(copy) is zai_images.ContentRefusedError
