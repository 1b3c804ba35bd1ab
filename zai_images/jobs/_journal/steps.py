"""
The journal: each step of each item, on the disk before the next one follows.

Each step is a function of a connection; `writer` carries them out, many to a commit. A
step adds evidence and then has the item's standing follow from all of it, in the same
transaction. No step takes back what is known to be paid.
"""

import json
import time
from array import array
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import attrs

from zai_images._api.errors import Billed, ZaiImagesError
from zai_images._api.response import RawResponse
from zai_images.jobs._errors import JobError
from zai_images.jobs._evidence import Payment, Standing, ended, read, standing
from zai_images.jobs._journal import queries
from zai_images.jobs._journal.schema import Connection, Step, on_journal
from zai_images.jobs._states import State

# How an item is wanted: by no input any more, by the latest, by `retry`.
UNWANTED, WANTED, RETRIED = 0, 1, 2
# What became of a file since it was saved; a file of which nothing is noted is there.
# A person's doings are left alone; what is to be fetched again is not saved any more.
Seen = Literal["missing", "changed", "again"]
# A failure that the service owns up to is sent once more by the retry policy.
_SENDABLE = (State.PENDING, State.UNKNOWN)
_SENDABLE_AGAIN = (*_SENDABLE, State.ANSWERED)
_SERVICE = "service"
_CUT_OFF = (
    "It was sent, and the process ended before an answer was known; it may be billed."
)


@attrs.frozen(kw_only=True)
class Attempt:
    """One attempt to have an item made; `price` in US dollars, None if unknown."""

    id: int
    number: int
    price: float | None = None
    again: bool = False  # asked for, though an earlier one may be paid for


@attrs.frozen(kw_only=True)
class Received:
    """An answer as it came, and when (Unix seconds): before anything looked at it."""

    attempt: Attempt
    raw: RawResponse
    at: float


@attrs.frozen(kw_only=True)
class Settled:
    """The end of an attempt that brought no answer: it cost nothing, or may have."""

    attempt: Attempt
    billed: Billed


@attrs.frozen(kw_only=True)
class Saved:
    """
    A file that is whole, renamed and synced, its folder too.

    `path` is relative to the job's folder, `size` in bytes, `latency` in seconds.
    """

    number: int
    path: str
    size: int
    sha256: str
    at: float
    latency: float | None = None


def _restate(connection: Connection, number: int) -> Standing:
    """Write what follows from all that is known of an item."""
    payments = connection.execute(
        "SELECT billed, price FROM attempts WHERE number=?", (number,)
    )
    final, saved = connection.execute(
        "SELECT ended, size IS NOT NULL AND seen IS NOT 'again' "
        "FROM items LEFT JOIN pictures USING (number) WHERE number=?",
        (number,),
    ).fetchone()
    found = standing(
        [Payment(*row) for row in payments],
        saved=bool(saved),
        ended=None if final is None else State(final),
    )
    connection.execute(
        "UPDATE items SET state=?, billed=?, maybe=?, cost=? WHERE number=?",
        (str(found.state), found.billed, found.maybe, found.cost, number),
    )
    return found


@on_journal
def intend(connection: Connection, attempt: Attempt) -> None:
    """Note that an item is about to be sent: synced before its first byte leaves."""
    (state,) = connection.execute(
        "SELECT state FROM items WHERE number=?", (attempt.number,)
    ).fetchone()
    if state not in (_SENDABLE_AGAIN if attempt.again else _SENDABLE):
        raise RuntimeError(f"item {attempt.number} may not be sent: it is {state}")
    connection.execute(
        "INSERT INTO attempts (id, number, sent, again, price) VALUES (?,?,?,?,?)",
        (attempt.id, attempt.number, time.time(), attempt.again, attempt.price),
    )
    connection.execute(
        "UPDATE items SET sends=sends+1, ended=NULL WHERE number=?",
        (attempt.number,),
    )
    _restate(connection, attempt.number)


@on_journal
def keep_answer(connection: Connection, received: Received) -> None:
    """Keep an answer as it came, then what it says. A free refusal leaves no row."""
    attempt, raw = received.attempt, received.raw
    connection.execute(
        "INSERT INTO attempts (id, number, sent, again, price, answered, status, "
        "request_id, body) VALUES (:id, :number, :at, :again, :price, :at, "
        ":status, :request_id, :body) ON CONFLICT (id) DO UPDATE SET "
        "answered=:at, status=:status, request_id=:request_id, body=:body",
        attrs.asdict(attempt) | attrs.asdict(raw) | {"at": received.at},
    )
    found = read(raw, datetime.fromtimestamp(received.at, UTC))
    expires = None if found.response is None else found.response.expires
    connection.execute(
        "UPDATE attempts SET billed=?, expires=? WHERE id=?",
        (found.billed, expires and expires.timestamp(), attempt.id),
    )
    _forget_if_free(connection, attempt)
    if found.error is not None:
        _explain(connection, attempt.number, found.error)
    else:
        connection.execute(
            "UPDATE items SET ended=NULL WHERE number=?", (attempt.number,)
        )
    _restate(connection, attempt.number)


@on_journal
def settle(connection: Connection, settled: Settled) -> None:
    """Note how an attempt ended that brought no answer."""
    attempt = settled.attempt
    connection.execute(
        "UPDATE attempts SET billed=? WHERE id=? AND billed IS NULL",
        (settled.billed, attempt.id),
    )
    _forget_if_free(connection, attempt)
    _restate(connection, attempt.number)


def _forget_if_free(connection: Connection, attempt: Attempt) -> None:
    connection.execute("DELETE FROM attempts WHERE id=? AND billed='no'", (attempt.id,))


@on_journal
def explain(connection: Connection, number: int, error: ZaiImagesError) -> State:
    """Note what went wrong with an item; returns where that leaves it."""
    _explain(connection, number, error)
    return _restate(connection, number).state


def _explain(connection: Connection, number: int, error: ZaiImagesError) -> None:
    final = None if error.billed != "no" else ended(error)
    connection.execute(
        "UPDATE items SET ended=?, error=?, code=? WHERE number=?",
        (final and str(final), str(error), getattr(error, "code", None), number),
    )


@on_journal
def not_fetched(
    connection: Connection, number: int, why: str, *, dead: Collection[int] = ()
) -> None:
    """Note why a paid picture is not here yet, and which of its links are dead."""
    connection.execute(
        "UPDATE items SET error=? WHERE number=? AND state='answered'",
        (why, number),
    )
    for attempt, last in connection.execute(
        "SELECT id, dead FROM attempts WHERE number=? AND billed='yes'", (number,)
    ).fetchall():
        now = why if attempt in dead else None
        if now != last:
            connection.execute("UPDATE attempts SET dead=? WHERE id=?", (now, attempt))


@on_journal
def record_saved(connection: Connection, saved: Saved) -> None:
    """Record a file that is whole, renamed and synced, its folder too."""
    connection.execute(
        "INSERT OR REPLACE INTO pictures (number, path, size, sha256, at) "
        "VALUES (:number, :path, :size, :sha256, :at)",
        attrs.asdict(saved),
    )
    connection.execute(
        "UPDATE items SET error=NULL, code=NULL, ended=NULL, "
        "latency=coalesce(:latency, latency) WHERE number=:number",
        attrs.asdict(saved),
    )
    _restate(connection, saved.number)


@on_journal
def see(
    connection: Connection, found: Sequence[tuple[queries.Recorded, str, Seen | None]]
) -> None:
    """Note where files are now and what became of them, but not of newer ones."""
    for one, path, seen in found:
        connection.execute(
            "UPDATE pictures SET path=?, seen=? WHERE number=? AND sha256=?",
            (path, seen, one.number, one.sha256),
        )
        _restate(connection, one.number)


@on_journal
def note(connection: Connection, name: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Keep a fact about the job as a whole."""
    connection.execute(
        "INSERT OR REPLACE INTO job VALUES (?, ?)", (name, json.dumps(value))
    )


# Which items may be asked for again for free, and how: what failed for free becomes
# pending, and what is missing is to be fetched once more.
_ASKED_AGAIN = {
    "failed": (
        "SELECT number FROM items WHERE state='failed'",
        f"UPDATE items SET ended=NULL, wanted={RETRIED} WHERE number=?",  # noqa: S608 - a number of ours
    ),
    "missing": (
        "SELECT number FROM pictures WHERE seen='missing'",
        "UPDATE pictures SET seen='again' WHERE number=?",
    ),
}


@attrs.frozen(kw_only=True)
class Leftovers:
    """
    What earlier runs of a job have left to do.

    Attributes:
        answered: Items that are paid and not saved.
        unknown: Items to be sent once more, though they may have been paid for.
        dead: Items to be sent once more, if their links are still dead.
    """

    answered: "array[int]"
    unknown: list[int]
    dead: frozenset[int]


@on_journal
def leftovers(
    connection: Connection, again: Collection[str], *, wanted: int
) -> Leftovers:
    """
    Read what earlier runs have left, and make ready what is asked for again.

    Args:
        connection: The journal's.
        again: What is asked for again, of `failed`, `missing`, `unknown` and `dead`.
        wanted: How much an item must be wanted to be paid for once more.
    """
    for only, (which, change) in _ASKED_AGAIN.items():
        if only in again:
            for (number,) in connection.execute(which).fetchall():
                connection.execute(change, (number,))
                _restate(connection, number)

    def unspent(kind: Literal["unknown", "dead"]) -> list[int]:
        return queries.unspent(kind, wanted=wanted)(connection) if kind in again else []

    return Leftovers(
        answered=queries.answered(connection),
        unknown=unspent("unknown"),
        dead=frozenset(unspent("dead")),
    )


@on_journal
def resume(connection: Connection, service: str, *, private_sandbox: bool) -> None:
    """
    Bring every item to where it can be resumed from.

    What was in flight as its process ended may be billed. The links of a private
    sandbox died with it, and so did its bill.

    Raises:
        JobError: The job was made with another service; no sandbox picture passes as
            paid.
    """
    _check_service(connection, service)
    for (number,) in connection.execute(
        "SELECT number FROM attempts WHERE billed IS NULL"
    ).fetchall():
        connection.execute(
            "UPDATE attempts SET billed='maybe' WHERE number=? AND billed IS NULL",
            (number,),
        )
        if _restate(connection, number).state is State.UNKNOWN:
            connection.execute(
                "UPDATE items SET error=?, code=NULL WHERE number=?",
                (_CUT_OFF, number),
            )
    if private_sandbox:
        for number in queries.answered(connection):
            connection.execute("DELETE FROM attempts WHERE number=?", (number,))
            connection.execute("DELETE FROM pictures WHERE number=?", (number,))
            _restate(connection, number)


def _check_service(connection: Connection, name: str) -> None:
    """Record the service of a new job, and refuse another one for an old job."""
    known = queries.fact(_SERVICE)(connection)
    if known is None:
        note(_SERVICE, name)(connection)
    elif known != name:
        raise JobError(
            f"This job was made with {known}, and this run is with {name}. Nothing "
            "was sent; use another folder."
        )


Fact = Received | Settled | Saved


def record(fact: Fact) -> Step[None]:
    """Record a fact that must not be lost; a second time changes nothing."""
    if isinstance(fact, Received):
        return keep_answer(fact)
    return settle(fact) if isinstance(fact, Settled) else record_saved(fact)


@on_journal
def record_all(connection: Connection, facts: Sequence[Fact]) -> None:
    """
    Record facts that the journal had not taken when they came.

    An item that may be paid for is never forgotten, so those of others cost nothing.
    """
    for fact in facts:
        number = fact.number if isinstance(fact, Saved) else fact.attempt.number
        known = connection.execute("SELECT 1 FROM items WHERE number=?", (number,))
        if known.fetchone() is not None:
            record(fact)(connection)
