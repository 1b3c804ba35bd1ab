"""Finished outcomes on their way to the reader: in order, bounded, none lost."""

import pytest

from zai_images import BudgetError, Failed
from zai_images._batch.outbox import Outbox


def outcome(index: int) -> Failed:
    return Failed(index=index, request="a fox", error=BudgetError("spent"))


def read_all(box: Outbox) -> list[int]:
    return [one.index for one in iter(box.get, None)]


def test_outcomes_are_read_as_they_came():
    box = Outbox(10, ordered=False)
    for index in (2, 0, 1):
        box.put(outcome(index), expected=False)

    assert read_all(box) == [2, 0, 1]
    assert box.get() is None


def test_an_ordered_one_holds_an_outcome_back_until_all_before_it_are_there():
    box = Outbox(10, ordered=True)
    box.put(outcome(1), expected=False)
    box.put(outcome(2), expected=False)
    assert read_all(box) == []
    box.put(outcome(0), expected=False)

    assert read_all(box) == [0, 1, 2]


def test_what_waited_for_an_item_that_never_comes_is_read_in_order_in_the_end():
    box = Outbox(10, ordered=True)
    for index in (4, 0, 2):
        box.put(outcome(index), expected=False)
    assert read_all(box) == [0]
    box.flush()

    assert read_all(box) == [2, 4]


@pytest.mark.parametrize("ordered", [True, False])
def test_it_is_full_with_so_many_unread_whether_they_can_be_read_or_not(ordered):
    box = Outbox(2, ordered=ordered)
    box.put(outcome(1), expected=False)
    assert not box.full
    box.put(outcome(2), expected=False)

    assert box.full


def test_a_picture_that_is_still_fetched_takes_its_room_once():
    box = Outbox(2, ordered=False)
    box.expect()
    box.put(outcome(0), expected=False)
    assert box.full
    box.put(outcome(1), expected=True)
    assert box.full
    box.get()

    assert not box.full


def test_the_reader_hears_of_news_and_the_workers_of_room():
    box = Outbox(1, ordered=False)
    assert not box.news.is_set()
    box.put(outcome(0), expected=False)
    assert (box.news.is_set(), box.room.is_set()) == (True, False)
    box.get()

    assert box.room.is_set()


def test_what_nobody_read_is_handed_over_whole_and_once():
    box = Outbox(10, ordered=True)
    for index in (0, 1, 3):
        box.put(outcome(index), expected=False)
    box.get()

    assert [one.index for one in box.rest()] == [1, 3]
    assert box.rest() == []
