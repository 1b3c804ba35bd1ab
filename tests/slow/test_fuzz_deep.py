"""Random answers, requests and prompt files by the ten thousand."""

import pytest
from hypothesis import given, strategies as st
from support import fuzz, fuzz_wire
from support.fuzz import _count_examples, examples  # noqa: F401 - a fixture

pytestmark = pytest.mark.timeout(600)


@pytest.mark.tried("fuzz: answers")
@examples(20_000)
@given(raw=fuzz.raw_responses)
def test_any_answer_is_a_picture_or_an_error_of_the_tree(raw):
    fuzz.check_answer(raw)


@pytest.mark.tried("fuzz: request fields")
@examples(10_000)
@given(body=fuzz.fields)
def test_the_client_and_the_sandbox_take_the_same_requests(body):
    fuzz.check_fields(body)


@pytest.mark.tried("fuzz: request fields")
@examples(500)
@given(extra=fuzz.extras)
def test_what_the_page_does_not_name_goes_out_as_it_is(extra):
    fuzz.check_extra(extra)


@pytest.mark.tried("fuzz: prompt files")
@examples(5000)
@given(
    data=fuzz.file_bytes | fuzz.tables,
    kind=st.sampled_from(("txt", "jsonl", "csv", "tsv")),
)
def test_any_bytes_end_in_requests_and_numbered_faults(data, kind):
    fuzz.check_bytes(data, kind)


@pytest.mark.tried("fuzz: prompt files")
@examples(5000)
@given(
    rows=fuzz.rows,
    style=fuzz.styles,
    breaks=st.sampled_from((" ", "\n", "\r\n", "\r", ",", '"')),
)
def test_a_good_row_comes_back_unchanged_whatever_its_neighbours_are(
    rows, style, breaks
):
    fuzz.check_table(rows, style, breaks)


@pytest.mark.looptime
@pytest.mark.tried("fuzz: answers over a socket")
@examples(1000)
@given(data=fuzz_wire.answers, end=fuzz_wire.ends)
async def test_any_bytes_from_a_server_end_in_a_picture_or_an_error_too(data, end):
    await fuzz_wire.check_wire(data, end)


@pytest.mark.looptime
@pytest.mark.tried("fuzz: requests to the sandbox over a socket")
@examples(300)
@given(body=fuzz.fields)
async def test_the_sandbox_answers_any_fields_as_the_page_says(body):
    await fuzz_wire.check_served(body)
