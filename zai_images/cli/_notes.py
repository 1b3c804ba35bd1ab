"""Notes beside the pictures: a line of JSON for each thing that must not be lost."""

import json
import os
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from zai_images._picture import write_atomically


class Notes:
    """
    Keep a file of entries, each with the `name` of the picture it is about.

    An entry counts until its picture is there. A line that is no entry is somebody's
    own and stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Mapping[str, Any]] = {}

    def load(self, pictures: Container[str]) -> None:
        """Read the file, and clear away what is settled."""
        self.tidy(pictures)
        for line in self._lines():
            if (entry := _entry(line)) is not None:
                self.entries[entry["name"]] = entry

    def add(self, name: str, **fields: Any) -> None:  # noqa: ANN401 - JSON values
        """Append an entry, and wait until the disk has it."""
        entry = {"name": name, **fields}
        line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        # Readable by its owner only: a link is as good as the picture.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.entries[name] = entry

    def tidy(self, pictures: Container[str]) -> None:
        """Drop the entries whose pictures are there; a file without any goes."""
        lines = self._lines()
        kept = [line for line in lines if not _is_settled(line, pictures)]
        if kept and (len(kept) < len(lines) or not lines[-1].endswith(b"\n")):
            content = b"".join(line.rstrip(b"\n") + b"\n" for line in kept)
            write_atomically(self.path, content)
        elif not kept:
            self.path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Drop every entry."""
        self.tidy(self.entries)
        self.entries.clear()

    def _lines(self) -> list[bytes]:
        try:
            with self.path.open("rb") as file:
                return file.readlines()
        except FileNotFoundError:
            return []


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    name = value.get("name") if isinstance(value, dict) else None
    # It becomes part of a file's name, and the line may be anybody's.
    return value if isinstance(name, str) and name and "/" not in name else None


def _is_settled(line: bytes, pictures: Container[str]) -> bool:
    entry = _entry(line)
    return entry is not None and entry["name"] in pictures
