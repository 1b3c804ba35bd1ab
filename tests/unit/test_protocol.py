"""What goes out, and what comes back, without a network."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zai_images import (
    ContentFilter,
    ImageRequest,
    ImageResponse,
    ResponseError,
    ZaiImagesError,
)
from zai_images._protocol import judge, seconds_to_wait
from zai_images._wire import RawResponse, encode

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def answer(body: object, status: int = 200, **fields: str) -> ImageResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(RawResponse(status=status, body=data, **fields), now=NOW)


def test_the_defaults_are_sent_explicitly():
    assert json.loads(encode(ImageRequest("a fox"))) == {
        "model": "cogview-4-250304",
        "prompt": "a fox",
        "quality": "standard",
        "size": "1024x1024",
    }


def test_every_field_goes_out_and_the_callers_id_stays_home():
    request = ImageRequest(
        "ein Fuchs im Schnee 🦊",
        model="CogView-4-250304",
        quality="hd",
        size=(1440, 720),
        user_id="user-1",
        extra={"watermark_enabled": False, "nested": {"a": [1]}},
        id="row 1",
    )

    assert json.loads(encode(request)) == {
        "model": "cogview-4-250304",
        "prompt": "ein Fuchs im Schnee 🦊",
        "quality": "hd",
        "size": "1440x720",
        "user_id": "user-1",
        "watermark_enabled": False,
        "nested": {"a": [1]},
    }


def test_an_unknown_model_gets_only_what_was_asked():
    assert json.loads(encode(ImageRequest("a fox", model="x"))) == {
        "model": "x",
        "prompt": "a fox",
    }


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
        answer({"error": {"code": "42"}, "data": [{"url": "https://e.example/a"}]})

    assert "https://e.example/a" in caught.value.body
    assert caught.value.code == "42"


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
        ("٣", None),
    ],
)
def test_retry_after_is_read_both_ways(header, expected):
    assert seconds_to_wait(header, NOW) == expected


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
