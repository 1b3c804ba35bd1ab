"""
Read the requests of a file, and in their place what is wrong with a line.

One line at a time is in memory. What grows with the file is a table of the ids that
were given, some 100 bytes each: without it nobody can tell that no two are alike.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from zai_images._api.errors import InvalidRequestError
from zai_images._api.request import ImageRequest, as_request
from zai_images.jobs._input.formats import (
    COLUMNS,
    EXPORTED_COLUMNS,
    BadLine,
    Exported,
    Format,
    exported_as,
    header,
    numbered_lines,
    records,
    refuse_utf16,
)
from zai_images.jobs._input.keys import id_text

SUFFIXES: Mapping[str, Format] = MappingProxyType(
    {
        ".txt": "txt",
        ".jsonl": "jsonl",
        ".ndjson": "jsonl",
        ".csv": "csv",
        ".tsv": "tsv",
    }
)
SHOWN = 50  # bad lines that are kept with their message


@attrs.frozen(kw_only=True)
class PromptFile:
    """
    A file of requests, and how to read it.

    Attributes:
        path: Where it lies; read more than once, so no pipe.
        format: `txt` has a prompt a line, `jsonl` an object of request fields or a
            string a line, `csv` and `tsv` a column `prompt` and maybe others.
        defaults: Request fields for the lines that do not set them.
    """

    path: Path
    format: Format
    defaults: Mapping[str, Any] = attrs.field(factory=dict)

    @classmethod
    def find(
        cls,
        path: Path,
        *,
        suffix: str | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> "PromptFile":
        """
        Tell the format by the suffix, and without one by the first line.

        An export is known by its first line too where the suffix promises plain text,
        for each of its lines would be paid for as a prompt.

        Raises:
            InvalidRequestError: The suffix is not of a format that is known.
            OSError: The file cannot be opened.
        """
        suffix = (path.suffix if suffix is None else suffix).lower()
        kind = SUFFIXES.get(suffix) if suffix else "txt"
        if kind == "txt":
            kind = _sniffed(path, suffix)
        if kind is None:
            raise InvalidRequestError(
                f"{suffix!r} is not a kind of prompt file; known are "
                f"{', '.join(SUFFIXES)}"
            )
        return cls(path=path, format=kind, defaults=defaults or {})


def _sniffed(path: Path, suffix: str) -> Format:
    refuse_utf16(path)
    for _, text in numbered_lines(path):
        if isinstance(text, BadLine):
            break
        if text.strip():
            like_json = not suffix and text.lstrip().startswith("{")
            return exported_as(text) or ("jsonl" if like_json else "txt")
    return "txt"


@attrs.frozen(kw_only=True)
class InputCheck:
    """
    The findings of a check of a whole file.

    Attributes:
        requests: How many requests are good.
        bad: The first of the lines that are not.
        bad_lines: How many there are in all.
        models: The models that the good ones name.
        ignored: Columns of a table that are no field of a request.
        duplicates: How many of the requests are equal to an earlier one; each is a
            picture of its own.
        unchanged: The file was checked before and has not changed since.
    """

    requests: int
    bad: tuple[BadLine, ...]
    bad_lines: int
    models: frozenset[str]
    ignored: tuple[str, ...] = ()
    duplicates: int = 0
    unchanged: bool = False


class Tally:
    """The counts of an input while it is read."""

    def __init__(self) -> None:
        self._bad: list[BadLine] = []
        self._bad_lines = 0
        self._models: set[str] = set()

    def good(self, found: Iterable[ImageRequest | BadLine]) -> Iterator[ImageRequest]:
        """Let requests through, and note what cannot be used."""
        for one in found:
            if not isinstance(one, BadLine):
                self._models.add(one.model)
                yield one
                continue
            self._bad_lines += 1
            if len(self._bad) < SHOWN:
                self._bad.append(one)

    def result(
        self, requests: int, *, ignored: tuple[str, ...] = (), duplicates: int = 0
    ) -> InputCheck:
        """Sum up what was read."""
        return InputCheck(
            requests=requests,
            bad=tuple(self._bad),
            bad_lines=self._bad_lines,
            models=frozenset(self._models),
            ignored=ignored,
            duplicates=duplicates,
        )


def read_requests(file: PromptFile) -> Iterator[ImageRequest | BadLine]:
    """
    Read the requests one by one, and in their place what is wrong with a line.

    Raises:
        InvalidRequestError: The file as a whole cannot be read.
        OSError: It cannot be opened.
    """
    ids: dict[str, int] = {}
    for line, record in records(file.path, file.format):
        if isinstance(record, BadLine):
            yield record
            continue
        try:
            request = as_request({**file.defaults, **record})
            _check(request, line, ids, exported=isinstance(record, Exported))
        except InvalidRequestError as error:
            yield BadLine(line=line, message=str(error))
        else:
            yield request


def _check(
    request: ImageRequest, line: int, ids: dict[str, int], *, exported: bool
) -> None:
    """Check what a request alone does not know: its file."""
    caller_id = id_text(request.id)
    first = ids.setdefault(caller_id, line) if caller_id else line
    if exported:
        return
    if "\0" in request.prompt:
        raise InvalidRequestError("prompt: holds a NUL character", field="prompt")
    if any("\ud800" <= char <= "\udfff" for char in caller_id):
        raise InvalidRequestError(
            "id: holds half of a surrogate pair, which no UTF-8 can hold", field="id"
        )
    if first != line:
        raise InvalidRequestError(
            f"id: {request.id!r} is that of line {first} already", field="id"
        )


def check_requests(file: PromptFile) -> InputCheck:
    """
    Check every line of a file; nothing is kept but counts and the first faults.

    Raises:
        InvalidRequestError: The file as a whole cannot be read.
        OSError: It cannot be opened.
    """
    tally = Tally()
    requests = sum(1 for _ in tally.good(read_requests(file)))
    return tally.result(requests, ignored=ignored_columns(file))


def ignored_columns(file: PromptFile) -> tuple[str, ...]:
    """List the columns of a table that are no field of a request."""
    if file.format not in ("csv", "tsv"):
        return ()
    names = header(file.path, file.format)
    used = (*COLUMNS, *(EXPORTED_COLUMNS if "key" in names else ()))
    return tuple(name for name in names if name and name not in used)
