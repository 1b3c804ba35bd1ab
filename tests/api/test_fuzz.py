"""Random answers, requests and prompt files, a few of each; the deep run has more."""

import pytest
from hypothesis import given, strategies as st
from support import fuzz
from support.fuzz import _count_examples, examples  # noqa: F401 - a fixture

from zai_images import ImageRequest, InvalidRequestError


@pytest.mark.tried("fuzz: answers")
@examples(200)
@given(raw=fuzz.raw_responses)
def test_any_answer_is_a_picture_or_an_error_of_the_tree(raw):
    fuzz.check_answer(raw)


@pytest.mark.tried("fuzz: request fields")
@examples(200)
@given(body=fuzz.fields)
def test_the_client_and_the_sandbox_take_the_same_requests(body):
    """Each has read the page for itself; where they differ is written down."""
    fuzz.check_fields(body)


@pytest.mark.tried("fuzz: request fields")
@examples(50)
@given(extra=fuzz.extras)
def test_what_the_page_does_not_name_goes_out_as_it_is(extra):
    fuzz.check_extra(extra)


@pytest.mark.tried("fuzz: prompt files")
@examples(100)
@given(data=fuzz.file_bytes | fuzz.tables, kind=st.sampled_from(("txt", "jsonl")))
def test_a_file_of_lines_is_read_line_by_line_whatever_is_in_it(data, kind):
    fuzz.check_bytes(data, kind)


@pytest.mark.tried("fuzz: prompt files")
@examples(100)
@given(data=fuzz.file_bytes | fuzz.tables, kind=st.sampled_from(("csv", "tsv")))
def test_a_table_of_any_bytes_ends_in_requests_and_numbered_faults(data, kind):
    fuzz.check_bytes(data, kind)


@pytest.mark.tried("fuzz: prompt files")
@examples(100)
@given(
    rows=fuzz.rows,
    style=fuzz.styles,
    breaks=st.sampled_from((" ", "\n", "\r\n", "\r", ",", '"')),
)
def test_a_good_row_comes_back_unchanged_whatever_its_neighbours_are(
    rows, style, breaks
):
    fuzz.check_table(rows, style, breaks)


PAGE = {"model": fuzz.MODEL, "prompt": "a fox"}


@pytest.mark.tried("where client and sandbox differ on purpose")
@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        pytest.param({"model": " cogView-4-250304"}, {}, id="blanks round a model"),
        pytest.param({"size": None}, {"size": "1024x1024"}, id="a null for a size"),
        pytest.param({"quality": "HD"}, {"quality": "hd"}, id="a quality in capitals"),
        pytest.param(
            {"size": " 512 × 528"}, {"size": "512x528"}, id="a size as people write it"
        ),
        pytest.param({"size": [512, 528]}, {"size": "512x528"}, id="a size as numbers"),
    ],
)
def test_the_client_is_kinder_than_the_page_and_sends_what_the_page_has(changes, sent):
    body = PAGE | changes
    assert not fuzz.accepted(fuzz.json.dumps(body).encode())
    assert fuzz.is_freely_spelt(body)
    request = fuzz.as_request(body)
    found = fuzz.json.loads(fuzz.encode(request))
    assert {name: found[name] for name in PAGE | sent} == PAGE | sent
    fuzz.check_request(request)


@pytest.mark.tried("where client and sandbox differ on purpose")
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"model": "glm-image"}, id="another model of the vendor's"),
        pytest.param({"model": "of-tomorrow"}, id="a model that nobody knows yet"),
    ],
)
def test_a_model_that_the_page_does_not_have_is_the_services_to_judge(changes):
    request = fuzz.as_request(PAGE | changes)
    assert not fuzz.accepted(fuzz.encode(request))


@pytest.mark.tried("where client and sandbox differ on purpose")
def test_a_model_that_is_left_out_is_the_default_and_is_sent():
    assert not fuzz.accepted(b'{"prompt":"a fox"}')
    assert fuzz.accepted(fuzz.encode(fuzz.as_request({"prompt": "a fox"})))


@pytest.mark.tried("where client and sandbox differ on purpose")
def test_the_sandbox_does_not_look_into_fields_that_the_page_does_not_name():
    """Half a surrogate pair there is JSON, and cannot be written as UTF-8."""
    extra = {"seed": "\ud800"}
    with pytest.raises(InvalidRequestError):
        ImageRequest("a fox", extra=extra)
    assert fuzz.accepted(fuzz.json.dumps(PAGE | extra).encode())
