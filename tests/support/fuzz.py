"""
What is drawn at random, and what must hold whatever is drawn.

The quick tests and the deep ones call the same checks, with fewer or more examples.
"""

import csv
import io
import json
import math
import pickle
import re
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings, strategies as st

from zai_images import (
    AnswerLostError,
    APIError,
    ImageRequest,
    InvalidRequestError,
    ResponseError,
    ZaiImagesError,
)
from zai_images._api.codes import CODES, is_lost
from zai_images._api.judge import judge
from zai_images._api.request import as_request
from zai_images._api.response import RawResponse
from zai_images._api.wire import encode
from zai_images.jobs import BadLine, PromptFile, check_requests, read_requests
from zai_images.sandbox._validation import RefusalError, read_order

Test = TypeVar("Test", bound=Callable[..., Any])
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MODEL = "cogview-4-250304"
REFUSALS = ("1210", "1211", "1213", "1214")


def examples(number: int) -> Callable[[Test], Test]:
    """
    Try so many, and count them; to stand above `given`.

    How long each takes depends on the machine, and is no fault.
    """
    slow = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    chosen = settings(max_examples=number, deadline=None, suppress_health_check=slow)

    def decorate(test: Test) -> Test:
        test = chosen(test)
        test.examples = number
        return test

    return decorate


@pytest.fixture(autouse=True)
def _count_examples(request, record_property) -> None:
    """Let the table of what was tried count examples, where a test has them."""
    if hasattr(request.function, "examples"):
        record_property("cases", request.function.examples)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


# --- answers ---

links = st.sampled_from(
    (
        "https://e.example/a.png",
        "https://e.example/a.png?Signature=s3cret",
        " ",
        "\ud800",
    )
) | st.text(max_size=9)
images = st.fixed_dictionaries(
    {}, optional={"url": links | anything, "revised_prompt": anything}
)
codes = st.sampled_from(sorted(CODES)) | st.integers(0, 2000) | anything
words = (
    st.text()
    | st.from_regex(r"resets? at \d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d", fullmatch=True)
    | anything
)
errors = st.fixed_dictionaries(
    {}, optional={"code": codes, "message": words, "request_id": anything}
)
filters = st.lists(
    st.fixed_dictionaries(
        {}, optional={"role": st.text() | anything, "level": anything}
    )
    | anything,
    max_size=3,
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "created": st.integers() | anything,
        "data": st.lists(images | anything, max_size=3) | anything,
        "error": errors | st.lists(errors, max_size=2) | anything,
        "code": codes,
        "msg": words,
        "message": words,
        "success": st.booleans() | anything,
        "content_filter": filters | anything,
        "contentFilter": filters | anything,
        "id": anything,
        "request_id": anything,
    },
)
# Text that Python reads as JSON although it is none, or that is too much for it.
odd_json = st.sampled_from(
    (
        b"",
        b"null",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 900 + b"]" * 900,
        b'{"data":[{"url":"https://e.example/a"}],"x":%b}' % (b"[" * 900 + b"]" * 900),
        b'{"data":[{"url":"https://e.example/a"}],"created":%b}' % (b"9" * 5000),
        b'{"code":%b}' % (b"1" * 299),
        b'{"code":NaN,"data":[{"url":"https://e.example/a","n":1e999}]}',
        b'{"error":{"code":"1113"},"error":{"code":"1302"}}',
        b'\xef\xbb\xbf{"code":"1113"}',
        b'{"code":"\xff"}',
        '{"code":"1113"}'.encode("utf-16"),
        b"<html><body>502</body></html>",
    )
)
documents = (envelopes | anything).map(lambda value: json.dumps(value).encode())
bodies = (
    documents
    | odd_json
    | st.binary()
    | st.tuples(documents, st.integers(0, 200)).map(lambda cut: cut[0][: cut[1]])
)
dates = st.lists(
    st.sampled_from(
        ("Mon,", "23", "Nov", "2026", "9999", "0001", "12:01:00", "99:99")
        + ("GMT", "-0000", "+9999", "(", ")", ",", ":", "-1")
    ),
    max_size=8,
).map(" ".join)
waits = st.none() | st.floats().map(str) | st.integers().map(str) | dates | st.text()
statuses = st.sampled_from(
    (200, 204, 302, 400, 401, 408, 409, 429, 499, 500, 502)
) | st.integers(100, 599)
raw_responses = st.builds(
    RawResponse,
    status=statuses,
    body=bodies,
    retry_after=waits,
    request_id=st.none() | st.text(),
)


def check_answer(raw: RawResponse) -> None:
    """Any answer is a picture or an error of the tree, and both are fit for use."""
    try:
        response = judge(raw, now=NOW)
    except ZaiImagesError as error:
        check_error(error)
        if is_lost(getattr(error, "code", None), raw.status):
            assert isinstance(error, AnswerLostError)  # noqa: PT017 - either end is right
        if 200 <= raw.status < 300 and not isinstance(error, APIError):
            assert error.billed == "maybe"  # noqa: PT017 - either end is right
        return
    assert response.url.strip()
    if raw.status >= 300:
        assert response.url.strip().lower().startswith(("http:", "https:", "data:"))
    assert isinstance(hash(response), int)
    assert pickle.loads(pickle.dumps(response)) == response
    assert "Signature=s3cret" not in repr(response.images)


def check_error(error: ZaiImagesError) -> None:
    """It says what it cost in one printable line, and survives a pickle."""
    assert error.billed in ("no", "maybe")
    assert str(error).isprintable()
    assert "s3cret" not in str(error)
    assert isinstance(error, APIError | AnswerLostError | ResponseError)
    if isinstance(error, APIError):
        assert error.code is None or isinstance(error.code, str)
        wait = error.retry_after
        assert wait is None or (math.isfinite(wait) and wait >= 0)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (again.args, vars(again)) == (error.args, vars(error))


# --- requests ---

SIDES = (0, 16, 496, 511, 512, 513, 528, 720, 1024, 1040, 1440, 2032, 2047, 2048, 2064)
sides = st.sampled_from(SIDES) | st.integers(-16, 9999)
sizes = (
    st.tuples(sides, sides).map(lambda wh: f"{wh[0]}x{wh[1]}")
    | st.tuples(sides, st.sampled_from("xX×* "), sides).map(
        lambda parts: f" {parts[0]} {parts[1]}{parts[2]}"
    )
    | st.tuples(sides, sides).map(list)
    | st.sampled_from(
        ("0512x512", "٥١٢x٥١٢", "512x", "x512", "512x512x512", "512x512\n")
    )
    | anything
)
lengths = st.sampled_from((0, 1, 5, 6, 7, 127, 128, 129, 300))
fields = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(
            (MODEL, MODEL, "cogView-4-250304", f" {MODEL}", "glm-image", "other", "")
        )
        | anything,
        "prompt": st.sampled_from(("a fox", "", " \n\t", "\u3000", "a\0b", "\ud800"))
        | st.text(min_size=1)
        | anything,
        "quality": st.sampled_from(("hd", "standard", "HD", " hd", "best", ""))
        | anything,
        "size": sizes,
        "user_id": st.builds(lambda n, c: c * n, lengths, st.sampled_from("aé🦊 "))
        | anything,
    },
)
extras = st.dictionaries(
    st.text().filter(lambda name: name not in {"n", *ImageRequest.__annotations__}),
    anything,
)


def accepted(raw: bytes) -> bool:
    """Whether the sandbox, which has read the page for itself, takes this body."""
    try:
        read_order("application/json", raw)
    except RefusalError as refusal:
        assert refusal.args[0] in REFUSALS  # noqa: PT017 - either end is right
        return False
    return True


def is_freely_spelt(body: dict[str, object]) -> bool:
    """
    Whether the client takes this by being kind to its caller; the page does not.

    A null, or a model left out, is the default; blanks and case of a model and the
    case of a quality do not matter, a size may be spelt as people do. What goes out is
    the page's own spelling. Models that the page does not have are sent for the service
    to judge.
    """
    model, quality, size = (body.get(name) for name in ("model", "quality", "size"))
    return (
        model is None
        or None in body.values()
        or str(model).strip().lower() != MODEL
        or str(model) != str(model).strip()
        or str(quality or "") != str(quality or "").lower()
        or (size is not None and re.fullmatch(r"[1-9]\d*x[1-9]\d*", str(size)) is None)
    )


def check_fields(body: dict[str, object]) -> None:
    """Both sides take the same requests, but for what `is_freely_spelt` says."""
    raw = json.dumps(body).encode()
    try:
        request = as_request({"extra": {}} | body)
    except InvalidRequestError as error:
        assert str(error)  # noqa: PT017 - either end is right
        assert not accepted(raw), "refused here, and the service would take it"
        return
    assert accepted(raw) or is_freely_spelt(body), "taken here, and refused there"
    check_request(request)


def check_request(request: ImageRequest) -> None:
    """What the client takes, the sandbox takes as it was meant."""
    sent = encode(request)
    if request.model != MODEL:
        assert not accepted(sent)
        return
    order = read_order("application/json", sent)
    assert order.prompt == request.prompt
    assert order.model == request.model
    assert order.quality == str(request.quality)
    assert order.size == str(request.size)
    assert order.user_id == request.user_id
    assert {name: order.body[name] for name in request.extra} == request.extra


def check_extra(extra: dict[str, object]) -> None:
    """What the page does not name goes out as it is, or is refused before."""
    try:
        request = ImageRequest("a fox", extra=extra)
    except InvalidRequestError:
        return
    check_request(request)


# --- prompt files ---

PIECES = (
    b"a fox",
    b"prompt",
    b"size",
    b"id",
    b"512x512",
    b'"',
    b'""',
    b",",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xef\xbb",
    b"\xff\xfe",
    b"{",
    b"}",
    b'{"prompt":"a bear"}',
    b'{"prompt":"a cat","id":7}',
    b'{"prompt":null,"size":null}',
    b"\\ud800",
    b"9" * 5000,
    b"[" * 2000,
    "\u2028\u0085\x0c\x1c".encode(),
)
file_bytes = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=40).map(
    b"".join
)
tables = st.tuples(
    st.sampled_from((b"prompt,id\n", b"prompt\tid\r\n", b'"prompt"\n', b"")), file_bytes
).map(b"".join)
ENDS = re.compile(rb"\r\n|\r|\n")


def read_bytes(data: bytes, kind: str) -> list[ImageRequest | BadLine]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"prompts.{kind}"
        path.write_bytes(data)
        file = PromptFile.find(path)
        found = list(read_requests(file))
        told = check_requests(file)
    bad = [one for one in found if isinstance(one, BadLine)]
    assert (told.requests, told.bad_lines) == (len(found) - len(bad), len(bad))
    lines = [one.line for one in bad]
    assert lines == sorted(set(lines))
    assert all(1 <= line <= len(ENDS.findall(data)) + 1 for line in lines)
    assert all(one.message for one in bad)
    return found


def check_bytes(data: bytes, kind: str) -> None:
    """Any file is read to its end, or refused as a whole in one sentence."""
    try:
        found = read_bytes(data, kind)
    except InvalidRequestError as error:
        assert kind in ("csv", "tsv") or data[:2] in (b"\xff\xfe", b"\xfe\xff")
        assert str(error)  # noqa: PT017 - either end is right
        return
    if kind in ("txt", "jsonl"):
        assert found == expected(data, kind)


def expected(data: bytes, kind: str) -> list[object]:
    """Read a file of lines anew, from its bytes."""
    found: list[object] = []
    ids: set[str] = set()
    for number, line in enumerate(ENDS.split(data.removeprefix(b"\xef\xbb\xbf")), 1):
        try:
            text = line.decode()
            record = read_line(text, kind) if text.strip() else None
            if record is not None:
                found.append(fresh(as_request(record), ids))
        except (ValueError, RecursionError):
            found.append(AnyBadLine(number))
    return found


def read_line(text: str, kind: str) -> object:
    if kind == "txt":
        record: object = text.strip()
    else:
        record = json.loads(text)
        if isinstance(record, dict):
            record = {k: v for k, v in record.items() if v is not None}
    if "\0" in text or not isinstance(record, str | dict):
        raise ValueError("no prompt")
    return record


def fresh(request: ImageRequest, ids: set[str]) -> ImageRequest:
    if "\0" in request.prompt or (request.id is not None and str(request.id) in ids):
        raise ValueError("an id of two lines, or a NUL")
    ids.add(str(request.id))
    return request


class AnyBadLine:
    """Be equal to a bad line of this number, whatever it says."""

    def __init__(self, line: int) -> None:
        self.line = line

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BadLine) and other.line == self.line

    def __hash__(self) -> int:
        return hash(self.line)

    def __repr__(self) -> str:
        return f"a bad line {self.line}"


plain_text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\t"), min_size=1
).filter(lambda text: text == text.strip())
cells = st.tuples(
    plain_text,
    st.sampled_from(("", "512x512", "1024×1024", "1440x720")),
    st.sampled_from(("", "hd", "STANDARD")),
    plain_text | st.just(""),
)
broken = st.sampled_from(("size", "cells", "bytes", "nul", "blank"))
rows = st.lists(cells | st.just(None) | broken, max_size=12)
styles = st.tuples(
    st.sampled_from(("csv", "tsv")), st.sampled_from(("\n", "\r\n")), st.booleans()
)


def write_table(
    rows: list[object], kind: str, end: str, breaks: str
) -> tuple[bytes, list[object]]:
    """Write a table as a spreadsheet does; returns it, and what it must be read as."""
    parts = [("prompt,size,quality,note" + end).replace(",", _separator(kind)).encode()]
    found: list[object] = []
    for row in rows:
        line = sum(len(ENDS.findall(part)) for part in parts) + 1
        part, result = _row(row, kind, end, breaks)
        parts.append(part)
        if result is AnyBadLine:
            result = AnyBadLine(line)
        if result is not None:
            found.append(result)
    return b"".join(parts), found


def _separator(kind: str) -> str:
    return "," if kind == "csv" else "\t"


def _row(row: object, kind: str, end: str, breaks: str) -> tuple[bytes, object]:
    separator = _separator(kind)
    if row is None:
        return end.encode(), None
    if isinstance(row, str):
        text = {
            "size": separator.join(("a fox", "1x1", "hd", "")),
            "cells": separator.join(("a", "b", "c", "d", "e")),
            "bytes": "a fox\udcff",
            "nul": "a\0fox",
            "blank": separator.join(("", "512x512", "", "")),
        }[row]
        return (text + end).encode(errors="surrogateescape"), AnyBadLine
    prompt, size, quality, note = row
    prompt = prompt.replace(" ", breaks) if kind == "csv" else prompt
    buffer = io.StringIO(newline="")
    # Python before 3.13 leaves a lone CR bare, as no spreadsheet does.
    quoting = csv.QUOTE_ALL if breaks.strip(" ") else csv.QUOTE_MINIMAL
    writer = csv.writer(
        buffer, delimiter=separator, lineterminator=end, quoting=quoting
    )
    writer.writerow((prompt, size, quality, note))
    request = ImageRequest(
        prompt.strip(), size=size or None, quality=quality.lower() or None
    )
    return buffer.getvalue().encode(), request


def check_table(
    rows: list[object], style: tuple[str, str, bool], breaks: str = " "
) -> None:
    """What is good comes back unchanged, and what is bad with its line's number."""
    kind, end, marked = style
    data, wanted = write_table(rows, kind, end, breaks)
    assert read_bytes(b"\xef\xbb\xbf" * marked + data, kind) == wanted
