"""Read a job from end to end: its records, and its files against their hashes."""

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from zai_images.jobs._report import Damage, JobRecord
from zai_images.jobs._states import State
from zai_images.jobs._store import Store

_BLOCK = 500  # rows read together
_PART = 2**20  # bytes hashed at once
_COLUMNS = (
    "number, key, state, id, items.body, attempts, error, code, answers.body, url, "
    "path, size, sha256, latency, cost, pictures.at"
)


async def records(store: Store) -> AsyncIterator[JobRecord]:
    """Read all that is known of each item, by number."""
    number = 0
    while block := await store.do(_records_after(number, _BLOCK)):
        for record in block:
            yield record
        number = block[-1].number


async def verify(store: Store) -> AsyncIterator[Damage]:
    """Compare every saved file with its recorded hash."""
    number = 0
    while block := await store.do(_pictures_after(number, _BLOCK)):
        for damage in await asyncio.to_thread(_damages, store.folder.path, block):
            yield damage
        number = block[-1][0]


def _records_after(
    number: int, most: int
) -> Callable[[sqlite3.Connection], list[JobRecord]]:
    def step(connection: sqlite3.Connection) -> list[JobRecord]:
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM items LEFT JOIN answers USING (number) "  # noqa: S608 - our own words
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


Recorded = tuple[int, str, int, str]


def _pictures_after(
    number: int, most: int
) -> Callable[[sqlite3.Connection], list[Recorded]]:
    def step(connection: sqlite3.Connection) -> list[Recorded]:
        return connection.execute(
            "SELECT number, path, size, sha256 FROM pictures WHERE number > ? "
            "ORDER BY number LIMIT ?",
            (number, most),
        ).fetchall()

    return step


def _damages(folder: Path, recorded: list[Recorded]) -> list[Damage]:
    found = []
    for number, path, size, sha256 in recorded:
        if reason := _fault(folder / path, size, sha256):
            found.append(Damage(number=number, path=path, reason=reason))
    return found


def _fault(file: Path, size: int, sha256: str) -> str | None:
    digest = hashlib.sha256()
    try:
        if file.stat().st_size != size:
            return f"has {file.stat().st_size} bytes, not {size}"
        with file.open("rb") as content:
            while part := content.read(_PART):
                digest.update(part)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if digest.hexdigest() == sha256 else "has another content"
