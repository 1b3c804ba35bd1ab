"""Files that are whole or absent, and private whatever the umask is."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents, private; raise `OSError` if refused."""
    # Not `parents=True`: that gives the parents the umask's mode.
    for folder in reversed([one for one in (path, *path.parents) if not one.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)


def opener(path: str, flags: int) -> int:
    """Open a private file, for `open(..., opener=opener)`."""
    return os.open(path, flags, 0o600)


def write_atomically(target: Path, data: bytes) -> None:
    """
    Write `data` beside `target`, sync it, rename it, and sync the folder.

    Readable by its owner only: prompts and pictures may be private.
    """
    with _written_beside(target, data) as name:
        os.replace(name, target)  # noqa: PTH105 - both sides are one call of the OS


def write_new(stem: Path, extension: str, data: bytes) -> Path:
    """
    Write `data` atomically under the first free name of `stem`, `stem-2`, ...

    Two writers that choose at the same moment get different names.
    """
    with _written_beside(stem, data) as name:
        target = stem.with_name(stem.name + extension)
        number = 1
        while not _take(name, target):
            number += 1
            target = stem.with_name(f"{stem.name}-{number}{extension}")
    return target


def _take(name: str, target: Path) -> bool:
    """Rename a written file to `target`, unless that exists."""
    try:
        try:
            os.link(name, target)
        except FileExistsError:
            return False
        except OSError:  # a disk without hard links
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            os.replace(name, target)  # noqa: PTH105
    except FileExistsError:
        return False
    return True


@contextmanager
def _written_beside(target: Path, data: bytes) -> Iterator[str]:
    """Write a file that the block renames, or that is gone after it."""
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "No such folder", str(target.parent))
    # 50 characters are 200 bytes at most, of the 255 that a name may have.
    descriptor, name = tempfile.mkstemp(
        prefix=f".{target.name[:50]}.", suffix=".part", dir=target.parent
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield name
    finally:
        with suppress(FileNotFoundError):  # it was renamed
            os.unlink(name)  # noqa: PTH108
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder: without this a power cut may lose the file's name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
