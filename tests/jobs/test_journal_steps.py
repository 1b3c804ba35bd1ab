"""Each step of the journal, on a real file: what it moves, and what it leaves alone."""

import json
import sqlite3
from datetime import UTC, datetime

import pytest

from zai_images._api.response import RawResponse
from zai_images.jobs import MOVES, State
from zai_images.jobs._journal import queries, steps
from zai_images.jobs._journal.schema import connect
from zai_images.jobs._states import sources

RAW = RawResponse(status=200, request_id="r-1", body=b"paid")


class Book:
    """Look into a journal, and carry out its steps."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        self.connection = connection

    def add(self, state: str = "pending", *, answer: bool = False, **more) -> int:
        """Put an item into a state; its answer, where it has one, is kept too."""
        number = len(self.all("items")) + 1
        fields = {"key": b"%d" % number, "position": 1, "body": "{}", "state": state}
        fields |= {"number": number} | more
        marks = ", ".join("?" * len(fields))
        self.connection.execute(
            f"INSERT INTO items ({', '.join(fields)}) VALUES ({marks})",  # noqa: S608 - our own
            tuple(fields.values()),
        )
        if answer:
            self.connection.execute(
                "INSERT INTO answers (number, at, status, body) VALUES (?, 1, 200, '')",
                (number,),
            )
        return number

    def do(self, step):
        return step(self.connection)

    def all(self, table: str) -> list[sqlite3.Row]:
        query = f"SELECT * FROM {table} ORDER BY 1"  # noqa: S608 - our own
        return self.connection.execute(query).fetchall()

    def item(self, number: int = 1) -> sqlite3.Row:
        return self.all("items")[number - 1]

    def states(self) -> list[str]:
        return [row["state"] for row in self.all("items")]

    def answers(self) -> list[int]:
        return [row["number"] for row in self.all("answers")]


@pytest.fixture
def book(tmp_path):
    connection = connect(tmp_path / "job.sqlite")
    yield Book(connection)
    connection.close()


def test_every_state_is_reached_and_none_is_left_out_of_the_table():
    reached = frozenset().union(*MOVES.values())

    assert set(MOVES) == set(State)
    assert reached == set(State)
    assert MOVES[State.REFUSED] == frozenset()
    assert State.SENT not in MOVES[State.ANSWERED]  # paid: never straight back out
    assert State.SENT not in MOVES[State.SAVED]
    assert sources(State.SAVED) == (State.ANSWERED,)


@pytest.mark.parametrize("state", State)
def test_an_item_is_sent_only_from_where_the_table_allows_it(book, state):
    book.add(state)
    other = book.add()
    if State.SENT in MOVES[state]:
        book.do(steps.intend(1))
        assert (book.item()["state"], book.item()["attempts"]) == ("sent", 1)
    else:
        with pytest.raises(RuntimeError, match="item 1 may not be sent"):
            book.do(steps.intend(1))
        assert (book.item()["state"], book.item()["attempts"]) == (state, 0)
    assert book.item(other)["state"] == "pending"


def test_attempts_are_counted_each(book):
    book.add()
    for _ in range(3):
        book.do(steps.intend(1))
        book.do(steps.settle(1, State.PENDING, maybe=False))

    assert book.item()["attempts"] == 3


def test_an_answer_is_kept_as_it_came_and_a_later_one_replaces_it(book):
    book.add("sent", answer=True)
    book.add("sent")
    book.do(steps.keep_answer(1, RAW))

    (kept,) = book.all("answers")
    assert tuple(kept)[2:5] == (200, "r-1", b"paid")
    assert kept["at"] > 1_000_000_000
    assert book.states() == ["answered", "sent"]


@pytest.mark.parametrize(("maybe", "count"), [(True, 1), (False, 0)])
@pytest.mark.parametrize(
    ("target", "kept"), [(State.PENDING, [2]), (State.UNKNOWN, [1, 2])]
)
def test_an_attempt_without_a_picture_is_settled(book, target, kept, maybe, count):
    """The answer goes where it was a refusal, and stays where it may be paid for."""
    book.add("sent", answer=True, error="before", code="1")
    book.add("sent", answer=True, error="before", code="1")
    book.do(steps.settle(1, target, maybe=maybe))

    first, second = book.all("items")
    assert (first["state"], first["maybe"]) == (target, count)
    assert (first["error"], first["code"]) == (None, None)
    assert (second["state"], second["maybe"]) == ("sent", 0)
    assert (second["error"], second["code"]) == ("before", "1")
    assert book.answers() == kept


@pytest.mark.parametrize("target", [State.FAILED, State.REFUSED, State.UNKNOWN])
def test_an_item_ends_with_its_reason(book, target):
    """Only where the picture may be paid for is the answer kept."""
    book.add("answered", answer=True)
    book.add("answered", answer=True)
    book.do(steps.end(1, target, "no foxes", "1301"))

    first, second = book.all("items")
    assert (first["state"], first["error"], first["code"]) == (
        target,
        "no foxes",
        "1301",
    )
    assert (second["state"], second["error"], second["code"]) == (
        "answered",
        None,
        None,
    )
    assert book.answers() == ([1, 2] if target is State.UNKNOWN else [2])


def test_a_reason_is_told_even_where_the_state_stays(book):
    book.add("saved")
    book.add("saved")
    book.do(steps.end(1, State.FAILED, "why", "7"))

    assert book.states() == ["saved", "saved"]
    assert [row["error"] for row in book.all("items")] == ["why", None]
    assert [row["code"] for row in book.all("items")] == ["7", None]


def read(**fields):
    defaults = {"url": "https://e.example/a", "expires": None, "cost": 0.01}
    return steps.read_answer(1, **(defaults | {"latency": None} | fields))


def test_a_picture_is_paid_for_once_however_often_it_is_read_of(book):
    book.add("answered", answer=True)
    book.add("answered", answer=True)
    book.do(read(expires=datetime(2026, 1, 1, tzinfo=UTC), latency=7.5))
    book.do(read(url="https://e.example/b"))

    first, second = book.all("answers")
    assert tuple(first)[5:8] == ("https://e.example/a", 1767225600.0, 7.5)
    assert tuple(second)[5:8] == (None, None, None)
    assert [row["cost"] for row in book.all("items")] == [0.01, None]


def test_what_was_paid_before_stays_paid(book):
    book.add("answered", answer=True, cost=0.02)
    book.do(read())

    assert book.item()["cost"] == pytest.approx(0.03)


@pytest.mark.parametrize("dead", [True, False])
def test_a_paid_picture_that_is_not_here_says_why(book, dead):
    book.add("answered", answer=True)
    book.add("answered", answer=True)
    book.do(steps.not_fetched(1, "gone", dead=dead))

    assert [row["error"] for row in book.all("items")] == ["gone", None]
    assert [row["dead"] for row in book.all("answers")] == [
        "gone" if dead else None,
        None,
    ]


def test_a_saved_picture_has_no_old_complaint(book):
    book.add("saved", error="why", code="7", answer=True)
    book.do(steps.not_fetched(1, "late", dead=False))

    assert book.item()["error"] == "why"


def test_a_file_is_recorded_and_what_was_wrong_before_is_forgotten(book):
    book.add("answered", error="why", code="7")
    book.add("answered", error="why", code="7")
    for size in (3, 4):
        saved = steps.Saved(path="a.png", size=size, sha256="ab")
        book.do(steps.record_saved(1, saved))

    (picture,) = book.all("pictures")
    assert tuple(picture)[:4] == (1, "a.png", 4, "ab")
    assert picture["at"] > 1_000_000_000
    assert book.states() == ["saved", "answered"]
    assert [row["error"] for row in book.all("items")] == [None, "why"]
    assert [row["code"] for row in book.all("items")] == [None, "7"]


def test_a_file_that_is_gone_makes_its_answer_count_again(book):
    for number in (1, 2):
        book.add("answered", answer=True)
        saved = steps.Saved(path=f"{number}.png", size=3, sha256="ab")
        book.do(steps.record_saved(number, saved))
    book.do(steps.missing([1]))

    assert book.states() == ["answered", "saved"]
    assert [row["number"] for row in book.all("pictures")] == [2]
    assert book.answers() == [1, 2]


def test_a_fact_about_the_job_is_replaced_by_a_newer_one(book):
    for value in ("old", ["new"]):
        book.do(steps.note("service", value))

    ((name, value),) = book.all("job")
    assert (name, json.loads(value)) == ("service", ["new"])


@pytest.fixture
def full_book(book):
    """Hold one of each that may be sent again, beside those that may not."""
    book.add("failed")
    book.add("refused")
    book.add("unknown", answer=True)
    book.add("unknown", resent=1, answer=True)
    for fields in ({}, {"resent": 1}):
        number = book.add("answered", answer=True, **fields)
        book.do(steps.not_fetched(number, "gone", dead=True))
    book.add("answered", answer=True)
    book.add("unknown", wanted=0)
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


def test_what_failed_for_free_is_pending_again(full_book):
    before = full_book.states()
    full_book.do(steps.retry_failed)

    assert full_book.states() == ["pending", *before[1:]]
    assert full_book.item(1)["wanted"] == 2
    assert full_book.item(1)["resent"] == 0


@pytest.mark.parametrize(("number", "state"), [(3, "unknown"), (5, "answered")])
def test_an_item_that_is_sent_again_is_spent_unless_that_was_free(
    full_book, number, state
):
    full_book.do(steps.intend(number, again=True))
    sent = full_book.item(number)
    assert (sent["state"], sent["resent"]) == ("sent", 1)

    full_book.do(steps.give_back(number, State(state)))
    back = full_book.item(number)
    assert (back["state"], back["resent"]) == (state, 0)
    assert number in full_book.answers()


def test_what_is_paid_for_is_not_sent_unasked(full_book):
    for number in (5, 7):
        with pytest.raises(RuntimeError, match="may not be sent"):
            full_book.do(steps.intend(number))


def test_what_went_wrong_is_told_of_an_item_that_stays_what_it_is(full_book):
    full_book.do(steps.explain(3, "no money", "1113"))

    item = full_book.item(3)
    assert (item["state"], item["code"]) == ("unknown", "1113")
    assert item["error"] == "no money"
