"""
The journal: each step of each item, on the disk before the next one follows.

Each step is a function of a connection; `writer` carries them out, many to a commit.
Every statement that moves an item asks the table of `_states` whether it may.
"""

import json
import time
from array import array
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any, Literal

import attrs

from zai_images._api.response import RawResponse
from zai_images.jobs._errors import JobError
from zai_images.jobs._journal import queries
from zai_images.jobs._journal.schema import Connection, Step
from zai_images.jobs._states import State, sources

# How an item is wanted: by no input any more, by the latest, by `retry`.
UNWANTED, WANTED, RETRIED = 0, 1, 2
_UNSPENT: tuple[Literal["unknown", "dead"], ...] = ("unknown", "dead")
_SERVICE = "service"
_CUT_OFF = (
    "It was sent, and the process ended before an answer was known; it may be billed."
)


@attrs.frozen(kw_only=True)
class Saved:
    """What is recorded of a picture's file; `path` is relative to the folder."""

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


def _move_all(source: State, target: State, *, changes: str = "") -> str:
    """Write the statement that moves all items of a state, where the table allows."""
    allowed = ", ".join(f"'{state}'" for state in sources(target) if state is source)
    return f"UPDATE items SET state='{target}'{changes} WHERE state IN ({allowed})"  # noqa: S608 - our own words


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
_INTERRUPTED = _move_all(
    State.SENT, State.UNKNOWN, changes=", maybe=maybe+1, error=:error"
)
_FOUND_ANSWERED = _move(State.ANSWERED, changes=", maybe=max(0, maybe-1)")
_LINKS_LOST = _move_all(State.ANSWERED, State.PENDING)
_FAILED_AGAIN = _move_all(State.FAILED, State.PENDING, changes=f", wanted={RETRIED}")


def intend(number: int, *, again: bool = False) -> Step[None]:
    """
    Note that an item is about to be sent: synced before its first byte leaves.

    Args:
        number: The item's.
        again: It may have been paid for already, and is sent once more as was asked.
    """

    def step(connection: Connection) -> None:
        known = {"number": number, "again": int(again)}
        if again:  # what has an answer goes out by way of pending alone
            connection.execute(_PENDING, known)
        if not connection.execute(_SENT, known).rowcount:
            raise RuntimeError(f"item {number} may not be sent in the state it is in")

    return step


def keep_answer(number: int, raw: RawResponse) -> Step[None]:
    """Keep an answer as it came, before anything has looked at it."""
    at = time.time()

    def step(connection: Connection) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO answers (number, at, status, request_id, body) "
            "VALUES (?, ?, ?, ?, ?)",
            (number, at, raw.status, raw.request_id, raw.body),
        )
        connection.execute(_ANSWERED, {"number": number})

    return step


def settle(number: int, target: State, *, maybe: bool) -> Step[None]:
    """Note how an attempt ended that brought no picture."""

    def step(connection: Connection) -> None:
        known = {"number": number, "error": None, "code": None}
        connection.execute(_ENDED[target], known)
        if target is State.PENDING:
            connection.execute("DELETE FROM answers WHERE number=?", (number,))
        if maybe:
            connection.execute(
                "UPDATE items SET maybe=maybe+1 WHERE number=?", (number,)
            )

    return step


def give_back(number: int, state: State) -> Step[None]:
    """Note that sending an item again cost nothing: it is what it was, and unspent."""

    def step(connection: Connection) -> None:
        connection.execute(_BACK[state], {"number": number})
        connection.execute("UPDATE items SET resent=0 WHERE number=?", (number,))

    return step


def explain(number: int, error: str, code: str | None) -> Step[None]:
    """Note what went wrong with an item that stays in its state."""

    def step(connection: Connection) -> None:
        connection.execute(
            "UPDATE items SET error=?, code=? WHERE number=?", (error, code, number)
        )

    return step


def end(
    number: int, target: State, error: str, code: str | None, *, more_maybe: int = 0
) -> Step[None]:
    """Note how an item ended, why, and how many more attempts may be billed."""

    def step(connection: Connection) -> None:
        known = {"number": number, "error": error, "code": code}
        if not connection.execute(_ENDED[target], known).rowcount:
            connection.execute(
                "UPDATE items SET error=:error, code=:code WHERE number=:number", known
            )
        if target is not State.UNKNOWN:
            connection.execute("DELETE FROM answers WHERE number=?", (number,))
        if more_maybe:
            connection.execute(
                "UPDATE items SET maybe=maybe+? WHERE number=?", (more_maybe, number)
            )

    return step


def read_answer(
    number: int,
    *,
    url: str,
    expires: datetime | None,
    cost: float | None,
    latency: float | None,
) -> Step[None]:
    """Note what a kept answer says, now that it has been read."""
    dies = None if expires is None else expires.timestamp()

    def step(connection: Connection) -> None:
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


def not_fetched(number: int, why: str, *, dead: bool) -> Step[None]:
    """Note why a paid picture is not here yet, or never will be."""

    def step(connection: Connection) -> None:
        connection.execute(
            "UPDATE items SET error=? WHERE number=? AND state='answered'",
            (why, number),
        )
        connection.execute(
            "UPDATE answers SET dead=? WHERE number=?", (why if dead else None, number)
        )

    return step


def record_saved(
    number: int, saved: Saved, *, unwritten: RawResponse | None = None
) -> Step[None]:
    """
    Record a file that is whole, renamed and synced, its folder too.

    Args:
        number: The item's.
        saved: The file.
        unwritten: The item's answer where the disk had not taken it; it goes first.
    """
    at = time.time()
    keep = None if unwritten is None else keep_answer(number, unwritten)

    def step(connection: Connection) -> None:
        if keep is not None:
            keep(connection)
        connection.execute(
            "INSERT OR REPLACE INTO pictures (number, path, size, sha256, at) "
            "VALUES (?, ?, ?, ?, ?)",
            (number, saved.path, saved.size, saved.sha256, at),
        )
        connection.execute(_SAVED, {"number": number})

    return step


def missing(numbers: Iterable[int]) -> Step[None]:
    """Note that files are gone; their links are kept, so they are fetched again."""
    gone = [{"number": number} for number in numbers]

    def step(connection: Connection) -> None:
        connection.executemany(_ANSWERED, gone)
        connection.executemany("DELETE FROM pictures WHERE number=:number", gone)

    return step


def note(name: str, value: Any) -> Step[None]:  # noqa: ANN401 - any JSON value
    """Keep a fact about the job as a whole."""

    def step(connection: Connection) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO job VALUES (?, ?)", (name, json.dumps(value))
        )

    return step


def retry_failed(connection: Connection) -> None:
    """Make pending again what ended in an error that cost nothing."""
    connection.execute(_FAILED_AGAIN)


@attrs.frozen(kw_only=True)
class Leftovers:
    """
    What earlier runs of a job have left to do.

    Attributes:
        answered: Items that are paid and not saved.
        shards: How many folders files may be in.
        unknown: Items to be sent once more, though they may have been paid for.
        dead: Items to be sent once more, if their links are still dead.
    """

    answered: "array[int]"
    shards: int
    unknown: list[int]
    dead: frozenset[int]


def leftovers(again: Collection[str], *, wanted: int) -> Step[Leftovers]:
    """
    Read what earlier runs have left, and make pending again what failed.

    Args:
        again: What is sent again, of `failed`, `unknown` and `dead`.
        wanted: How much an item must be wanted to be paid for once more.
    """

    def step(connection: Connection) -> Leftovers:
        if "failed" in again:
            retry_failed(connection)
        unknown, dead = (
            queries.unspent(kind, wanted=wanted)(connection) if kind in again else []
            for kind in _UNSPENT
        )
        return Leftovers(
            answered=queries.answered(connection),
            shards=queries.shards(connection),
            unknown=unknown,
            dead=frozenset(dead),
        )

    return step


@attrs.frozen(kw_only=True)
class Unread:
    """
    An answer that was kept, and that nothing has looked at.

    Attributes:
        number: The item's number.
        body: The item's request, as it was sent.
        maybe: Whether an earlier attempt may be billed.
        raw: The answer.
    """

    number: int
    body: str
    maybe: bool
    raw: RawResponse


@attrs.frozen(kw_only=True)
class Reader:
    """
    What kept answers mean, told by those who know the service.

    Attributes:
        has_picture: Whether an answer holds a picture.
        read: Makes the step that notes what the answer of an item says.
    """

    has_picture: Callable[[RawResponse], bool]
    read: Callable[[Unread], Step[None]]


def resume(service: str, reader: Reader, *, private_sandbox: bool) -> Step[None]:
    """
    Bring every item to a state it can be resumed from.

    What was sent without a known answer is unknown. Answers that were kept and never
    read are read now. The links of a private sandbox died with it.

    Raises:
        JobError: The job was made with another service; no sandbox picture passes as
            paid.
    """

    def step(connection: Connection) -> None:
        _check_service(connection, service)
        connection.execute(_INTERRUPTED, {"error": _CUT_OFF})
        for one in _unread(connection, State.UNKNOWN):
            # Its call was cancelled while its answer was being kept. What holds no
            # picture was read, and nobody knows what it means.
            if reader.has_picture(one.raw):
                connection.execute(_FOUND_ANSWERED, {"number": one.number})
        if private_sandbox:
            connection.execute(_LINKS_LOST)
            connection.execute(
                "DELETE FROM answers WHERE number IN "
                "(SELECT number FROM items WHERE state='pending')"
            )
        for one in _unread(connection, State.ANSWERED):
            reader.read(one)(connection)

    return step


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


def _unread(connection: Connection, state: State) -> list[Unread]:
    rows = connection.execute(
        "SELECT number, items.body, maybe, status, request_id, answers.body "
        "FROM items JOIN answers USING (number) WHERE state=? AND url IS NULL",
        (state,),
    )
    return [
        Unread(
            number=number,
            body=body,
            maybe=bool(maybe),
            raw=RawResponse(status=status, request_id=request_id, body=answer),
        )
        for number, body, maybe, status, request_id, answer in rows.fetchall()
    ]
