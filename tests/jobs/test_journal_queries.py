"""What is read in the journal: counts, payments, and all that is known of an item."""

import pytest
from support.journal import PICTURE, URL

from zai_images.jobs._journal import queries


def test_payments_are_counted_not_pictures(book):
    book.save(book.add(PICTURE))
    book.add(PICTURE)
    book.attempt(2, PICTURE, again=True)
    book.add("maybe", "maybe")
    book.attempt(book.add(PICTURE), again=True)
    found = book.do(queries.count)

    assert (found.billed, found.answered, found.saved) == (4, 1, 1)
    assert (found.maybe_billed, found.more_maybe_billed) == (2, 1)
    assert found.cost == pytest.approx(0.04)


def test_spending_is_told_by_day_and_model_and_an_unknown_price_is_unknown(book):
    book.add(PICTURE)
    book.add(PICTURE, body='{"model": "other"}')
    book.add("maybe")
    book.connection.execute("UPDATE attempts SET answered=86400 WHERE number=2")
    assert [
        (one.day, one.model, one.payments, one.cost) for one in book.do(queries.spend)
    ] == [("1970-01-01", "m", 1, 0.01), ("1970-01-02", "other", 1, 0.01)]

    book.connection.execute("UPDATE attempts SET price=NULL WHERE number=2")
    assert [one.cost for one in book.do(queries.spend)] == [0.01, None]


def test_a_record_has_all_the_links_and_the_latest_first_answer(book):
    two = b'{"data": [{"url": "https://x.example/b"}, {"url": "https://x.example/c"}]}'
    book.add(PICTURE)
    book.attempt(1, (200, two), again=True)
    (record,) = book.do(queries.records_after(0, 9))

    assert record.links == (URL, "https://x.example/b", "https://x.example/c")
    assert record.url == "https://x.example/b"
    assert (record.billed, record.maybe) == (2, 0)
    assert record.answer["data"][1] == {"url": "https://x.example/c"}


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'{"data": 7}', b'{"data": [3]}'])
def test_an_answer_without_links_is_told_as_it_is(book, body):
    book.add((200, body))
    (record,) = book.do(queries.records_after(0, 9))

    assert (record.links, record.url) == ((), None)
    assert record.answer is not None
