"""
The input of a job, read to its end and taken into the journal before anything is sent.

Each request becomes an item, or is found to be one already. What an earlier input
asked for and this one does not is forgotten where it cost nothing, and else kept.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import attrs

from zai_images._api.errors import InvalidRequestError
from zai_images._api.wire import encode
from zai_images._batch.source import Requests
from zai_images.jobs._input.files import (
    InputCheck,
    PromptFile,
    Tally,
    ignored_columns,
    read_requests,
)
from zai_images.jobs._input.formats import BadLine
from zai_images.jobs._input.keys import Keys
from zai_images.jobs._input.sources import Found, blocks
from zai_images.jobs._journal import input_steps, queries
from zai_images.jobs._journal.input_steps import INPUT, Row
from zai_images.jobs._journal.schema import Connection, on_journal
from zai_images.jobs._store import Store

_PART = 2**20  # bytes hashed at once


class Intake:
    """
    An input on its way in: requests become rows of the journal, and are counted.

    Args:
        repeat: Pictures of each request.
    """

    def __init__(self, repeat: int = 1) -> None:
        self._repeat = repeat
        self._keys = Keys()
        self._tally = Tally()
        self._position = 0

    def rows(self, found: Iterable[Found]) -> Iterator[Row]:
        """Make rows of requests, and count what cannot be used."""
        for one in self._tally.good(found):
            body = encode(one)
            caller_id = json.dumps(one.id)
            for again in range(self._repeat):
                self._position += 1
                key = self._keys.key(one, body, repeat=again)
                yield key, self._position, body.decode(), caller_id

    def result(self, ignored: tuple[str, ...] = ()) -> InputCheck:
        """Sum up what was read."""
        return self._tally.result(
            self._position, ignored=ignored, duplicates=self._keys.duplicates
        )


async def ingest(
    store: Store,
    requests: PromptFile | Requests,
    *,
    repeat: int,
    skip_invalid: bool,
) -> InputCheck:
    """Take in a prompt file, or requests as they come; see `ImageJob.take`."""
    if isinstance(requests, PromptFile):
        return await store.do(
            _ingest_file(requests, repeat=repeat, skip_invalid=skip_invalid)
        )
    intake = Intake(repeat)
    rows: list[Row] = []  # the latest block; those before it are staged
    staged = False
    async for block in blocks(requests):
        if rows:
            await store.do(input_steps.stage(rows, first=not staged))
            staged = True
        rows = list(intake.rows(block))
    found = intake.result()
    if skip_invalid or not found.bad_lines:
        await store.do(input_steps.add_all(rows, staged=staged))
    elif staged:
        await store.do(input_steps.drop_staged)
    return found


@on_journal
def _ingest_file(
    connection: Connection, file: PromptFile, *, repeat: int, skip_invalid: bool
) -> InputCheck:
    """
    Take a file in, as one step; skipped where neither it nor the wish has changed.

    Where a line cannot be used and `skip_invalid` is not set nothing is taken in.
    """
    mark = _fingerprint(file, repeat)
    known = _known(queries.fact(INPUT)(connection), mark)
    if known is not None:
        return known
    intake = Intake(repeat)

    @cache
    def found() -> InputCheck:
        return intake.result(ignored_columns(file))

    def noted() -> Mapping[str, Any] | None:
        good = skip_invalid or not found().bad_lines
        return _noted(found(), mark) if good else None

    input_steps.add_whole(intake.rows(read_requests(file)), noted)(connection)
    return found()


def _fingerprint(file: PromptFile, repeat: int) -> Mapping[str, Any]:
    """Tell the content of a file, and what is asked of it, from any other."""
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
    fields["bad"] = tuple(BadLine(**one) for one in fields["bad"])
    fields["models"] = frozenset(fields["models"])
    fields["ignored"] = tuple(fields["ignored"])
    return InputCheck(**fields | {"unchanged": True})


def refusal(found: InputCheck) -> InvalidRequestError:
    """Make the error of an input that was to be used whole, and cannot be."""
    first = found.bad[0]
    return InvalidRequestError(
        f"line {first.line}: {first.message} ({found.bad_lines} of the requests "
        "cannot be used; nothing was sent)"
    )
