"""
The journal: each step of each item, on the disk before the next one follows.

Here stand the steps as functions of a connection; `_writer` carries them out, many to a
commit. An item is moved only where `_states` allows the move.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import attrs

from zai_images._api.response import RawResponse
from zai_images.jobs._states import State, sources

Step = Callable[[sqlite3.Connection], Any]
# How an item is wanted: by no input any more, by the latest, by `retry`.
UNWANTED, WANTED, RETRIED = 0, 1, 2


@attrs.frozen(kw_only=True)
class Saved:
    """Hold what is recorded of a picture's file; `path` is relative to the folder."""

    path: str
    size: int
    sha256: str


def _move(target: State, *, changes: str = "") -> str:
    """Write the statement that moves one item, where the table allows it."""
    allowed = ", ".join(f"'{state}'" for state in sources(target))
    return (
        f"UPDATE items SET state='{target}'{changes} "  # noqa: S608 - our own words
        f"WHERE number=:number AND state IN ({allowed})"
    )


_SENT = _move(State.SENT, changes=", attempts=attempts+1, resent=max(resent, :again)")
_PENDING = _move(State.PENDING)
_ANSWERED = _move(State.ANSWERED)
_BACK = {state: _move(state) for state in (State.ANSWERED, State.UNKNOWN)}
_SAVED = _move(State.SAVED, changes=", error=NULL, code=NULL")
_WHY = ", error=:error, code=:code"
_ENDED = {
    State.PENDING: _move(State.PENDING, changes=_WHY),
    State.FAILED: _move(State.FAILED, changes=_WHY),
    State.REFUSED: _move(State.REFUSED, changes=_WHY),
    State.UNKNOWN: _move(State.UNKNOWN, changes=_WHY),
}


def intend(number: int, *, again: bool = False) -> Step:
    """
    Note that an item is about to be sent: synced before its first byte leaves.

    Args:
        number: The item's.
        again: It may have been paid for already, and is sent once more as was asked.
    """

    def step(connection: sqlite3.Connection) -> None:
        known = {"number": number, "again": int(again)}
        if again:  # what has an answer goes out by way of pending alone
            connection.execute(_PENDING, known)
        if not connection.execute(_SENT, known).rowcount:
            raise RuntimeError(f"item {number} may not be sent in the state it is in")

    return step


def keep_answer(number: int, raw: RawResponse) -> Step:
    """Keep an answer as it came, before anything has looked at it."""
    at = time.time()

    def step(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO answers (number, at, status, request_id, body) "
            "VALUES (?, ?, ?, ?, ?)",
            (number, at, raw.status, raw.request_id, raw.body),
        )
        connection.execute(_ANSWERED, {"number": number})

    return step


def settle(number: int, target: State, *, maybe: bool) -> Step:
    """Note how an attempt ended that brought no picture."""

    def step(connection: sqlite3.Connection) -> None:
        known = {"number": number, "error": None, "code": None}
        connection.execute(_ENDED[target], known)
        if target is State.PENDING:
            connection.execute("DELETE FROM answers WHERE number=?", (number,))
        if maybe:
            connection.execute(
                "UPDATE items SET maybe=maybe+1 WHERE number=?", (number,)
            )

    return step


def give_back(number: int, state: State) -> Step:
    """Note that sending an item again cost nothing: it is what it was, and unspent."""

    def step(connection: sqlite3.Connection) -> None:
        connection.execute(_BACK[state], {"number": number})
        connection.execute("UPDATE items SET resent=0 WHERE number=?", (number,))

    return step


def explain(number: int, error: str, code: str | None) -> Step:
    """Note what went wrong with an item that stays in its state."""

    def step(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE items SET error=?, code=? WHERE number=?", (error, code, number)
        )

    return step


def end(number: int, target: State, error: str, code: str | None) -> Step:
    """Note how an item ended, and why."""

    def step(connection: sqlite3.Connection) -> None:
        known = {"number": number, "error": error, "code": code}
        if not connection.execute(_ENDED[target], known).rowcount:
            connection.execute(
                "UPDATE items SET error=:error, code=:code WHERE number=:number", known
            )
        if target is not State.UNKNOWN:
            connection.execute("DELETE FROM answers WHERE number=?", (number,))

    return step


def read_answer(
    number: int,
    *,
    url: str,
    expires: datetime | None,
    cost: float | None,
    latency: float | None,
) -> Step:
    """Note what a kept answer says, now that it has been read."""
    dies = None if expires is None else expires.timestamp()

    def step(connection: sqlite3.Connection) -> None:
        first = connection.execute(
            "UPDATE answers SET url=?, expires=?, latency=? "
            "WHERE number=? AND url IS NULL",
            (url, dies, latency, number),
        )
        if first.rowcount:  # a picture is paid for once, however often it is read of
            connection.execute(
                "UPDATE items SET cost=coalesce(cost, 0)+? WHERE number=?",
                (cost, number),
            )

    return step


def not_fetched(number: int, why: str, *, dead: bool) -> Step:
    """Note why a paid picture is not here yet, or never will be."""

    def step(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE items SET error=? WHERE number=? AND state='answered'",
            (why, number),
        )
        connection.execute(
            "UPDATE answers SET dead=? WHERE number=?", (why if dead else None, number)
        )

    return step


def record_saved(number: int, saved: Saved) -> Step:
    """Record a file that is whole, renamed and synced, its folder too."""
    at = time.time()

    def step(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO pictures (number, path, size, sha256, at) "
            "VALUES (?, ?, ?, ?, ?)",
            (number, saved.path, saved.size, saved.sha256, at),
        )
        connection.execute(_SAVED, {"number": number})

    return step


def missing(numbers: Iterable[int]) -> Step:
    """Note that files are gone; their links are kept, so they are fetched again."""
    gone = [{"number": number} for number in numbers]

    def step(connection: sqlite3.Connection) -> None:
        connection.executemany(_ANSWERED, gone)
        connection.executemany("DELETE FROM pictures WHERE number=:number", gone)

    return step


def note(name: str, value: Any) -> Step:  # noqa: ANN401 - any JSON value
    """Keep a fact about the job as a whole."""

    def step(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO job VALUES (?, ?)", (name, json.dumps(value))
        )

    return step


def retry_failed(connection: sqlite3.Connection) -> None:
    """Make pending again what ended in an error that cost nothing."""
    connection.execute(
        f"UPDATE items SET state='pending', wanted={RETRIED} WHERE state='failed'"  # noqa: S608 - our own words
    )
