"""
The folder of a batch: what it holds already, and what must not be paid for again.

Besides the pictures there are `service.json` (who made them), `links.jsonl` (paid and
not fetched) and `unknown.jsonl` (maybe paid). An entry of the last two counts until its
picture is there.
"""

import fcntl
import json
import os
import re
import tempfile
import time
import unicodedata
from pathlib import Path
from typing import Any

import attrs

from zai_images._models import ImageRequest
from zai_images._picture import EXTENSIONS, Picture, write_atomically
from zai_images.cli._exit import UsageError
from zai_images.cli._notes import Notes

MARKER = "service.json"
LINKS = "links.jsonl"
UNKNOWN = "unknown.jsonl"
_LOCK = ".lock"
_PICTURE = re.compile(r"\d{6,}-(.+-[0-9a-f]{8})\.(?:png|jpg|gif|webp)")
_PART = re.compile(
    r"\.(?:\d{6,}-.*|links\.jsonl|unknown\.jsonl|service\.json)\.[^.]+\.part"
)


@attrs.frozen(kw_only=True)
class Item:
    """
    Hold a request with its place in the input, from 1, and its name in the folder.

    The name is what a picture is found by, the place only sorts it.
    """

    index: int
    name: str
    request: ImageRequest

    @property
    def about(self) -> dict[str, Any]:
        """What a record says about it."""
        return {
            "index": self.index,
            "id": self.request.id,
            "prompt": self.request.prompt,
        }


def check_writable(folder: Path) -> None:
    """
    Find out before anything is paid whether a file can be written.

    Raises:
        OSError: It cannot.
    """
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".zai-images."):
            pass
    except OSError as error:
        why = f"{error.strerror}; nothing can be written there, so nothing was sent"
        raise OSError(error.errno, why, str(folder.absolute())) from None


class Folder:
    """Hold the folder of a batch; one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pictures: dict[str, str] = {}
        self.links = Notes(path / LINKS)
        self.unknown = Notes(path / UNKNOWN)
        self._lock: int | None = None

    def open(self, service: str) -> None:
        """
        Make the folder or take it up where it was left.

        Raises:
            UsageError: It is another's: of another service, or in use.
            OSError: The disk does not let us.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"--out {self.path} is a file; name a folder")
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_writable(self.path)
        self._take_lock()
        try:
            self._scan()
            self.links.load(self.pictures)
            self.unknown.load(self.pictures)
            self._mark(service)
        except BaseException:
            self.close()
            raise

    def _take_lock(self) -> None:
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise UsageError(
                f"Another zai-images is at work in {self.path}; wait for it, or use "
                "another folder"
            ) from None
        except OSError:
            pass  # some network disks have no locks

    def close(self) -> None:
        """Let another process have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _scan(self) -> None:
        with os.scandir(self.path) as entries:
            for entry in entries:
                # Some disks of macOS take names apart into letters and marks.
                name = unicodedata.normalize("NFC", entry.name)
                if match := _PICTURE.fullmatch(name):
                    self.pictures[match[1]] = entry.name
                elif _PART.fullmatch(name):
                    Path(entry.path).unlink(missing_ok=True)

    def _mark(self, service: str) -> None:
        """Remember the service, so that no sandbox picture passes for a paid one."""
        marker = self.path / MARKER
        found = _read_service(marker)
        if found == service:
            return
        if self.pictures or self.links.entries or self.unknown.entries:
            made = f"made by {found}" if found else f"without their {MARKER}"
            raise UsageError(
                f"{self.path} holds pictures {made}, and this run is with {service}. "
                "Nothing was sent; name another folder with --out."
            )
        write_atomically(marker, json.dumps({"service": service}).encode() + b"\n")

    async def save(self, index: int, name: str, picture: Picture) -> Path:
        """
        Write a picture; it is whole or not there.

        Raises:
            OSError: The disk is full, and the like.
        """
        file = f"{index:06d}-{name}{EXTENSIONS[picture.media_type]}"
        path = await picture.save(self.path / file)
        self.pictures[name] = file
        return path

    def picture(self, item: Item) -> Path | None:
        """Find the picture of a request."""
        name = self.pictures.get(item.name)
        return None if name is None else self.path / name

    def keep_link(self, item: Item, url: str) -> None:
        """
        Note that a picture is paid and lies behind a link.

        Raises:
            OSError: The disk does not take it.
        """
        self.links.add(item.name, **item.about, url=url, at=int(time.time()))

    def keep_unknown(self, item: Item, why: str) -> None:
        """
        Note that a picture may be paid for and is not here.

        Raises:
            OSError: The disk does not take it.
        """
        self.unknown.add(item.name, **item.about, error=why)

    def tidy(self) -> None:
        """Drop the notes of pictures that are here."""
        self.links.tidy(self.pictures)
        self.unknown.tidy(self.pictures)

    def forget(self) -> None:
        """Drop all notes: of a private sandbox nothing is paid, and no link lives."""
        self.links.forget()
        self.unknown.forget()


def _read_service(marker: Path) -> str | None:
    try:
        found = json.loads(marker.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    service = found.get("service") if isinstance(found, dict) else None
    return service if isinstance(service, str) else None
