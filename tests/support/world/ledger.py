"""
The world's own record of what was sold: a file that nothing in the world can touch.

It is written with one call for each line at the moment it becomes true, so it outlives
the process that it is written in.
"""

import json
import os
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import attrs


def canonical(prompt: str) -> str:
    """Write a prompt in the one spelling that the ledger has."""
    return unicodedata.normalize("NFC", prompt).strip()


@attrs.define(kw_only=True)
class Sale:
    """
    One request that came to the service.

    Attributes:
        number: Its place in the ledger, from 0; its picture and its link have it too.
        life: The life in which it was asked for.
        billed: Whether it was paid for.
        free: Whether it said so itself that it cost nothing.
        told: Whether its whole answer, with a picture, was written to a client that
            was still there.
        fetched: How often its picture was asked for.
        contents: The picture by what is in it.
    """

    number: int
    life: int
    at: float
    prompt: str
    verdict: str
    billed: bool
    free: bool
    content: str
    told: bool = False
    fetched: int = 0


class Ledger:
    """The ledger in its file; made anew by whoever opens it."""

    def __init__(self, path: Path) -> None:
        self.sales: list[Sale] = []
        self.asked: Counter[str] = Counter()
        self.last: dict[str, str] = {}  # verdicts
        self._path = path
        self._read = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.refresh()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def refresh(self) -> None:
        """Read what others have written."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            lines = file.readlines()
        for line in lines:
            self._read += len(line)
            self._enter(json.loads(line))

    def _enter(self, entry: dict[str, Any]) -> None:
        what = entry.pop("what")
        if what == "post":
            self.sales.append(Sale(**entry))
            self.asked[entry["prompt"]] += 1
            self.last[entry["prompt"]] = entry["verdict"]
        elif what == "told":
            self.sales[entry["number"]].told = True
        else:
            self.sales[entry["number"]].fetched += 1

    def write(self, what: str, **entry: Any) -> None:
        """Write a line, and take note of it."""
        line = json.dumps({"what": what, **entry}).encode() + b"\n"
        os.write(self._file, line)
        self._read += len(line)
        self._enter({"what": what, **entry})

    @property
    def paid(self) -> Counter[str]:
        """How often each prompt was paid for."""
        return Counter(sale.prompt for sale in self.sales if sale.billed)

    def sold(self, prompt: str) -> set[str]:
        """Tell which pictures were sold for a prompt."""
        return {x.content for x in self.sales if x.prompt == prompt and x.billed}
