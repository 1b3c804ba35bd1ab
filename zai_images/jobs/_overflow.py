"""
A second place for what the journal does not take: a file of lines, only added to.

It is beside the journal, and where that disk takes nothing, in the user's state folder.
The next run records what it finds there.
"""

import errno
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from zai_images._api.response import RawResponse
from zai_images._picture.files import make_folder, opener, state_folder, sync_folder
from zai_images.jobs._journal.steps import Attempt, Fact, Received, Saved, Settled

NAME = ".unrecorded.jsonl"
_log = logging.getLogger("zai_images")
_KINDS = {kind.__name__: kind for kind in (Received, Settled, Saved)}


class Overflow:
    """
    What a job could not record, in the first place that takes it.

    What is not there in a form that can be read is set aside, never removed.

    Args:
        folder: The job's.
        job: The job's own name, which no other has.
        is_here: Tells whether the folder is still the job's.
    """

    def __init__(self, folder: Path, job: str, is_here: Callable[[], bool]) -> None:
        self._beside = folder / NAME
        state = state_folder()
        self._apart = state and state / "unrecorded" / f"{job}.jsonl"
        self._is_here = is_here
        self._one_by_one = threading.Lock()
        self._unread: set[Path] = set()  # hold lines that cannot be read

    def _places(self) -> list[Path]:
        beside = [self._beside] if self._is_here() else []
        return beside + ([self._apart] if self._apart else [])

    def add(self, fact: Fact) -> bool:
        """Add a fact, and sync it; False where no place takes it for the next run."""
        line = _line(fact)
        with self._one_by_one:
            added = any(_appended(place, line) for place in self._places())
        return added and self._is_here()

    def facts(self) -> list[Fact]:
        """
        Read what is there.

        Raises:
            OSError: A file is there and cannot be read.
        """
        found: list[Fact] = []
        for place in self._places():
            if not place.exists():
                continue
            if not place.is_file():
                raise OSError(errno.EINVAL, "is not a file", str(place))
            for line in filter(None, place.read_bytes().split(b"\n")):
                try:
                    found.append(_fact(line))
                except (ValueError, TypeError, KeyError, AttributeError):
                    self._unread.add(place)
        return found

    def clear(self) -> None:
        """Remove what was recorded in the meantime; keep apart what cannot be read."""
        for place in self._places():
            if place in self._unread:
                kept = place.replace(place.with_suffix(f".{time.time_ns()}.unread"))
                _log.warning(
                    "%s has lines that cannot be read; they may hold paid links", kept
                )
            elif place.exists():
                place.unlink()
                sync_folder(place.parent)


def _appended(place: Path, line: bytes) -> bool:
    try:
        if place.exists() and not place.is_file():  # a pipe would hold us up
            return False
        if not place.parent.exists():
            make_folder(place.parent)
        new = not place.exists()
        with open(place, "ab", opener=opener) as file:
            # A line of an earlier process may have been cut off.
            file.write(b"\n" + line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(place.parent)
    except OSError:
        return False
    return True


def _line(fact: Fact) -> bytes:
    fields = attrs.asdict(fact)
    if isinstance(fact, Received):  # Latin-1 leaves every byte as it is
        fields["raw"]["body"] = fact.raw.body.decode("latin-1")
    return json.dumps({type(fact).__name__: fields}).encode()


def _fact(line: bytes) -> Fact:
    ((name, fields),) = json.loads(line).items()
    if "attempt" in fields:
        fields["attempt"] = Attempt(**fields["attempt"])
    if "raw" in fields:
        body = fields["raw"].pop("body").encode("latin-1")
        fields["raw"] = RawResponse(body=body, **fields["raw"])
    return _KINDS[name](**fields)
