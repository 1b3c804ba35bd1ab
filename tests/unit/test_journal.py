"""Each step of the journal, on a real file: what it moves, and what it leaves alone."""

import json
import sqlite3
from datetime import UTC, datetime

import pytest

from zai_images._wire import RawResponse
from zai_images.jobs import MOVES, State
from zai_images.jobs import _journal as journal
from zai_images.jobs._schema import connect

RAW = RawResponse(status=200, request_id="r-1", body=b"paid")


class Book:
    """Look into a journal, and carry out its steps."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        self.connection = connection

    def add(self, state: str = "pending", *, answer: bool = False, **more) -> int:
        """Put an item into a state; its answer, where it has one, is kept too."""
        number = len(self.all("items")) + 1
        fields = {"key": b"%d" % number, "place": 1, "body": "{}", "state": state}
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


@pytest.mark.parametrize("state", State)
def test_an_item_is_sent_only_from_where_the_table_allows_it(book, state):
    book.add(state)
    other = book.add()
    if State.SENT in MOVES[state]:
        book.do(journal.intend(1))
        assert (book.item()["state"], book.item()["attempts"]) == ("sent", 1)
    else:
        with pytest.raises(RuntimeError, match="item 1 may not be sent"):
            book.do(journal.intend(1))
        assert (book.item()["state"], book.item()["attempts"]) == (state, 0)
    assert book.item(other)["state"] == "pending"


def test_attempts_are_counted_each(book):
    book.add()
    for _ in range(3):
        book.do(journal.intend(1))
        book.do(journal.settle(1, State.PENDING, maybe=False))

    assert book.item()["attempts"] == 3


def test_an_answer_is_kept_as_it_came_and_a_later_one_replaces_it(book):
    book.add("sent", answer=True)
    book.add("sent")
    book.do(journal.keep_answer(1, RAW))

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
    book.do(journal.settle(1, target, maybe=maybe))

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
    book.do(journal.end(1, target, "no foxes", "1301"))

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
    book.do(journal.end(1, State.FAILED, "why", "7"))

    assert book.states() == ["saved", "saved"]
    assert [row["error"] for row in book.all("items")] == ["why", None]
    assert [row["code"] for row in book.all("items")] == ["7", None]


def read(**fields):
    defaults = {"url": "https://e.example/a", "expires": None, "cost": 0.01}
    return journal.read_answer(1, **(defaults | {"latency": None} | fields))


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
    book.do(journal.not_fetched(1, "gone", dead=dead))

    assert [row["error"] for row in book.all("items")] == ["gone", None]
    assert [row["dead"] for row in book.all("answers")] == [
        "gone" if dead else None,
        None,
    ]


def test_a_saved_picture_has_no_old_complaint(book):
    book.add("saved", error="why", code="7", answer=True)
    book.do(journal.not_fetched(1, "late", dead=False))

    assert book.item()["error"] == "why"


def test_a_file_is_recorded_and_what_was_wrong_before_is_forgotten(book):
    book.add("answered", error="why", code="7")
    book.add("answered", error="why", code="7")
    for size in (3, 4):
        saved = journal.Saved(path="a.png", size=size, sha256="ab")
        book.do(journal.record_saved(1, saved))

    (picture,) = book.all("pictures")
    assert tuple(picture)[:4] == (1, "a.png", 4, "ab")
    assert picture["at"] > 1_000_000_000
    assert book.states() == ["saved", "answered"]
    assert [row["error"] for row in book.all("items")] == [None, "why"]
    assert [row["code"] for row in book.all("items")] == [None, "7"]


def test_a_file_that_is_gone_makes_its_answer_count_again(book):
    for number in (1, 2):
        book.add("answered", answer=True)
        saved = journal.Saved(path=f"{number}.png", size=3, sha256="ab")
        book.do(journal.record_saved(number, saved))
    book.do(journal.missing([1]))

    assert book.states() == ["answered", "saved"]
    assert [row["number"] for row in book.all("pictures")] == [2]
    assert book.answers() == [1, 2]


def test_a_fact_about_the_job_is_replaced_by_a_newer_one(book):
    for value in ("old", ["new"]):
        book.do(journal.note("service", value))

    ((name, value),) = book.all("job")
    assert (name, json.loads(value)) == ("service", ["new"])


@pytest.mark.parametrize(
    ("kind", "sent_again"),
    [("failed", [1]), ("unknown", [3]), ("dead", [5])],
)
def test_what_is_sent_again_is_what_was_asked_for_and_nothing_else(
    book, kind, sent_again
):
    """What may be paid for is sent again once; what was paid for, never unasked."""
    book.add("failed", answer=True)
    book.add("refused", answer=True)
    book.add("unknown", answer=True)
    book.add("unknown", resent=1, answer=True)
    for fields in ({}, {"resent": 1}):
        number = book.add("answered", answer=True, **fields)
        book.do(journal.not_fetched(number, "gone", dead=True))
    book.add("answered", answer=True)
    book.add("unknown", resent=1)
    before = book.states()
    assert book.do(journal.resend([kind])) == 1

    changed = [n for n, row in enumerate(book.all("items"), 1) if row["wanted"] == 2]
    assert changed == sent_again
    for number in sent_again:
        assert book.item(number)["state"] == "pending"
        assert book.item(number)["resent"] == (kind != "failed")
        before[number - 1] = "pending"
    assert book.states() == before
    assert book.answers() == [n for n in range(1, 8) if n not in sent_again]


def test_all_kinds_are_counted_together(book):
    book.add("failed")
    book.add("failed")
    book.add("unknown")

    assert book.do(journal.resend(["failed", "unknown"])) == 3
