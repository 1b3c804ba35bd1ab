"""What follows from what is known of an item, whatever comes later."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from zai_images import (
    AnswerLostError,
    ConnectError,
    ContentRefusedError,
    InvalidRequestError,
    RateLimitedError,
    ResponseError,
)
from zai_images._api.response import RawResponse
from zai_images.jobs import State
from zai_images.jobs._evidence import Payment, ended, read, standing

PAYMENTS = st.builds(
    Payment,
    st.sampled_from([None, "maybe", "yes"]),
    st.sampled_from([None, 0.0, 0.01]),
)
ENDS = st.sampled_from([None, State.FAILED, State.REFUSED])
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def stands(*billed, saved=False, end=None):
    return standing([Payment(one, 0.01) for one in billed], saved=saved, ended=end)


@pytest.mark.parametrize(
    ("billed", "saved", "end", "state"),
    [
        ([], False, None, "pending"),
        ([], False, State.FAILED, "failed"),
        ([], False, State.REFUSED, "refused"),
        ([None], False, None, "sent"),
        (["maybe"], False, None, "unknown"),
        (["maybe"], False, State.REFUSED, "unknown"),
        (["maybe", None], False, None, "sent"),
        (["yes"], False, None, "answered"),
        (["yes"], False, State.REFUSED, "answered"),
        (["yes", "maybe"], False, None, "answered"),
        (["yes", None], False, None, "sent"),
        (["yes"], True, None, "saved"),
        (["yes", "maybe"], True, State.FAILED, "saved"),
        (["yes", None], True, None, "saved"),
        ([], True, None, "saved"),
    ],
)
def test_an_item_is_where_the_best_of_its_evidence_says(billed, saved, end, state):
    assert stands(*billed, saved=saved, end=end).state == state


def test_each_payment_counts_and_each_that_may_be_one():
    found = stands("yes", "maybe", "yes", None)

    assert (found.billed, found.maybe, found.cost) == (2, 2, 0.02)


def test_a_price_that_is_not_known_is_not_nothing():
    known, unknown = Payment("yes", 0.01), Payment("yes", None)

    assert standing([known, unknown], saved=False, ended=None).cost is None
    assert standing([Payment("maybe", None)], saved=False, ended=None).cost == 0


@given(st.lists(PAYMENTS), st.lists(PAYMENTS), st.booleans(), ENDS, ENDS)
def test_no_later_evidence_takes_anything_back(before, later, saved, end, then):
    first = standing(before, saved=saved, ended=end)
    second = standing(before + later, saved=saved, ended=then)

    assert second.billed >= first.billed
    assert second.billed + second.maybe == len(before) + len(later)
    assert second.billed + second.maybe >= first.billed + first.maybe
    if first.billed:
        assert second.state in (State.ANSWERED, State.SAVED, State.SENT)
    if first.billed and not any(one.billed is None for one in later):
        assert second.state is first.state or first.state is State.SENT
    if first.maybe:
        assert second.state not in (State.PENDING, State.FAILED, State.REFUSED)


@given(st.lists(PAYMENTS), st.randoms())
def test_the_order_of_the_evidence_does_not_count(payments, dice):
    mixed = payments[:]
    dice.shuffle(mixed)

    one, other = (standing(all_, saved=False, ended=None) for all_ in (payments, mixed))
    assert (one.state, one.billed, one.maybe) == (
        other.state,
        other.billed,
        other.maybe,
    )


@pytest.mark.parametrize(
    ("status", "body", "billed"),
    [
        (200, b'{"data":[{"url":"https://x.example/a.png"}]}', "yes"),
        (429, b'{"error":{"code":"1302"}}', "no"),
        (400, b'{"error":{"code":"1301"}}', "no"),
        (500, b'{"error":{"code":"1234"}}', "maybe"),
        (200, b"<html>", "maybe"),
        (200, b'{"data":[]}', "maybe"),
    ],
)
def test_an_answer_says_whether_it_was_paid_for(status, body, billed):
    found = read(RawResponse(status=status, body=body), NOW)

    assert found.billed == billed
    assert (found.response is None) == (billed != "yes")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ContentRefusedError("no", status=400), State.REFUSED),
        (InvalidRequestError("no"), State.FAILED),
        (RateLimitedError("later", status=429), None),
        (ConnectError("later"), None),
        (ConnectError("never", retryable=False), State.FAILED),
        (OSError("the disk"), None),
    ],
)
def test_what_was_free_and_final_ends_an_item(error, state):
    assert ended(error) == state


def test_what_may_be_billed_is_no_end():
    assert AnswerLostError("lost").billed == ResponseError("x", status=200).billed
