"""What is read in the journal: steps that change nothing."""

import json
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import attrs

from zai_images._api.response import RawResponse
from zai_images.jobs._journal.schema import Connection, Step
from zai_images.jobs._report import JobRecord, JobStatus
from zai_images.jobs._states import State

SHARD = 1000  # files in one folder
T = TypeVar("T")
StatesOf = Callable[[Sequence[bytes]], dict[bytes, State]]
_RECORD = (
    "number, key, state, id, items.body, attempts, error, code, answers.body, url, "
    "path, size, sha256, latency, cost, pictures.at"
)


@attrs.frozen(kw_only=True)
class Kept:
    """The body of an item, and its answer with when it came (Unix seconds)."""

    number: int
    body: str
    at: float
    raw: RawResponse


def pending_after(
    position: tuple[int, int], most: int, *, wanted: int
) -> Step[list[tuple[int, int, str]]]:
    """Read the next items to send: position in the input, number, body."""

    def step(connection: Connection) -> list[tuple[int, int, str]]:
        return connection.execute(
            "SELECT position, number, body FROM items WHERE state='pending' "
            "AND (position, number) > (?, ?) AND wanted >= ? "
            "ORDER BY position, number LIMIT ?",
            (*position, wanted, most),
        ).fetchall()

    return step


def unspent(kind: Literal["unknown", "dead"], *, wanted: int) -> Step[list[int]]:
    """List what may be sent once more: unknown, or paid for with a link that died."""
    where = {
        "unknown": "state='unknown'",
        "dead": "state='answered' AND number IN "
        "(SELECT number FROM answers WHERE dead IS NOT NULL)",
    }

    def step(connection: Connection) -> list[int]:
        rows = connection.execute(
            "SELECT number FROM items WHERE resent=0 AND wanted>=? "  # noqa: S608 - our own words
            f"AND {where[kind]} ORDER BY position, number",
            (wanted,),
        )
        return [number for (number,) in rows]

    return step


def answered(connection: Connection) -> "array[int]":
    """List the items that are paid and not saved."""
    rows = connection.execute("SELECT number FROM items WHERE state='answered'")
    return array("q", (number for (number,) in rows))


def kept(numbers: Sequence[int]) -> Step[list[Kept]]:
    """Read the answers of items that are paid and not saved."""

    def step(connection: Connection) -> list[Kept]:
        marks = ", ".join("?" * len(numbers))
        rows = connection.execute(
            "SELECT number, items.body, answers.at, status, request_id, answers.body "  # noqa: S608 - question marks
            "FROM items JOIN answers USING (number) "
            f"WHERE state='answered' AND number IN ({marks})",
            numbers,
        )
        return [
            Kept(
                number=number,
                body=body,
                at=at,
                raw=RawResponse(status=status, request_id=request_id, body=raw),
            )
            for number, body, at, status, request_id, raw in rows
        ]

    return step


def shards(connection: Connection) -> int:
    """Count the folders that files may be in."""
    (last,) = connection.execute("SELECT max(number) FROM pictures").fetchone()
    return 0 if last is None else (last - 1) // SHARD + 1


def recorded(shard: int) -> Step[list[tuple[int, str, int]]]:
    """Read what is recorded of one folder's files: number, path, size in bytes."""

    def step(connection: Connection) -> list[tuple[int, str, int]]:
        return connection.execute(
            "SELECT number, path, size FROM pictures WHERE number BETWEEN ? AND ?",
            (shard * SHARD + 1, (shard + 1) * SHARD),
        ).fetchall()

    return step


def about(number: int) -> Step[tuple[str, str, str]]:
    """Read what an item is: key (hexadecimal), the caller's id as JSON, body."""

    def step(connection: Connection) -> tuple[str, str, str]:
        key, caller_id, body = connection.execute(
            "SELECT key, id, body FROM items WHERE number=?", (number,)
        ).fetchone()
        return key.hex(), caller_id, body

    return step


def is_path_used(path: str, number: int) -> Step[bool]:
    """Tell whether another item has a file of this name."""

    def step(connection: Connection) -> bool:
        found = connection.execute(
            "SELECT 1 FROM pictures WHERE path=? AND number<>?", (path, number)
        )
        return found.fetchone() is not None

    return step


def fact(name: str) -> Step[Any]:
    """Read a fact about the job as a whole; None where it was never noted."""

    def step(connection: Connection) -> Any:  # noqa: ANN401 - any JSON value
        found = connection.execute("SELECT value FROM job WHERE name=?", (name,))
        row = found.fetchone()
        return None if row is None else json.loads(row[0])

    return step


def asking_states(work: Callable[[StatesOf], T]) -> Step[T]:
    """Do work that asks, block by block, for the states of items by their keys."""

    def step(connection: Connection) -> T:
        return work(lambda keys: _states_of(connection, keys))

    return step


def _states_of(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, State]:
    marks = ", ".join("?" * len(keys))
    rows = connection.execute(
        f"SELECT key, state FROM items WHERE key IN ({marks})",  # noqa: S608 - question marks
        keys,
    )
    return {key: State(state) for key, state in rows}


def count(connection: Connection) -> JobStatus:
    """Count the items by state."""
    states: dict[str, int] = {}
    cost: float | None = 0.0
    more = 0
    for state, number, known, dollars, maybe in connection.execute(
        "SELECT state, count(*), count(cost), total(cost), total(maybe) FROM items "
        "GROUP BY state"
    ):
        states[state] = number
        more += int(maybe) - (number if state == State.UNKNOWN else 0)
        paid = state in (State.ANSWERED, State.SAVED)
        cost = None if cost is None or (paid and known < number) else cost + dollars
    dead, dies = connection.execute(
        "SELECT count(dead), min(CASE WHEN dead IS NULL THEN expires END) FROM items "
        "JOIN answers USING (number) WHERE state='answered'"
    ).fetchone()
    return JobStatus(
        service=fact("service")(connection),
        **states,
        dead_links=dead,
        links_expire=None if dies is None else datetime.fromtimestamp(dies, UTC),
        more_maybe_billed=max(0, more),
        cost=cost,
    )


def records_after(number: int, most: int) -> Step[list[JobRecord]]:
    """Read all that is known of the next items."""

    def step(connection: Connection) -> list[JobRecord]:
        rows = connection.execute(
            f"SELECT {_RECORD} FROM items LEFT JOIN answers USING (number) "  # noqa: S608 - our own words
            "LEFT JOIN pictures USING (number) WHERE number > ? "
            "ORDER BY number LIMIT ?",
            (number, most),
        )
        return [_record(row) for row in rows]

    return step


def _record(row: tuple[Any, ...]) -> JobRecord:
    (number, key, state, caller_id, body, attempts, error, code, answer, *rest) = row
    url, path, size, sha256, latency, cost, saved_at = rest
    return JobRecord(
        number=number,
        key=key.hex(),
        state=State(state),
        id=json.loads(caller_id),
        body=json.loads(body),
        attempts=attempts,
        error=error,
        code=code,
        answer=None if answer is None else _readable(answer),
        url=url,
        path=path,
        size=size,
        sha256=sha256,
        latency=latency,
        cost=cost,
        saved_at=saved_at,
    )


def _readable(answer: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return answer.decode(errors="replace")


def pictures_after(number: int, most: int) -> Step[list[tuple[int, str, int, str]]]:
    """Read what is recorded of the next files: number, path, bytes, SHA-256."""

    def step(connection: Connection) -> list[tuple[int, str, int, str]]:
        return connection.execute(
            "SELECT number, path, size, sha256 FROM pictures WHERE number > ? "
            "ORDER BY number LIMIT ?",
            (number, most),
        ).fetchall()

    return step
