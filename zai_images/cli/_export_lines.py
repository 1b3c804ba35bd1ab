"""A job's records as lines: JSON, CSV, and the output of OpenAI's Batch API."""

import csv
import io
import re
from typing import Any

import attrs

from zai_images.cli._text import harmless, json_line
from zai_images.jobs import JobRecord, State

# What a spreadsheet would run: by these a cell begins that is a formula.
# Apostrophes before are escaped too, so that the one that is added can be told.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_REQUEST = ("prompt", "model", "quality", "size", "user_id")
_COLUMNS = (
    *("number", "key", "state", "id", *_REQUEST, "extra"),
    *("path", "error", "code", "attempts", "latency", "cost"),
    *("bytes", "sha256", "url"),
)
_PICTURE = (State.ANSWERED, State.SAVED)
_OPEN = (State.PENDING, State.SENT)


def full_line(one: JobRecord) -> str:
    """Write all that is known."""
    return json_line(attrs.asdict(one, recurse=False) | {"state": str(one.state)})


def csv_header() -> str:
    """Write the names of the columns."""
    return _row(_COLUMNS)


def csv_row(one: JobRecord) -> str:
    """Write what fits a table, with no cell that a spreadsheet would run."""
    fields: dict[str, Any] = attrs.asdict(one, recurse=False)
    extra = {name: value for name, value in one.body.items() if name not in _REQUEST}
    fields |= {"state": str(one.state), "bytes": one.size}
    fields |= {name: one.body.get(name) for name in _REQUEST}
    fields |= {"extra": json_line(extra) if extra else None}
    return _row(tuple(_cell(fields.get(name)) for name in _COLUMNS))


def _row(cells: tuple[object, ...]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n")


def _cell(value: object) -> object:
    """Write a cell that no spreadsheet runs and no terminal obeys, yet can be read."""
    if not isinstance(value, str):
        return value
    shown = harmless(value).encode(errors="backslashreplace").decode()
    if shown != value or value.startswith('"'):
        return json_line(value)
    return f"'{value}" if _FORMULA.match(value) else value


def openai_line(one: JobRecord) -> str | None:
    """Write an output line; None for a request that has not ended."""
    if one.state in _OPEN:
        return None
    response = error = None
    if one.state in _PICTURE:
        answer = one.answer if isinstance(one.answer, dict) else {"data": []}
        request_id = answer.get("request_id") or answer.get("id")
        response = {"status_code": 200, "request_id": request_id, "body": answer}
    else:
        code = one.code or str(one.state)
        error = {"code": code, "message": one.error or str(one.state)}
    return json_line(
        {
            "id": f"batch_req_{one.key}",
            "custom_id": one.key if one.id is None else str(one.id),
            "response": response,
            "error": error,
            # No part of that API: by it the line can be an input again.
            "request": {"key": one.key, "id": one.id, "body": one.body},
        }
    )
