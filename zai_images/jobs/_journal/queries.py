"""What is read in the journal: steps that change nothing."""

import json
import sqlite3
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import attrs

from zai_images._api.request import WIRE_FIELDS, ImageRequest
from zai_images._api.response import RawResponse
from zai_images.jobs._report import JobStatus
from zai_images.jobs._states import State

SHARD = 1000  # files in one folder


@attrs.frozen(kw_only=True)
class Kept:
    """Hold an item's body, and its answer with when it came (Unix seconds)."""

    number: int
    body: str
    at: float
    raw: RawResponse


def request_of(body: str, number: int) -> ImageRequest:
    """Read a stored request; its `id` is the item's number, which is never sent."""
    fields = json.loads(body)
    known = {name: fields.pop(name) for name in WIRE_FIELDS if name in fields}
    return ImageRequest(**known, extra=fields, id=number)


def pending_after(
    place: tuple[int, int], most: int, *, wanted: int
) -> Callable[[sqlite3.Connection], list[tuple[int, int, str]]]:
    """Read the next items to send: place in the input, number, body."""

    def step(connection: sqlite3.Connection) -> list[tuple[int, int, str]]:
        return connection.execute(
            "SELECT place, number, body FROM items WHERE state='pending' "
            "AND (place, number) > (?, ?) AND wanted >= ? "
            "ORDER BY place, number LIMIT ?",
            (*place, wanted, most),
        ).fetchall()

    return step


def unspent(
    kind: Literal["unknown", "dead"], *, wanted: int
) -> Callable[[sqlite3.Connection], list[int]]:
    """List what may be sent once more: unknown, or paid for with a link that died."""
    where = {
        "unknown": "state='unknown'",
        "dead": "state='answered' AND number IN "
        "(SELECT number FROM answers WHERE dead IS NOT NULL)",
    }

    def step(connection: sqlite3.Connection) -> list[int]:
        rows = connection.execute(
            "SELECT number FROM items WHERE resent=0 AND wanted>=? "  # noqa: S608 - our own words
            f"AND {where[kind]} ORDER BY place, number",
            (wanted,),
        )
        return [number for (number,) in rows]

    return step


def answered(connection: sqlite3.Connection) -> "array[int]":
    """List the items that are paid and not saved."""
    rows = connection.execute("SELECT number FROM items WHERE state='answered'")
    return array("q", (number for (number,) in rows))


def kept(
    numbers: Sequence[int],
) -> Callable[[sqlite3.Connection], list[Kept]]:
    """Read the answers of items that are paid and not saved."""

    def step(connection: sqlite3.Connection) -> list[Kept]:
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


def shards(connection: sqlite3.Connection) -> int:
    """Count the folders that files may be in."""
    (last,) = connection.execute("SELECT max(number) FROM pictures").fetchone()
    return 0 if last is None else (last - 1) // SHARD + 1


def recorded(
    shard: int,
) -> Callable[[sqlite3.Connection], list[tuple[int, str, int]]]:
    """Read what is recorded of one folder's files: number, path, size in bytes."""

    def step(connection: sqlite3.Connection) -> list[tuple[int, str, int]]:
        return connection.execute(
            "SELECT number, path, size FROM pictures WHERE number BETWEEN ? AND ?",
            (shard * SHARD + 1, (shard + 1) * SHARD),
        ).fetchall()

    return step


def about(number: int) -> Callable[[sqlite3.Connection], tuple[str, str, str]]:
    """Read what an item is: key (hexadecimal), the caller's id as JSON, body."""

    def step(connection: sqlite3.Connection) -> tuple[str, str, str]:
        key, caller_id, body = connection.execute(
            "SELECT key, id, body FROM items WHERE number=?", (number,)
        ).fetchone()
        return key.hex(), caller_id, body

    return step


def taken(path: str, number: int) -> Callable[[sqlite3.Connection], bool]:
    """Tell whether another item has a file of this name."""

    def step(connection: sqlite3.Connection) -> bool:
        found = connection.execute(
            "SELECT 1 FROM pictures WHERE path=? AND number<>?", (path, number)
        )
        return found.fetchone() is not None

    return step


def recall(name: str) -> Callable[[sqlite3.Connection], Any]:
    """Read a fact about the job as a whole; None where it was never noted."""

    def step(connection: sqlite3.Connection) -> Any:  # noqa: ANN401 - any JSON value
        found = connection.execute("SELECT value FROM job WHERE name=?", (name,))
        row = found.fetchone()
        return None if row is None else json.loads(row[0])

    return step


def count(connection: sqlite3.Connection) -> JobStatus:
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
        service=recall("service")(connection),
        **states,
        dead_links=dead,
        links_expire=None if dies is None else datetime.fromtimestamp(dies, UTC),
        more_maybe_billed=max(0, more),
        cost=cost,
    )
