"""
The keys of items: what tells one request from another, and finds it again.

Two spellings of one request have one key, for a key decides what is paid for again.
"""

import hashlib
import json
from decimal import Decimal
from typing import Any
from unicodedata import normalize

from zai_images._api.request import ImageRequest

_SIZE = 16  # bytes; two of a billion items meet once in 10^20 jobs


def id_text(caller_id: str | int | None) -> str:
    """Write an id as the text that it is in a table; without one, the empty text."""
    if caller_id is None:
        return ""
    return _text(caller_id if isinstance(caller_id, str) else int.__repr__(caller_id))


def canonical(body: bytes) -> dict[str, Any]:
    """
    Copy a body so that bodies that ask for the same picture become equal.

    Each text is in Unicode's form NFC, trimmed, its lines ended by a line feed. A whole
    number is an integer, however it is written, and of any size. A quality or size that
    is blank is left out: a table has no other way to leave it out.
    """
    fields: dict[str, Any] = _READ(body.decode())
    # A loop, for what was just deep enough to be read is too deep for recursion.
    nested: list[Any] = [fields]
    while nested:
        one = nested.pop()
        for name, value in one.items() if isinstance(one, dict) else enumerate(one):
            if isinstance(value, str):
                one[name] = _text(value)
            elif isinstance(value, dict | list):
                nested.append(value)
    for name in ("quality", "size"):
        if not fields.get(name):
            fields.pop(name, None)
    return fields


def _text(value: str) -> str:
    return normalize("NFC", value.strip()).replace("\r\n", "\n").replace("\r", "\n")


def _number(text: str) -> int | float:
    value = float(text)
    return int(Decimal(text)) if value.is_integer() else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = {normalize("NFC", name): value for name, value in pairs}
    # Two names that are told apart by their form alone: the service may do so too.
    return fields if len(fields) == len(pairs) else dict(pairs)


_READ = json.JSONDecoder(parse_float=_number, object_pairs_hook=_object).decode
_WRITE = json.JSONEncoder(sort_keys=True).encode


class Keys:
    """
    The keys of an input, which decide what is paid for again.

    A key is a hash of the canonical copy of the body, the caller's id as text, and how
    many equal requests came before. So the same input gives the same keys each time,
    in whatever format, wherever lines are put in between or moved to, and a changed
    prompt is new work.

    Two small numbers are kept for each request: some 70 MB for a million.

    Attributes:
        duplicates: Requests that were equal to an earlier one.
    """

    def __init__(self) -> None:
        self.duplicates = 0
        self._seen: set[int] = set()
        self._repeats: dict[int, int] = {}

    def key(self, request: ImageRequest, body: bytes, *, repeat: int = 0) -> bytes:
        """Give the next request its key; `repeat` is not 0 for one more of a line."""
        content = _WRITE([canonical(body), id_text(request.id)]).encode()
        first = hashlib.blake2b(content, digest_size=_SIZE)
        mark = int.from_bytes(first.digest()[:8])
        count = 0
        if mark in self._seen:
            count = self._repeats[mark] = self._repeats.get(mark, 0) + 1
            self.duplicates += not repeat
        else:
            self._seen.add(mark)
        first.update(b"\0%d" % count)
        return first.digest()
