"""
Take an input into the journal: read to its end before anything is sent.

Each request becomes an item, or is found to be one already. What an earlier input
asked for and this one does not is forgotten where it cost nothing, and else kept.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from zai_images._api.errors import InvalidRequestError
from zai_images._api.wire import encode
from zai_images._batch.source import Requests
from zai_images.jobs._input.files import (
    InputCheck,
    PromptFile,
    ignored_columns,
    read_requests,
)
from zai_images.jobs._input.formats import BadLine
from zai_images.jobs._input.keys import Keys
from zai_images.jobs._input.sources import Found, blocks
from zai_images.jobs._journal.queries import recall
from zai_images.jobs._journal.steps import WANTED, note
from zai_images.jobs._store import Store

SHOWN = 50  # bad lines that are kept with their message
_PART = 2**20  # bytes hashed at once
_INPUT = "input"
# A saved item needs nothing more, whoever wants it; and they are the most.
_OPEN = "state IN ('pending', 'answered', 'failed', 'refused', 'unknown')"
_FORGET_WANTS = f"UPDATE items SET wanted=0 WHERE {_OPEN} AND wanted<>0"  # noqa: S608 - our own words
_FOUND = f"""
ON CONFLICT (key) DO UPDATE SET place=excluded.place, wanted={WANTED}
WHERE {_OPEN} AND (wanted<>{WANTED} OR place<>excluded.place)
"""
_ADD = f"INSERT INTO items (key, place, body, id) VALUES (?, ?, ?, ?) {_FOUND}"  # noqa: S608 - our own words
_ADD_STAGED = (
    "INSERT INTO items (key, place, body, id) "  # noqa: S608 - our own words
    f"SELECT key, place, body, id FROM staged WHERE true {_FOUND}"
)
# What may be billed is known by its row, so that one stays whatever the input says.
_DROP = (
    "DELETE FROM items WHERE state IN ('pending', 'failed', 'refused') "
    "AND wanted=0 AND maybe=0"
)

Row = tuple[bytes, int, str, str]


class Intake:
    """
    Take requests in, block by block, on a connection in a transaction.

    Args:
        repeat: Pictures of each request.
    """

    def __init__(self, repeat: int = 1) -> None:
        self._repeat = repeat
        self._keys = Keys()
        self._place = 0
        self._good = 0
        self._bad: list[BadLine] = []
        self._bad_lines = 0
        self._models: set[str] = set()

    def rows(self, found: Iterable[Found]) -> Iterator[Row]:
        """Make rows of requests, and count what cannot be used."""
        for one in found:
            if isinstance(one, BadLine):
                self._bad_lines += 1
                if len(self._bad) < SHOWN:
                    self._bad.append(one)
                continue
            self._good += 1
            self._models.add(one.model)
            body = encode(one)
            caller_id = json.dumps(one.id)
            for again in range(self._repeat):
                self._place += 1
                key = self._keys.key(one, body, repeat=again)
                yield key, self._place, body.decode(), caller_id

    def result(self, ignored: tuple[str, ...] = ()) -> InputCheck:
        """Sum up what was read."""
        return InputCheck(
            requests=self._place,
            bad=tuple(self._bad),
            bad_lines=self._bad_lines,
            models=frozenset(self._models),
            ignored=ignored,
            duplicates=self._keys.duplicates,
        )


def begin(connection: sqlite3.Connection) -> None:
    """Begin a new input: nothing that was not sent is wanted by it yet."""
    connection.execute(_FORGET_WANTS)
    connection.execute("DELETE FROM job WHERE name=?", (_INPUT,))


def add(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Add items, or find them."""
    connection.executemany(_ADD, rows)


def finish(connection: sqlite3.Connection) -> None:
    """End an input: forget what is not wanted and cost nothing."""
    connection.execute(_DROP)


def take_file(
    file: PromptFile, *, repeat: int, skip_invalid: bool
) -> Callable[[sqlite3.Connection], InputCheck]:
    """
    Take a file in, as one step; skipped where neither it nor the wish has changed.

    Where a line cannot be used and `skip_invalid` is not set nothing is taken in.
    """

    def step(connection: sqlite3.Connection) -> InputCheck:
        mark = fingerprint(file, repeat)
        if (known := _known(recall(_INPUT)(connection), mark)) is not None:
            return known
        intake = Intake(repeat)
        connection.execute("SAVEPOINT intake")
        try:
            begin(connection)
            add(connection, intake.rows(read_requests(file)))
            found = intake.result(ignored_columns(file))
            if found.bad_lines and not skip_invalid:
                connection.execute("ROLLBACK TO intake")
            else:
                finish(connection)
                note(_INPUT, _noted(found, mark))(connection)
        except BaseException:
            connection.execute("ROLLBACK TO intake")
            raise
        finally:
            connection.execute("RELEASE intake")
        return found

    return step


def fingerprint(file: PromptFile, repeat: int) -> Mapping[str, Any]:
    """Tell a file's content and what is asked of it from any other."""
    digest = hashlib.sha256()
    with file.path.open("rb") as content:
        while part := content.read(_PART):
            digest.update(part)
    return {
        "sha256": digest.hexdigest(),
        "format": file.format,
        "defaults": {name: str(value) for name, value in file.defaults.items()},
        "repeat": repeat,
    }


def _noted(found: InputCheck, mark: Mapping[str, Any]) -> Mapping[str, Any]:
    fields = attrs.asdict(found, recurse=True)
    fields["models"] = sorted(found.models)
    return {"mark": mark, "found": fields}


def _known(noted: Any, mark: Mapping[str, Any]) -> InputCheck | None:  # noqa: ANN401 - what was noted
    if noted is None or noted["mark"] != mark:
        return None
    fields = noted["found"]
    return InputCheck(
        requests=fields["requests"],
        bad=tuple(BadLine(**one) for one in fields["bad"]),
        bad_lines=fields["bad_lines"],
        models=frozenset(fields["models"]),
        ignored=tuple(fields["ignored"]),
        duplicates=fields["duplicates"],
        unchanged=True,
    )


def stage(rows: Iterable[Row]) -> Callable[[sqlite3.Connection], None]:
    """Put rows aside where they take no memory; begin with none."""
    block = list(rows)

    def step(connection: sqlite3.Connection) -> None:
        connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS staged (key, place, body, id)"
        )
        connection.executemany("INSERT INTO staged VALUES (?, ?, ?, ?)", block)

    return step


def take_staged(connection: sqlite3.Connection) -> None:
    """Take in what was put aside, all of it or, by a crash, nothing."""
    begin(connection)
    connection.execute(_ADD_STAGED)
    finish(connection)
    connection.execute("DROP TABLE staged")


def drop_staged(connection: sqlite3.Connection) -> None:
    """Forget what was put aside."""
    connection.execute("DROP TABLE IF EXISTS temp.staged")


def refuse_bad(found: InputCheck) -> None:
    """
    Say what cannot be used of an input that was to be used whole.

    Raises:
        InvalidRequestError: Naming the first line, and how many there are.
    """
    if found.bad_lines:
        first = found.bad[0]
        raise InvalidRequestError(
            f"line {first.line}: {first.message} ({found.bad_lines} of the requests "
            "cannot be used; nothing was sent)"
        )


async def take(
    store: Store,
    requests: PromptFile | Requests,
    *,
    repeat: int,
    skip_invalid: bool,
) -> InputCheck:
    """Take in a prompt file, or requests as they come; see `ImageJob.take`."""
    if isinstance(requests, PromptFile):
        return await store.do(
            take_file(requests, repeat=repeat, skip_invalid=skip_invalid)
        )
    taking = Intake(repeat)
    await store.do(drop_staged)
    async for block in blocks(requests):
        await store.do(stage(taking.rows(block)))
    found = taking.result()
    good = skip_invalid or not found.bad_lines
    await store.do(take_staged if good else drop_staged)
    return found
