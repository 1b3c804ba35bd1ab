"""A key is masked wherever others have quoted it, and nothing else is."""

import pytest

from zai_images import ContentFilter
from zai_images._redact import redact, strip_traceback

KEY = "sk-abcdefghijklmnop"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (KEY, "***"),
        (f"Bearer {KEY}, no good", "Bearer ***, no good"),
        (f"{KEY}{KEY} and {KEY}", "****** and ***"),
        ("cut off: sk-abcdefg", "cut off: ***"),
        ("sk-abcdefgXYZ", "***XYZ"),
        ("nothing of it", "nothing of it"),
        ("sk-abcd is too little to know it by", "sk-abcd is too little to know it by"),
        ("", ""),
    ],
)
def test_a_key_is_masked_whole_or_from_its_beginning(text, shown):
    assert redact(text, KEY) == shown


def test_a_key_is_found_as_python_would_write_it_too():
    key = "quoted'key\\with-both"

    assert "key" not in redact(f"bad key {key!r}", key).removeprefix("bad key ")


def test_a_key_that_looks_like_its_mask_comes_to_an_end():
    assert set(redact("*" * 20, "*" * 8)) == {"*"}


def test_tuples_and_filters_are_searched_and_other_values_are_left():
    one = ContentFilter(role=KEY, level=2)

    assert redact((KEY, (one, 7)), KEY) == (
        "***",
        (ContentFilter(role="***", level=2), 7),
    )
    assert redact(None, KEY) is None
    assert redact(1302, KEY) == 1302


def test_a_few_letters_are_no_secret():
    """Masking them would make nonsense of every sentence."""
    assert redact("an apple", "a") == "an apple"


def fail(depth: int) -> None:
    """Raise a chain of errors, each with frames of its own."""
    if not depth:
        raise RuntimeError(depth)
    try:
        fail(depth - 1)
    except RuntimeError as error:
        raise RuntimeError(depth) from error


def test_an_error_loses_its_frames_and_those_of_its_causes():
    with pytest.raises(RuntimeError) as caught:
        fail(2)
    chain = [error := caught.value, error.__cause__, error.__cause__.__cause__]
    assert all(one.__traceback__ for one in chain)

    assert strip_traceback(error, None) is error
    assert [one.__traceback__ for one in chain] == [None, None, None]


def test_the_error_that_the_caller_was_handling_keeps_its_frames():
    with pytest.raises(RuntimeError) as caught:
        fail(1)
    ours, handled = caught.value, caught.value.__cause__
    strip_traceback(ours, handled)

    assert ours.__traceback__ is None
    assert handled.__traceback__ is not None
