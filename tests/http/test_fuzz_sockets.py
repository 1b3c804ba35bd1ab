"""Random bytes and bodies over real sockets: fewer, for each takes a connection."""

import pytest
from hypothesis import given
from support import fuzz, fuzz_wire
from support.fuzz import _count_examples, examples  # noqa: F401 - a fixture

pytestmark = pytest.mark.looptime


@pytest.mark.tried("fuzz: answers over a socket")
@examples(100)
@given(data=fuzz_wire.answers, end=fuzz_wire.ends)
async def test_any_bytes_from_a_server_end_in_a_picture_or_an_error_of_the_tree(
    data, end
):
    await fuzz_wire.check_wire(data, end)


@pytest.mark.tried("fuzz: requests to the sandbox over a socket")
@examples(50)
@given(body=fuzz.fields)
async def test_the_sandbox_answers_any_fields_as_the_page_says(body):
    await fuzz_wire.check_served(body)
