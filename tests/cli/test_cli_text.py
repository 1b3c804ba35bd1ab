"""Words, numbers and moments as people read them."""

import pytest

from zai_images.cli._text import dollars, duration, shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (42.4, "42 s"), (185, "3 min 05 s"), (7900, "2 h 11 min")],
)
def test_durations_are_written_as_people_do(seconds, words):
    assert duration(seconds) == words


def test_sums_have_a_third_digit_where_it_counts():
    assert [dollars(one) for one in (0.24, 0.015, 12, 0)] == [
        "$0.24",
        "$0.015",
        "$12.00",
        "$0.00",
    ]


def test_a_strangers_text_is_made_fit_for_a_terminal():
    assert shown("a\x1b[31m\n b", 50) == "a�[31m b"
    assert shown("x" * 60, 10) == "x" * 9 + "…"
