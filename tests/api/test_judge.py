"""How answers are judged."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings, strategies as st

from zai_images import (
    AccountError,
    AnswerLostError,
    AuthenticationError,
    ContentFilter,
    ContentRefusedError,
    ImageResponse,
    QuotaError,
    RateLimitedError,
    RequestRejectedError,
    ResponseError,
    ServerError,
    ZaiImagesError,
)
from zai_images._api.judge import judge, seconds_to_wait
from zai_images._api.response import RawResponse

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def answer(body: object, status: int = 200, **fields: str) -> ImageResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(RawResponse(status=status, body=data, **fields), now=NOW)


def test_the_answer_of_the_api_page_is_read():
    response = answer(
        {
            "created": 1760335349,
            "data": [{"url": "https://example.com/a.png"}],
            "content_filter": [{"role": "assistant", "level": 1}],
        }
    )

    assert response.created == 1760335349
    assert response.url == "https://example.com/a.png"
    assert response.content_filter == (ContentFilter(role="assistant", level=1),)
    assert response.request_id is None
    assert not response.extra


def test_what_the_page_does_not_name_survives():
    response = answer(
        {
            "created": 1,
            "id": "2026",
            "request_id": "r-1",
            "model": "GLM-Image",
            "usage": {"cost": 0.0, "odd": 1e300},
            "data": [{"url": "https://e.example/a", "revised_prompt": "b"}, {"x": 1}],
        }
    )

    assert response.request_id == "r-1"
    assert response.extra["usage"] == {"cost": 0.0, "odd": 1e300}
    assert response.extra["model"] == "GLM-Image"
    assert response.images[0].extra == {"revised_prompt": "b"}
    assert len(response.images) == 1


def test_a_fault_in_a_side_field_does_not_throw_a_paid_picture_away():
    """Nothing is coerced, either: the value stays as it came, in `extra`."""
    response = answer(
        b'{"created":"soon","request_id":null,"content_filter":"none","n":NaN,'
        b'"data":[{"url":"https://e.example/a","b64_json":null,"x":[1e999]}]}'
    )

    assert response.created is None
    assert response.request_id is None
    assert response.content_filter == ()
    assert response.extra["created"] == "soon"
    assert response.extra["request_id"] is None
    assert response.extra["content_filter"] == "none"
    assert response.extra["n"] == "nan"
    assert response.images[0].extra == {"b64_json": None, "x": ["inf"]}


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([{"role": "user", "level": 3}], [("user", 3)]),
        ([{"role": "user", "level": "2"}], [("user", 2)]),
        ([{"role": "martian"}], [("martian", None)]),
        ([{"role": "user", "level": True}], [("user", None)]),
        ([{"role": "user", "level": "high"}], [("user", None)]),
        ([{"level": 1}, None, {"role": "user", "level": 0}], [("user", 0)]),
    ],
)
@pytest.mark.parametrize("key", ["content_filter", "contentFilter"])
def test_the_content_filter_is_read_in_both_spellings(key, items, expected):
    response = answer({"data": [{"url": "https://e.example/a"}], key: items})

    assert [(one.role, one.level) for one in response.content_filter] == expected


def test_a_usable_picture_beside_a_harmless_code_is_a_picture():
    body = {"code": 200, "msg": "ok", "success": True, "error": None}

    response = answer(body | {"data": [{"url": "https://e.example/a"}]})

    assert response.extra["msg"] == "ok"


def test_an_answer_nobody_understood_is_kept_on_the_error():
    with pytest.raises(ResponseError) as caught:
        answer({"error": {"code": "42"}, "images": ["https://e.example/a"]})

    assert "https://e.example/a" in caught.value.body
    assert caught.value.code == "42"


BESIDE = [
    {"error": {"code": "1302", "message": "busy"}},
    {"error": {"code": 1113}},
    {"error": [{"code": "1301"}]},
    {"error": "sorry"},
    {"code": "1234", "message": "a network failure"},
    {"code": 500, "msg": "failed", "success": False},
    {"success": False},
    {"contentFilter": [{"role": "assistant", "level": 0}]},
    {"status": "failed"},
]


@pytest.mark.parametrize("status", [100, 199, 200, 299, 302, 400, 401, 408, 429, 503])
@pytest.mark.parametrize("beside", BESIDE, ids=json.dumps)
def test_a_usable_link_is_a_picture_whatever_stands_beside_it(status, beside):
    response = answer(beside | {"data": [{"url": "https://e.example/a"}]}, status)

    assert response.url == "https://e.example/a"
    known = {"contentFilter", "request_id"}
    assert response.extra == {k: v for k, v in beside.items() if k not in known}


def test_a_link_within_the_error_itself_is_a_picture_too():
    inner = {"code": "1302", "data": [{"url": "https://e.example/a"}]}
    for status in (200, 429, 503):
        assert answer({"error": inner}, status).url == "https://e.example/a"


def test_bare_links_are_links():
    response = answer({"data": ["https://e.example/a", "none", 7]})

    assert [image.url for image in response.images] == ["https://e.example/a"]


@pytest.mark.parametrize("url", [None, "", " ", 7, [], {}, "none", "N/A", "error 1302"])
def test_beside_a_refusal_what_is_no_link_is_none(url):
    refused = {"error": {"code": "1302"}, "data": [{"url": url}]}
    for status in (200, 429, 500):
        with pytest.raises(RateLimitedError):
            answer(refused, status)
    with pytest.raises(ResponseError):
        answer({"success": False, "data": [{"url": url}]})
    with pytest.raises(RequestRejectedError):
        answer({"data": [{"url": url}]}, 300)


def test_a_link_is_one_in_any_spelling_of_its_scheme():
    for url in ("HTTPS://e.example/a", " http://e.example/a", "data:image/png;base64,"):
        refused = {"error": {"code": "1302"}, "data": [{"url": url}]}
        assert answer(refused, 429).url == url


def test_all_links_are_kept_in_their_order_and_what_is_none_is_passed_over():
    links = [f"https://e.example/{n}" for n in range(3)]
    data = [{"url": links[0]}, None, {"url": ""}, {"url": links[1]}, {"x": 1}, 5]
    beside = {"error": {"code": "1302"}}
    body = {"data": [*data, {"url": links[2]}]}
    assert [one.url for one in answer(body).images] == links
    assert [one.url for one in answer(beside | body, 429).images] == links


def test_the_services_words_are_made_fit_for_one_line():
    with pytest.raises(ZaiImagesError) as caught:
        answer(
            {"error": {"code": "1210", "message": "a\nb\x1b[31m" + "c" * 9999}},
            status=400,
        )

    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        ("1.5", 1.5),
        (" 7 ", 7),
        ("Mon, 23 Nov 2026 12:01:00 GMT", 60),
        ("Mon, 23 Nov 2026 12:01:00 -0000", 60),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0),
        ("tomorrow", None),
        ("", None),
        ("-1", None),
        ("1e9", None),
        ("9" * 9, 999_999_999),
        ("9" * 10, None),
        ("٣", None),
    ],
)
def test_retry_after_is_read_both_ways(header, expected):
    assert seconds_to_wait(header, NOW) == expected


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (199, ResponseError),
        (299, ResponseError),
        (300, RequestRejectedError),
        (400, RequestRejectedError),
        (429, RateLimitedError),
        (500, AnswerLostError),
    ],
)
def test_without_a_link_and_without_a_code_the_status_decides(status, error):
    with pytest.raises(error):
        answer({"created": 1, "data": []}, status)


@pytest.mark.parametrize(
    ("status", "billed"),
    [(199, "no"), (200, "maybe"), (299, "maybe"), (300, "no"), (498, "no")]
    + [(408, "maybe"), (409, "maybe"), (425, "maybe"), (499, "maybe"), (410, "no")]
    + [(500, "maybe"), (599, "maybe")],
)
def test_a_page_of_somebody_elses_costs_nothing_where_the_request_was_turned_away(
    status, billed
):
    with pytest.raises(ZaiImagesError) as caught:
        answer(b"<html>", status)

    assert caught.value.billed == billed


def test_words_of_300_characters_are_quoted_whole_and_longer_ones_are_cut_there():
    def quoted(message: str) -> str:
        with pytest.raises(ZaiImagesError) as caught:
            answer({"error": {"code": "1210", "message": message}}, status=400)
        return caught.value.message

    assert quoted("a" * 300) == "a" * 300
    assert quoted("a" * 301) == "a" * 299 + "…"


def test_a_code_that_is_no_code_is_cut_to_a_short_one():
    with pytest.raises(ResponseError) as caught:
        answer({"code": "9" * 50})

    assert caught.value.code == "9" * 39 + "…"


def test_an_answer_nobody_understood_is_kept_to_2000_characters_of_any_width():
    with pytest.raises(AnswerLostError) as caught:
        answer(("🦊" * 2500).encode())

    assert caught.value.body == "🦊" * 2000
    assert "🦊" * 300 in str(caught.value)
    assert "🦊" * 301 not in str(caught.value)
    with pytest.raises(AnswerLostError) as caught:
        answer(b"a" * 2001)
    assert caught.value.body == "a" * 1999 + "…"


def test_the_query_of_a_link_may_be_a_signature_and_is_not_quoted():
    with pytest.raises(ResponseError) as caught:
        answer({"data": [], "link": "https://e.example/a?sign=secret", "x": "end"})

    assert "secret" not in str(caught.value)
    assert 'https://e.example/a?***", "x": "end"' in str(caught.value)


def test_the_error_may_be_the_first_of_a_list_or_a_bare_sentence():
    with pytest.raises(ContentRefusedError, match="unsafe words"):
        answer(
            {"error": [{"code": "1301", "message": "unsafe words"}, {"code": "1113"}]},
            status=400,
        )
    with pytest.raises(ContentRefusedError, match="unsafe words"):
        answer({"error": "unsafe words", "code": "1301"}, status=400)
    with pytest.raises(ContentRefusedError, match="unsafe words"):
        answer({"code": "1301", "error": {"code": None}, "msg": "unsafe words"})


@pytest.mark.parametrize("body", [[], {}, {"error": []}, {"error": 7}, {"error": {}}])
def test_an_error_without_words_is_told_without_any(body):
    with pytest.raises(RequestRejectedError) as caught:
        answer(body, status=400)

    assert (caught.value.code, caught.value.message) == (None, "")
    assert caught.value.status == 400
    assert "rejected the request (HTTP 400). Nothing was billed. " in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [
        (101, RequestRejectedError, "The answer has a strange status (HTTP 101)."),
        (302, RequestRejectedError, "The address redirects, and the key follows no"),
        (401, AuthenticationError, "The key was not accepted (HTTP 401)."),
    ],
)
def test_a_page_of_a_proxys_is_judged_by_its_status(status, error, sentence):
    with pytest.raises(error) as caught:
        answer(b"<html>", status)

    assert str(caught.value).startswith(sentence)
    assert caught.value.message == ""


def test_an_answer_that_is_no_text_is_kept_as_far_as_it_can_be_shown():
    with pytest.raises(AnswerLostError) as caught:
        answer(b"\xff half a picture")

    assert caught.value.body == "\ufffd half a picture"


def test_an_unlisted_answer_is_told_with_its_code_or_as_one_without_a_link():
    with pytest.raises(ResponseError, match=r'the unlisted code 42 \("\?"\)') as caught:
        answer({"code": 42, "msg": "?", "request_id": "r-1"}, status=201)
    assert (caught.value.status, caught.value.request_id) == (201, "r-1")
    with pytest.raises(ResponseError, match="no usable link to a picture"):
        answer({"data": []})


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("resets at 2026-08-25 07:41:44.", "2026-08-25T07:41:44+08:00"),
        ("2026-08-25T07:41:44", "2026-08-25T07:41:44+08:00"),
        ("2026-02-30 07:41:44", None),
        ("tomorrow", None),
    ],
)
def test_a_quota_is_renewed_when_the_services_words_say_in_its_own_zone(said, read):
    with pytest.raises(QuotaError) as caught:
        answer({"error": {"code": "1308", "message": said}}, status=429)

    resets_at = caught.value.resets_at
    assert (resets_at and resets_at.isoformat()) == read
    assert (caught.value.code, caught.value.status) == ("1308", 429)


@pytest.mark.parametrize("key", ["content_filter", "contentFilter"])
def test_a_refusal_tells_what_the_content_check_found_in_both_spellings(key):
    with pytest.raises(ContentRefusedError) as caught:
        answer({"code": "1301", key: [{"role": "user", "level": 2}]}, status=400)

    assert caught.value.content_filter == (ContentFilter(role="user", level=2),)


@pytest.mark.parametrize("code", [True, 1.5, [], {}, "", None])
def test_what_cannot_be_a_code_is_none(code):
    with pytest.raises(ZaiImagesError) as caught:
        answer({"error": {"code": code, "message": "?"}}, status=400)

    assert caught.value.code is None
    assert 'HTTP 400: "?"' in str(caught.value)


def test_an_error_says_what_happened_with_which_numbers_and_what_it_cost():
    with pytest.raises(ContentRefusedError) as caught:
        answer({"error": {"code": "1301", "message": "no foxes"}}, status=400)

    assert str(caught.value) == (
        "The prompt or the picture was judged unsafe (code 1301, HTTP 400: "
        '"no foxes"). Nothing was billed. Change the prompt; the same one would be '
        "refused again."
    )


def test_the_id_of_a_request_is_read_from_wherever_it_stands():
    def found(body: dict, **header: str) -> str | None:
        with pytest.raises(ZaiImagesError) as caught:
            answer(body, status=400, **header)
        return caught.value.request_id

    error = {"code": "1210", "request_id": "inner"}
    assert found({"error": error}, request_id="header") == "inner"
    assert found({"error": error, "request_id": "outer"}) == "outer"
    assert found({"error": "no", "request_id": 7}, request_id="header") == "header"
    assert found({"error": "no"}) is None


def test_what_the_service_admits_to_by_a_code_is_a_failure_and_else_a_lost_answer():
    with pytest.raises(ServerError, match="sorry"):
        answer({"error": {"code": "8888", "message": "sorry"}}, status=500)
    for error in ({"message": "sorry"}, {"code": "77"}, {"code": 500}, {"code": True}):
        with pytest.raises(AnswerLostError):
            answer({"error": error}, status=500)
    with pytest.raises(AnswerLostError):
        answer({"detail": "sorry"}, status=500)


def test_a_number_of_any_length_is_no_trouble():
    response = answer(
        b'{"data":[{"url":"https://e.example/a"}],"n":%b,"m":12}' % (b"9" * 5000)
    )

    assert response.extra["n"] == "9" * 5000
    assert response.extra["m"] == 12


def test_the_wait_a_refusal_asks_for_is_told_in_seconds():
    with pytest.raises(RateLimitedError) as caught:
        answer({"error": {"code": "1302"}}, status=429, retry_after="7")

    assert caught.value.retry_after == 7


def test_only_the_model_is_stopped_where_the_plan_lacks_just_that_one():
    with pytest.raises(AccountError) as caught:
        answer({"error": {"code": "1311"}}, status=429)

    assert caught.value.stops == "model"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


shaped = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("data", "error", "code", "msg", "created", "content_filter", "id"), json_values
    ),
)


@settings(deadline=None)  # how long it takes depends on the machine
@given(
    body=st.binary() | (json_values | shaped).map(lambda v: json.dumps(v).encode()),
    status=st.integers(100, 599),
)
def test_any_answer_is_a_picture_or_an_error_of_the_tree(body, status):
    try:
        assert answer(body, status).url
    except ZaiImagesError as error:
        assert error.billed in ("no", "maybe")  # noqa: PT017 - either end is right


def test_json_too_deep_to_read_is_an_error_of_the_tree():
    with pytest.raises(ZaiImagesError):
        answer(b"[" * 200_000)
