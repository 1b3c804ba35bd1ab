"""The job's folder: its lock, its reserve of disk space, and the pictures' files."""

import errno
import fcntl
import hashlib
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from zai_images._picture.files import make_folder, sync_folder, write_new
from zai_images.jobs._errors import DiskError, JobError
from zai_images.jobs._journal.queries import SHARD
from zai_images.jobs._journal.schema import JOURNAL
from zai_images.jobs._journal.steps import Saved
from zai_images.jobs._overflow import NAME as OVERFLOW

PICTURES = "pictures"
RESERVE = 256 * 1024  # bytes: room in the journal for the links of what is in flight
_PATIENCE = 10.0  # seconds; no file takes that long on a disk that works
_LOCK = ".lock"
_RESERVE = ".reserve"
_MAKE = os.O_CREAT | os.O_NOFOLLOW  # a folder that others may write to may hold links
_OURS = {
    *(_LOCK, _RESERVE, PICTURES, OVERFLOW),
    *(JOURNAL + end for end in ("", "-wal", "-shm")),
}
_PART = re.compile(r"\..*\.part")
_log = logging.getLogger("zai_images")


class JobFolder:
    """
    The folder of a job, for one process at a time.

    Raises:
        JobError: It is no job's, or another process is at work in it.
        DiskError: The disk does not let us.
    """

    def __init__(self, path: Path) -> None:
        # Whoever goes to another folder leaves it where it was.
        self.path: Path = path.absolute()
        self._shown: Path = path
        self._lock: int | None = None
        self._synced: set[Path] = set()  # shards whose own names are on the disk
        self._making = threading.Lock()
        self._storing = 0  # files being written
        self._full = False
        self._stored = threading.Condition()

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / JOURNAL

    def open(self) -> None:
        """Make the folder or go on with the one that is there, and keep others out."""
        try:
            self._make()
            self._acquire_lock()
            self._fill_reserve()
        except OSError as error:
            self.close()
            raise self._trouble(error) from error

    def _trouble(self, error: OSError) -> DiskError:
        return DiskError(
            f"{error.filename or self.path}: {error.strerror}. Nothing was sent; "
            "free some space or mend the disk, and run the same command again."
        )

    def _make(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise JobError(f"{self._shown} is a file; name a folder")
        self._make_folders()
        strangers = {entry.name for entry in self.path.iterdir()} - _OURS
        pictures = self.path / PICTURES
        if not self.journal.exists():
            # A process that was killed while it made the job leaves them empty.
            if pictures.exists() and any(pictures.iterdir()):
                strangers.add(PICTURES)
            if strangers:
                raise JobError(
                    f"{self._shown} is no job's folder: it has no {JOURNAL}, and holds "
                    f"{min(strangers)!r}. Nothing was sent; name another folder."
                )
        pictures.mkdir(mode=0o700, exist_ok=True)

    def _make_folders(self) -> None:
        """Make the folder and those above it, each name synced before the next."""
        whole = (self.path, *self.path.parents)
        missing = [one for one in whole if not one.exists()]
        # The last that is there may be as new: whoever made it was killed before that.
        there = missing[-1].parent if missing else self.path
        for folder in (there, *reversed(missing)):
            make_folder(folder)
            with suppress(PermissionError):  # it is not ours to list, so not our work
                sync_folder(folder.parent)

    def _acquire_lock(self) -> None:
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | _MAKE, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise JobError(
                f"Another process is at work in {self._shown}; wait for it, or use "
                "another folder. Nothing was sent."
            ) from None
        except OSError:
            # Some network disks have none: the journal's own row must do.
            _log.warning("%s cannot be locked: its disk has no locks", self._shown)

    def _fill_reserve(self) -> None:
        reserve = self.path / _RESERVE
        if reserve.exists() and reserve.stat().st_size >= RESERVE:
            return
        descriptor = os.open(reserve, os.O_WRONLY | _MAKE, 0o600)
        try:
            if sys.platform == "linux":
                os.posix_fallocate(descriptor, 0, RESERVE)
            else:  # pragma: no cover - macOS has no such call
                os.write(descriptor, bytes(RESERVE))
        finally:
            os.close(descriptor)

    def free_reserve(self) -> None:
        """Free the space that was held back for what is paid."""
        with suppress(OSError):
            (self.path / _RESERVE).unlink(missing_ok=True)

    def store_no_more(self) -> None:
        """Leave what room there is to the journal: a picture's link is enough."""
        with self._stored:
            self._full = True
            self._stored.wait_for(lambda: not self._storing, _PATIENCE)

    def sync(self) -> None:
        """Sync the names of the journal and of `pictures` to the disk."""
        sync_folder(self.path)

    def close(self) -> None:
        """Release the folder for another process."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def store(self, names: Iterator[str], number: int, data: bytes) -> Saved:
        """
        Write a picture's file, whole, synced and renamed, under the first free name.

        Whatever has a name already is left as it is, but for what is cut off of these
        very bytes.

        Raises:
            OSError: The disk does not take it.
        """
        with self._stored:
            if self._full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            self._storing += 1
        try:
            shard = self._shard(number)
            file = write_new((shard / name for name in names), data, mend=True)
        finally:
            with self._stored:
                self._storing -= 1
                self._stored.notify_all()
        return Saved(
            number=number,
            path=file.relative_to(self.path).as_posix(),
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            at=time.time(),
        )

    def _shard(self, number: int) -> Path:
        """Make an item's folder, and sync its name to the disk as well."""
        shard = self.path / shard_of(number)
        with self._making:  # whoever finds it there must not run ahead of its sync
            if shard not in self._synced:
                shard.mkdir(mode=0o700, exist_ok=True)
                sync_folder(shard.parent)
                self._synced.add(shard)
        return shard

    def files(self, shard: int) -> dict[str, int]:
        """List the files of a shard with their sizes, by paths within the folder."""
        return dict(self._files_in(self.path / _name_of(shard)))

    def other_files(self, shards: int) -> Iterator[tuple[str, int]]:
        """List the files that are in none of so many shards, as `files` does."""
        known = {self.path / _name_of(shard) for shard in range(shards)}
        for name, _, _ in os.walk(self.path, onerror=_raise_unless_gone):
            folder = Path(name)
            if folder not in known:
                yield from self._files_in(folder)

    def _files_in(self, folder: Path) -> Iterator[tuple[str, int]]:
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file() and entry.name not in _OURS:
                    path = Path(entry.path).relative_to(self.path)
                    yield path.as_posix(), entry.stat().st_size

    def away(self, shards: int) -> list[int]:
        """List the shards whose folders are not there."""
        return [
            one for one in range(shards) if not (self.path / _name_of(one)).is_dir()
        ]

    def prepare(self) -> None:
        """
        Hold the reserve again, and remove what was left half written.

        Raises:
            DiskError: The disk has no room for the reserve, or does not let us.
        """
        try:
            self._fill_reserve()
            self._remove_parts()
        except OSError as error:
            raise self._trouble(error) from error
        self._full = False

    def _remove_parts(self) -> None:
        for shard in (self.path / PICTURES).iterdir():
            if not shard.name.isdigit():
                continue  # a file browser keeps its own notes anywhere
            # A Path for each of half a million names would take longer than the rest.
            with os.scandir(shard) as entries:
                for entry in entries:
                    if _PART.fullmatch(entry.name):
                        Path(entry.path).unlink(missing_ok=True)


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def shard_of(number: int) -> str:
    """Name the folder of an item's file, so that none holds more than a thousand."""
    return _name_of((number - 1) // SHARD)


def _name_of(shard: int) -> str:
    return f"{PICTURES}/{shard:03d}"
