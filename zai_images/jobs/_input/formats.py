"""From a file's bytes to its records: lines of text, JSON lines, rows of a table."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TextIO

import attrs

from zai_images._api.errors import InvalidRequestError
from zai_images._api.request import WIRE_FIELDS

Format = Literal["txt", "jsonl", "csv", "tsv"]
COLUMNS = ("prompt", "model", "quality", "size", "user_id", "extra", "id")
# What `export` writes into a table besides; a row with a key is one of its rows.
EXPORTED_COLUMNS = (
    *("number", "key", "state", "path", "error", "code", "attempts", "latency"),
    *("cost", "bytes", "sha256", "url"),
)
_OF_EXPORT = {"number", "state", "sha256"}
_KEY = re.compile("[0-9a-f]{32}")
_ESCAPED_FORMULA = re.compile(r"'+[=+\-@\t\r\n]")
# No prompt is this long, and a file that is no text must not fill the memory.
LINE_LIMIT = 2**20  # characters
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


@attrs.frozen(kw_only=True)
class BadLine:
    """
    A line that cannot be used, and why.

    Attributes:
        line: Its number in the file, from 1; of a row, where the row begins.
        message: What is wrong, and what would be right.
    """

    line: int
    message: str


class Exported(dict[str, Any]):
    """
    The fields of a request that `export` wrote: all that it has, the empty ones too.

    Lines of one request repeated have one id, and so may those of an edited request.
    """


Record = tuple[int, Mapping[str, Any] | BadLine]


def records(path: Path, kind: Format) -> Iterator[Record]:
    """
    Read the records of a file with the numbers of their lines, blank ones left out.

    Raises:
        InvalidRequestError: The file as a whole cannot be read.
        OSError: It cannot be opened.
    """
    refuse_utf16(path)
    return READERS[kind](path)


def refuse_utf16(path: Path) -> None:
    """
    Refuse the other kind of Unicode file while there is one good sentence to say.

    Raises:
        InvalidRequestError: It is UTF-16.
    """
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise InvalidRequestError("the file is UTF-16; save it as UTF-8")


def _open(path: Path) -> TextIO:
    file = path.open(encoding="utf-8", errors="surrogateescape", newline="")
    # Python's own utf-8-sig says nothing of a file that is half a mark and no more.
    if file.read(1) != "\ufeff":
        file.seek(0)
    return file


def _lines(file: TextIO) -> Iterator[str]:
    """Read lines with their ends; of one that is too long, the beginning alone."""
    while text := file.readline(LINE_LIMIT):
        part = text
        while len(part) == LINE_LIMIT and not part.endswith(("\n", "\r")):
            part = file.readline(LINE_LIMIT)
        yield text


def numbered_lines(path: Path) -> Iterator[tuple[int, str | BadLine]]:
    """Read a file line by line; what is not UTF-8 text comes as a `BadLine`."""
    with _open(path) as file:
        for number, text in enumerate(_lines(file), 1):
            fault = _fault(text)
            yield number, text if fault is None else BadLine(line=number, message=fault)


def _fault(text: str) -> str | None:
    if len(text) >= LINE_LIMIT:
        return f"is longer than {LINE_LIMIT:,} characters; is this a text file?"
    if "\0" in text:
        return "holds a NUL character; is this a text file?"
    if found := _NOT_UTF8.search(text):
        return (
            f"is not UTF-8 text (byte 0x{ord(found[0]) - 0xDC00:X} at character "
            f"{found.start() + 1}); save the file as UTF-8"
        )
    return None


def _plain(path: Path) -> Iterator[Record]:
    for number, text in numbered_lines(path):
        if isinstance(text, BadLine):
            yield number, text
        elif prompt := text.strip():
            yield number, {"prompt": prompt}


def _json(path: Path) -> Iterator[Record]:
    for number, text in numbered_lines(path):
        if isinstance(text, BadLine):
            yield number, text
        elif text.strip():
            yield number, _object(text, number)


def _object(text: str, number: int) -> Mapping[str, Any] | BadLine:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        fault = f"is not JSON: {error.msg} at character {error.pos + 1}"
        return BadLine(line=number, message=fault)
    except (ValueError, RecursionError):  # a number of 5,000 digits, 5,000 brackets
        return BadLine(line=number, message="is JSON of an absurd size")
    if isinstance(value, str):
        return {"prompt": value}
    if not isinstance(value, dict):
        fault = (
            f"is a JSON {type(value).__name__}; write one object a line, such as "
            '{"prompt": "a fox"}'
        )
        return BadLine(line=number, message=fault)
    return _fields(value, number)


def _fields(value: Mapping[str, Any], number: int) -> Mapping[str, Any] | BadLine:
    exported = value.get("request", value)  # beside an answer for OpenAI's programs
    if isinstance(exported, dict) and "key" in exported and "body" in exported:
        return _of_export(exported, number)
    if "custom_id" in value and "body" in value:
        return _of_openai(value, number)
    # A null is how many programs write "not set".
    return {k: v for k, v in value.items() if v is not None or k == "prompt"}


def _of_export(value: Mapping[str, Any], number: int) -> Mapping[str, Any] | BadLine:
    body = value["body"]
    if not isinstance(body, dict):
        return BadLine(line=number, message="body: is not a JSON object")
    extra = {k: v for k, v in body.items() if k not in WIRE_FIELDS}
    fields = {name: body.get(name) for name in WIRE_FIELDS}
    return Exported(fields, extra=extra, id=value.get("id"))


def _of_openai(value: Mapping[str, Any], number: int) -> Mapping[str, Any] | BadLine:
    """Read a line of OpenAI's Batch API: the id and the body, whatever the URL."""
    body = value["body"]
    if not isinstance(body, dict):
        return BadLine(line=number, message="body: is not a JSON object")
    if "id" in body:
        return BadLine(line=number, message="body: has an 'id'; custom_id is the id")
    fields = {k: v for k, v in body.items() if v is not None or k == "prompt"}
    if fields.pop("n", 1) != 1:
        fault = "n: a line asks for one picture; write it more often, or use --repeat"
        return BadLine(line=number, message=fault)
    extra = {k: fields.pop(k) for k in tuple(fields) if k not in WIRE_FIELDS}
    return fields | {"id": value["custom_id"]} | ({"extra": extra} if extra else {})


def _rows_of_csv(path: Path) -> Iterator[tuple[int, list[str] | BadLine]]:
    """Read rows by the rules of CSV; strictly, for a lost quote swallows prompts."""
    with _open(path) as file:
        reader = csv.reader(_lines(file), strict=True)
        while True:
            number = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                why = f"is not a row of CSV: {error}"
                yield number, BadLine(line=number, message=why)
                continue
            fault = _fault("\t".join(row))
            yield number, row if fault is None else BadLine(line=number, message=fault)


def _rows_of_tsv(path: Path) -> Iterator[tuple[int, list[str] | BadLine]]:
    """
    Read rows with tabs between their cells.

    In plain TSV a quote is a letter like any other; spreadsheets quote as in CSV. A
    cell that is quoted from end to end is taken as theirs.
    """
    for number, text in numbered_lines(path):
        if isinstance(text, BadLine):
            yield number, text
            continue
        cells = text.rstrip("\r\n").split("\t")
        if any(cell.startswith('"') and cell.count('"') % 2 for cell in cells):
            fault = "a cell opens a quote that does not close on this line"
            yield number, BadLine(line=number, message=fault)
            continue
        yield number, [_unquoted(cell) for cell in cells]


_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def _unquoted(cell: str) -> str:
    match = _QUOTED.fullmatch(cell)
    return match[1].replace('""', '"') if match else cell


_ROWS: Mapping[str, Callable[[Path], Iterator[tuple[int, list[str] | BadLine]]]] = (
    MappingProxyType({"csv": _rows_of_csv, "tsv": _rows_of_tsv})
)


def header(path: Path, kind: Format) -> tuple[str, ...]:
    """
    Read the columns of a table, in lower case.

    Raises:
        InvalidRequestError: There is no prompt column, or one that is used twice.
    """
    for _, row in _ROWS[kind](path):
        if isinstance(row, BadLine):
            raise InvalidRequestError(f"line {row.line}: {row.message}")
        names = tuple(cell.strip().lower() for cell in row)
        if not any(names):
            continue
        if "prompt" not in names:
            found = ", ".join(map(repr, names[:10]))
            raise InvalidRequestError(
                f"no column is called 'prompt'; the first row has {found}"
            )
        if "key" not in names and set(names) >= _OF_EXPORT:
            raise InvalidRequestError(
                "an export whose column 'key' is gone: its prompts could not be told "
                "from new ones, which are paid for. Put the column back; if these are "
                "new prompts, delete the column 'sha256' too"
            )
        twice = [name for name in COLUMNS if names.count(name) > 1]
        if twice:
            raise InvalidRequestError(f"two columns are called {twice[0]!r}")
        return names
    return ()


def _table(path: Path, kind: Format) -> Iterator[Record]:
    names = header(path, kind)
    rows = (
        (number, row)
        for number, row in _ROWS[kind](path)
        if isinstance(row, BadLine) or any(cell.strip() for cell in row)
    )
    next(rows, None)  # the header
    for number, row in rows:
        yield number, row if isinstance(row, BadLine) else _cells(names, row, number)


def _cells(
    names: tuple[str, ...], row: list[str], number: int
) -> Mapping[str, Any] | BadLine:
    if len(row) > len(names):
        fault = (
            f"has {len(row)} cells under {len(names)} columns; a cell that holds the "
            "separator must be quoted"
        )
        return BadLine(line=number, message=fault)
    cells = dict(zip(names, row, strict=False))
    fields: dict[str, Any]
    if _KEY.fullmatch(cells.get("key", "")):
        fields = Exported(
            {name: unescaped(cells[name]) or None for name in COLUMNS if name in cells}
        )
    else:
        stripped = {name: cells[name].strip() for name in COLUMNS if name in cells}
        fields = {k: v for k, v in stripped.items() if v or k == "prompt"}
    if "extra" in fields:
        try:
            fields["extra"] = json.loads(fields["extra"] or "{}")
        except (ValueError, RecursionError):
            return BadLine(line=number, message="extra: is not a JSON object")
    return fields


def unescaped(cell: str) -> str:
    """Read a cell as `export` writes it: as it is, as JSON, or with an apostrophe."""
    if cell.startswith('"'):
        try:
            return str(json.loads(cell))
        except (ValueError, RecursionError):  # a person wrote it
            return cell
    return cell[1:] if _ESCAPED_FORMULA.match(cell) else cell


def exported_as(line: str) -> Format | None:
    """Tell the format of an export by its first line; None for any other file."""
    if {"key", "prompt"} <= {*line.strip().replace('"', "").lower().split(",")}:
        return "csv"
    return "jsonl" if isinstance(_object(line, 1), Exported) else None


READERS: Mapping[Format, Callable[[Path], Iterator[Record]]] = MappingProxyType(
    {
        "txt": _plain,
        "jsonl": _json,
        "csv": lambda path: _table(path, "csv"),
        "tsv": lambda path: _table(path, "tsv"),
    }
)
