"""Each step of the journal, on a real file: what it adds, and what it leaves alone."""

import json

import pytest
from support.journal import (
    FAILURE,
    HTML,
    NO_PLACE,
    PICTURE,
    UNSAFE,
    received,
)

from zai_images import ContentRefusedError, RateLimitedError
from zai_images.jobs import JobError, State
from zai_images.jobs._journal import queries, steps
from zai_images.jobs._journal.steps import Attempt, Saved, Settled


def test_an_intent_is_a_row_and_the_item_is_sent(book):
    book.add()
    other = book.add()
    book.attempt(1)

    (row,) = book.all("attempts")
    assert (row["number"], row["billed"], row["price"]) == (1, None, 0.01)
    assert row["sent"] > 1_000_000_000
    assert book.stands() == ("sent", 0, 1)
    assert book.stands(other) == ("pending", 0, 0)


@pytest.mark.parametrize("end", [None, PICTURE, UNSAFE])
def test_what_is_out_paid_or_refused_is_not_sent_unasked(book, end):
    book.add(end) if end else book.attempt(book.add())
    before = book.stands()

    with pytest.raises(RuntimeError, match="item 1 may not be sent"):
        book.attempt(1)
    assert book.stands() == before
    assert book.item()["sends"] == 1


def test_what_is_saved_is_not_sent_even_where_asked(book):
    book.save(book.add(PICTURE))

    with pytest.raises(RuntimeError, match="may not be sent"):
        book.attempt(1, again=True)


def test_every_send_is_counted_the_free_ones_too(book):
    book.add(NO_PLACE, "no", NO_PLACE)

    assert book.item()["sends"] == 3
    assert book.all("attempts") == []
    assert book.stands() == ("pending", 0, 0)


def test_an_answer_is_kept_as_it_came(book):
    book.add(PICTURE)
    book.add()
    book.attempt(2)

    kept, other = book.all("attempts")
    assert (kept["status"], kept["request_id"], kept["body"]) == (
        200,
        "r-1",
        PICTURE[1],
    )
    assert (kept["answered"], kept["billed"]) == (1.0, "yes")
    assert kept["expires"] == 1 + 30 * 86400
    assert (other["body"], other["billed"]) == (None, None)
    assert book.states() == ["answered", "sent"]


@pytest.mark.parametrize(
    ("end", "standing"),
    [
        (PICTURE, ("answered", 1, 0)),
        (NO_PLACE, ("pending", 0, 0)),
        (UNSAFE, ("refused", 0, 0)),
        (FAILURE, ("unknown", 0, 1)),
        (HTML, ("unknown", 0, 1)),
        ("maybe", ("unknown", 0, 1)),
        ("no", ("pending", 0, 0)),
    ],
)
def test_how_an_attempt_ends_says_where_the_item_is(book, end, standing):
    book.add(end)
    book.add()

    assert book.stands() == standing
    assert book.stands(2) == ("pending", 0, 0)
    free = standing[1:] == (0, 0)
    assert len(book.all("attempts")) == (not free)


LATER = {
    "no place": NO_PLACE,
    "an unsafe prompt": UNSAFE,
    "a failure": FAILURE,
    "a page": HTML,
    "a lost answer": "maybe",
    "no connection": "no",
    "another picture": PICTURE,
    "a kill": None,
}


@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
@pytest.mark.parametrize("first", [PICTURE, "maybe", HTML], ids=["paid", "lost", "odd"])
def test_nothing_later_changes_what_is_known_of_an_earlier_attempt(book, first, later):
    book.add(first)
    before, (row,) = book.stands(), book.all("attempts")
    book.attempt(1, later, again=True)
    book.do(steps.resume("s", private_sandbox=False))

    kept = book.all("attempts")[0]
    assert tuple(kept) == tuple(row)
    state, billed, maybe = book.stands()
    assert billed == before[1] + (later == PICTURE)
    assert maybe == before[2] + (later in (FAILURE, HTML, "maybe", None))
    assert state == ("answered" if PICTURE in (first, later) else "unknown")


def test_an_answer_that_comes_after_its_call_was_given_up_is_paid(book):
    """The next run has counted it as lost by then; what is known only grows."""
    book.add()
    attempt = book.attempt(1, "maybe")
    assert book.stands() == ("unknown", 0, 1)
    book.do(steps.record(received(attempt, PICTURE)))
    book.do(steps.record(Settled(attempt=attempt, billed="maybe")))

    assert book.stands() == ("answered", 1, 0)


def test_a_fact_that_is_recorded_twice_is_one_fact(book):
    book.add()
    attempt = book.attempt(1)
    facts = [
        received(attempt, PICTURE),
        Saved(number=1, path="a.png", size=3, sha256="ab", at=2.0, latency=7.5),
    ]
    for _ in range(2):
        book.do(steps.record_all(facts))

    assert book.stands() == ("saved", 1, 0)
    assert len(book.all("attempts")) == len(book.all("pictures")) == 1


def test_a_fact_of_an_item_that_is_gone_holds_up_no_other(book):
    """It was never sent, and a later input did not ask for it any more."""
    book.add()
    attempt = book.attempt(1)
    gone = Settled(attempt=Attempt(id=99, number=2), billed="no")
    book.do(steps.record_all([gone, received(attempt, PICTURE)]))

    assert book.stands() == ("answered", 1, 0)
    assert len(book.all("attempts")) == 1


def test_a_fact_of_an_attempt_that_the_journal_does_not_know_is_added(book):
    """An earlier copy of the folder was put in its place."""
    book.add()
    attempt = Attempt(id=99, number=1, price=0.02, again=True)
    book.do(steps.record(received(attempt, PICTURE, at=5.0)))

    (row,) = book.all("attempts")
    assert (row["id"], row["sent"], row["again"], row["price"]) == (99, 5.0, 1, 0.02)
    assert book.stands() == ("answered", 1, 0)
    assert book.item()["cost"] == 0.02


def test_what_went_wrong_is_told_and_a_picture_ends_it(book):
    book.add()
    refusal = ContentRefusedError("no foxes", status=400, code="1301")
    assert book.do(steps.explain(1, refusal)) is State.REFUSED
    assert (book.item()["error"], book.item()["code"]) == ("no foxes", "1301")
    book.do(steps.leftovers((), wanted=1))
    assert book.states() == ["refused"]

    book.save(1)
    item = book.item()
    assert (item["error"], item["code"], item["ended"]) == (None, None, None)


def test_of_what_stays_as_it_is_the_reason_is_told_too(book):
    book.add("maybe")
    busy = RateLimitedError("later", status=429, code="1302")

    assert book.do(steps.explain(1, busy)) is State.UNKNOWN
    assert book.item()["error"] == "later"


def test_an_end_that_came_for_free_is_forgotten_when_it_is_sent_again(book):
    book.add(UNSAFE)
    book.connection.execute("UPDATE items SET state='pending'")
    book.attempt(1, "no")

    assert book.stands() == ("pending", 0, 0)


@pytest.mark.parametrize("dead", [True, False])
def test_a_paid_picture_that_is_not_here_says_why(book, dead):
    book.add(PICTURE)
    book.add(PICTURE)
    book.do(steps.not_fetched(1, "gone", dead=[1] if dead else []))

    assert [row["error"] for row in book.all("items")] == ["gone", None]
    assert [row["dead"] for row in book.all("attempts")] == [
        "gone" if dead else None,
        None,
    ]
    assert book.do(queries.count).dead_links == dead

    book.do(steps.not_fetched(1, "late"))  # it may have come back to life
    assert book.do(queries.count).dead_links == 0


def test_of_several_links_each_dies_by_itself(book):
    book.add(PICTURE)
    book.attempt(1, PICTURE, again=True)
    book.do(steps.not_fetched(1, "gone", dead=[1]))

    assert [row["dead"] for row in book.all("attempts")] == ["gone", None]
    assert book.do(queries.count).dead_links == 0
    assert book.do(queries.unspent("dead", wanted=0)) == []


def test_a_saved_picture_has_no_old_complaint(book):
    book.save(book.add(PICTURE))
    book.do(steps.not_fetched(1, "late"))

    assert book.item()["error"] is None


def test_a_file_is_recorded_with_its_latency(book):
    book.add(PICTURE)
    book.add(PICTURE)
    book.save(1, size=3)
    saved = Saved(number=1, path="b.png", size=4, sha256="cd", at=5.0, latency=7.5)
    book.do(steps.record(saved))
    book.save(1, path="b.png", size=4)

    (picture,) = book.all("pictures")
    assert tuple(picture) == (1, "b.png", 4, "ab", 2.0, None)
    assert book.states() == ["saved", "answered"]
    assert [row["latency"] for row in book.all("items")] == [7.5, None]


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (None, "saved"),
        ("missing", "saved"),
        ("changed", "saved"),
        ("again", "answered"),
    ],
)
def test_the_record_of_a_file_stays_whatever_became_of_it(book, seen, state):
    for number in (1, 2):
        book.add(PICTURE)
        book.save(number, path=f"{number}.png")
    one, _ = book.do(queries.recorded(0))
    book.do(steps.see([(one, "elsewhere/1.png", seen)]))

    first, second = book.all("pictures")
    assert (first["path"], first["seen"]) == ("elsewhere/1.png", seen)
    assert (first["size"], first["sha256"]) == (3, "ab")
    assert (second["path"], second["seen"]) == ("2.png", None)
    assert book.states() == [state, "saved"]
    found = book.do(queries.count)
    assert (found.missing, found.changed) == (seen == "missing", seen == "changed")


def test_what_is_seen_of_a_file_is_not_said_of_a_newer_one(book):
    book.save(book.add(PICTURE))
    (old,) = book.do(queries.recorded(0))
    newer = Saved(number=1, path="b.png", size=4, sha256="cd", at=5.0)
    book.do(steps.record(newer))
    book.do(steps.see([(old, "a.png", "changed")]))

    assert tuple(book.all("pictures")[0])[1:] == ("b.png", 4, "cd", 5.0, None)


def test_a_fact_about_the_job_is_replaced_by_a_newer_one(book):
    for value in ("old", ["new"]):
        book.do(steps.note("service", value))

    ((name, value),) = book.all("job")
    assert (name, json.loads(value)) == ("service", ["new"])


@pytest.fixture
def full_book(book):
    """Hold one of each that may be asked for again, beside those that may not."""
    book.add(ended="failed", state="failed")
    book.add(UNSAFE)
    book.add("maybe")
    book.add("maybe")
    book.attempt(4, "maybe", again=True)
    for number in (5, 6):
        book.add(PICTURE)
        dead = [row["id"] for row in book.all("attempts")]
        if number == 6:
            dead.append(book.attempt(6, PICTURE, again=True).id)
        book.do(steps.not_fetched(number, "gone", dead=dead))
    book.add(PICTURE)
    book.add("maybe", wanted=0)
    book.save(book.add(PICTURE))
    (one,) = book.do(queries.recorded(0))
    book.do(steps.see([(one, "a.png", "missing")]))
    return book


@pytest.mark.parametrize(
    ("kind", "wanted", "found"),
    [
        ("unknown", 1, [3]),
        ("unknown", 0, [3, 8]),
        ("dead", 1, [5]),
        ("dead", 0, [5]),
    ],
)
def test_what_may_be_sent_again_is_found_and_nothing_is_changed(
    full_book, kind, wanted, found
):
    """What may be paid for is sent again once; what was paid for, never unasked."""
    before = full_book.states()

    assert full_book.do(queries.unspent(kind, wanted=wanted)) == found
    assert full_book.states() == before


def test_what_failed_for_free_is_pending_again_where_asked(full_book):
    before = full_book.states()
    full_book.do(steps.leftovers(("failed",), wanted=1))

    assert full_book.states() == ["pending", *before[1:]]
    assert full_book.item(1)["wanted"] == 2


def test_what_is_missing_is_to_be_fetched_again_where_asked(full_book):
    before = full_book.states()
    left = full_book.do(steps.leftovers(("missing",), wanted=1))

    assert full_book.states() == [*before[:-1], "answered"]
    assert 9 in left.answered


@pytest.mark.parametrize(("number", "state"), [(3, "unknown"), (5, "answered")])
def test_an_item_that_is_sent_again_is_spent_unless_that_was_free(
    full_book, number, state
):
    kinds = {3: "unknown", 5: "dead"}
    attempt = full_book.attempt(number, again=True)
    assert full_book.item(number)["state"] == "sent"
    assert full_book.do(queries.unspent(kinds[number], wanted=0)) != [number]

    full_book.do(steps.record(Settled(attempt=attempt, billed="no")))
    assert full_book.item(number)["state"] == state
    assert number in full_book.do(queries.unspent(kinds[number], wanted=0))


def test_what_was_in_flight_when_its_process_ended_may_be_billed(book):
    book.attempt(book.add())
    book.attempt(book.add(PICTURE, error="late"), again=True)
    book.do(steps.resume("s", private_sandbox=False))

    assert book.stands(1) == ("unknown", 0, 1)
    assert book.stands(2) == ("answered", 1, 1)
    assert "the process ended" in book.item(1)["error"]
    assert book.item(2)["error"] == "late"


def test_a_private_sandboxs_bill_ends_with_it(book):
    book.add(PICTURE)
    book.save(book.add(PICTURE))
    book.do(steps.resume("sandbox", private_sandbox=True))

    assert book.states() == ["pending", "saved"]
    assert [row["number"] for row in book.all("attempts")] == [2]


def test_a_job_of_another_service_is_refused(book):
    book.do(steps.resume("one", private_sandbox=False))

    with pytest.raises(JobError, match="made with one, and this run is with two"):
        book.do(steps.resume("two", private_sandbox=False))
