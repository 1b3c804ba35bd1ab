"""
A second place for what the journal does not take: a file of lines, only added to.

It is beside the journal, and where that disk takes nothing, in the user's state folder.
The next run records what it finds there.
"""

import json
import os
import threading
from pathlib import Path

import attrs

from zai_images._api.response import RawResponse
from zai_images._picture.files import make_folder, opener, state_folder, sync_folder
from zai_images.jobs._journal.steps import Attempt, Fact, Received, Saved, Settled

NAME = ".unrecorded.jsonl"
_KINDS = {kind.__name__: kind for kind in (Received, Settled, Saved)}


class Overflow:
    """
    What a job could not record, in the first place that takes it.

    Args:
        folder: The job's.
        job: The job's own name, which no other has.
    """

    def __init__(self, folder: Path, job: str) -> None:
        self._places = [folder / NAME]
        if (state := state_folder()) is not None:
            self._places.append(state / "unrecorded" / f"{job}.jsonl")
        self._one_by_one = threading.Lock()

    def add(self, fact: Fact) -> bool:
        """Add a fact, and sync it; False where no place takes it."""
        line = _line(fact)
        with self._one_by_one:
            return any(_appended(place, line) for place in self._places)

    def facts(self) -> list[Fact]:
        """
        Read what is there; of a line that was cut off as it was written, nothing.

        Raises:
            OSError: A file is there and cannot be read.
        """
        lines = [
            line
            for place in self._places
            if place.exists()
            for line in place.read_bytes().split(b"\n")
        ]
        return [fact for line in lines if (fact := _fact(line)) is not None]

    def clear(self) -> None:
        """Remove what was recorded in the meantime."""
        for place in self._places:
            if place.exists():
                place.unlink()
                sync_folder(place.parent)


def _appended(place: Path, line: bytes) -> bool:
    try:
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


def _fact(line: bytes) -> Fact | None:
    try:
        ((name, fields),) = json.loads(line).items()
    except ValueError:
        return None
    if "attempt" in fields:
        fields["attempt"] = Attempt(**fields["attempt"])
    if "raw" in fields:
        body = fields["raw"].pop("body").encode("latin-1")
        fields["raw"] = RawResponse(body=body, **fields["raw"])
    return _KINDS[name](**fields)
