"""What is read in the journal: steps that change nothing."""

import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Literal, TypeVar

import attrs

from zai_images._api.response import RawResponse
from zai_images.jobs._journal.schema import Connection, on_journal
from zai_images.jobs._report import JobRecord, JobStatus, Spend
from zai_images.jobs._states import State

SHARD = 1000  # files in one folder
T = TypeVar("T")
StatesOf = Callable[[Sequence[bytes]], dict[bytes, State]]
_RECORD = (
    "number, key, state, id, body, sends AS attempts, billed, maybe, cost, error, "
    "code, latency, path, size, sha256, seen, at AS saved_at"
)
# Of an item that is paid: none of its links gives a picture any more.
_DEAD = (
    "NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.number=items.number "
    "AND billed='yes' AND dead IS NULL)"
)


@attrs.frozen(kw_only=True)
class Item:
    """What an item is: key (hexadecimal), the caller's id, body as it is sent."""

    number: int
    key: str
    id: str | int | None
    body: str


@attrs.frozen(kw_only=True)
class Kept:
    """A paid answer: its attempt, and when it came (Unix seconds)."""

    attempt: int
    at: float
    raw: RawResponse


@on_journal
def pending_after(
    connection: Connection, position: tuple[int, int], most: int, *, wanted: int
) -> list[tuple[int, Item]]:
    """Read the next items to send, with their positions in the input."""
    rows = connection.execute(
        "SELECT position, number, key, id, body FROM items WHERE state='pending' "
        "AND (position, number) > (?, ?) AND wanted >= ? "
        "ORDER BY position, number LIMIT ?",
        (*position, wanted, most),
    )
    return [(at, _item(*row)) for at, *row in rows]


@on_journal
def items(connection: Connection, numbers: Sequence[int]) -> list[Item]:
    """Read what items are."""
    rows = connection.execute(
        f"SELECT number, key, id, body FROM items WHERE number IN ({_marks(numbers)})",  # noqa: S608 - question marks
        numbers,
    )
    return [_item(*row) for row in rows]


def _item(number: int, key: bytes, caller_id: str, body: str) -> Item:
    return Item(number=number, key=key.hex(), id=json.loads(caller_id), body=body)


def _marks(some: Sequence[object]) -> str:
    return ", ".join("?" * len(some))


@on_journal
def unspent(
    connection: Connection, kind: Literal["unknown", "dead"], *, wanted: int
) -> list[int]:
    """List what may be sent once more: unknown, or paid for with links that died."""
    where = {"unknown": "state='unknown'", "dead": f"state='answered' AND {_DEAD}"}
    rows = connection.execute(
        f"SELECT number FROM items WHERE {where[kind]} AND wanted>=? "  # noqa: S608 - our own words
        "AND NOT EXISTS (SELECT 1 FROM attempts WHERE again "
        "AND attempts.number=items.number) ORDER BY position, number",
        (wanted,),
    )
    return [number for (number,) in rows]


def answered(connection: Connection) -> "array[int]":
    """List the items that are paid and not saved."""
    rows = connection.execute("SELECT number FROM items WHERE state='answered'")
    return array("q", (number for (number,) in rows))


@on_journal
def kept(
    connection: Connection, numbers: Sequence[int]
) -> list[tuple[Item, list[Kept]]]:
    """Read the paid answers of items that have no file, the earliest first."""
    found: dict[int, list[Kept]] = {number: [] for number in numbers}
    for number, attempt, at, status, request_id, body in connection.execute(
        "SELECT number, id, answered, status, request_id, body FROM attempts "  # noqa: S608 - question marks
        f"WHERE billed='yes' AND number IN ({_marks(numbers)}) ORDER BY id",
        numbers,
    ):
        raw = RawResponse(status=status, request_id=request_id, body=body)
        found[number].append(Kept(attempt=attempt, at=at, raw=raw))
    return [
        (one, found[one.number])
        for one in items(numbers)(connection)
        if found[one.number]
    ]


def shards(connection: Connection) -> int:
    """Count the folders that files may be in."""
    (last,) = connection.execute("SELECT max(number) FROM pictures").fetchone()
    return 0 if last is None else (last - 1) // SHARD + 1


@attrs.frozen
class Recorded:
    """What is recorded of a file; `size` in bytes, `seen` what became of it since."""

    number: int
    path: str
    size: int
    sha256: str
    seen: str | None


@on_journal
def recorded(connection: Connection, shard: int) -> list[Recorded]:
    """Read what is recorded of the files of a thousand items."""
    first = shard * SHARD + 1
    rows = connection.execute(
        "SELECT number, path, size, sha256, seen FROM pictures "
        "WHERE number BETWEEN ? AND ? ORDER BY number",
        (first, first + SHARD - 1),
    )
    return [Recorded(*row) for row in rows]


@on_journal
def is_path_used(connection: Connection, path: str, number: int) -> bool:
    """Tell whether another item has a file of this name."""
    found = connection.execute(
        "SELECT 1 FROM pictures WHERE path=? AND number<>?", (path, number)
    )
    return found.fetchone() is not None


@on_journal
def fact(connection: Connection, name: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read a fact about the job as a whole; None where it was never noted."""
    row = connection.execute("SELECT value FROM job WHERE name=?", (name,)).fetchone()
    return None if row is None else json.loads(row[0])


@on_journal
def asking_states(connection: Connection, work: Callable[[StatesOf], T]) -> T:
    """Do work that asks, block by block, for the states of items by their keys."""
    return work(lambda keys: _states_of(connection, keys))


def _states_of(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, State]:
    rows = connection.execute(
        f"SELECT key, state FROM items WHERE key IN ({_marks(keys)})",  # noqa: S608 - question marks
        keys,
    )
    return {key: State(state) for key, state in rows}


def count(connection: Connection) -> JobStatus:
    """Count the items by state, and what was paid for them."""
    states: dict[str, int] = {}
    cost: float | None = 0.0
    billed = maybe = 0
    for state, number, known, dollars, paid, perhaps in connection.execute(
        "SELECT state, count(*), count(cost), total(cost), total(billed), "
        "total(maybe) FROM items GROUP BY state"
    ):
        states[state] = number
        billed += int(paid)
        maybe += int(perhaps)
        cost = None if cost is None or known < number else cost + dollars
    in_states = states.get(State.SENT, 0) + states.get(State.UNKNOWN, 0)
    dead, dies = connection.execute(
        f"SELECT total({_DEAD}), (SELECT min(expires) FROM attempts JOIN items AS one "  # noqa: S608 - our own words
        "USING (number) WHERE one.state='answered' AND dead IS NULL) FROM items "
        "WHERE state='answered'"
    ).fetchone()
    seen = dict(
        connection.execute(
            "SELECT seen, count(*) FROM pictures WHERE seen IS NOT NULL GROUP BY seen"
        )
    )
    return JobStatus(
        service=fact("service")(connection),
        **states,
        billed=billed,
        missing=seen.get("missing", 0),
        changed=seen.get("changed", 0),
        dead_links=int(dead),
        links_expire=None if dies is None else datetime.fromtimestamp(dies, UTC),
        more_maybe_billed=maybe - in_states,
        cost=cost,
    )


def spend(connection: Connection) -> list[Spend]:
    """Sum up the payments by day (UTC) and model."""
    return [
        Spend(day=day, model=model, payments=payments, cost=cost)
        for day, model, payments, cost in connection.execute(
            "SELECT date(answered, 'unixepoch') AS day, json_extract(items.body, "
            "'$.model') AS model, count(*), "
            "CASE WHEN count(price)=count(*) THEN total(price) END "
            "FROM attempts JOIN items USING (number) WHERE attempts.billed='yes' "
            "GROUP BY day, model ORDER BY day, model"
        )
    ]


@on_journal
def records_after(connection: Connection, number: int, most: int) -> list[JobRecord]:
    """Read all that is known of the next items."""
    found = connection.execute(
        f"SELECT {_RECORD} FROM items LEFT JOIN pictures USING (number) "  # noqa: S608 - our own words
        "WHERE number > ? ORDER BY number LIMIT ?",
        (number, most),
    )
    names = [name for name, *_ in found.description]
    rows = [dict(zip(names, row, strict=True)) for row in found]
    answers: dict[int, list[bytes]] = {row["number"]: [] for row in rows}
    for one, body in connection.execute(
        "SELECT number, body FROM attempts WHERE body IS NOT NULL "
        "AND number BETWEEN ? AND ? ORDER BY id",
        (number + 1, rows[-1]["number"] if rows else number),
    ):
        answers[one].append(body)
    return [_record(row, answers[row["number"]]) for row in rows]


def _record(fields: dict[str, Any], bodies: Sequence[bytes]) -> JobRecord:
    answers = [_readable(body) for body in bodies]
    links = [found for answer in answers if (found := tuple(_links(answer)))]
    return JobRecord(
        **fields
        | {
            "key": fields["key"].hex(),
            "state": State(fields["state"]),
            "id": json.loads(fields["id"]),
            "body": json.loads(fields["body"]),
            "answer": answers[-1] if answers else None,
            "url": links[-1][0] if links else None,
            "links": tuple(chain.from_iterable(links)),
        }
    )


def _links(answer: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    """Find the links of a kept answer."""
    found = answer.get("data") if isinstance(answer, dict) else None
    for one in found if isinstance(found, list) else ():
        if isinstance(one, dict) and isinstance(one.get("url"), str):
            yield one["url"]


def _readable(answer: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return answer.decode(errors="replace")
