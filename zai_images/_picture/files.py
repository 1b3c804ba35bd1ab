"""Files that are whole or absent, and private whatever the umask is."""

import errno
import itertools
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


def state_folder() -> Path | None:
    """Tell where a user's programs keep their state; None where there is no home."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        try:
            state = Path.home() / ".local/state"
        except RuntimeError:
            return None
    return state / "zai-images"


def numbered(stem: Path, extension: str) -> Iterator[Path]:
    """Name `stem`, `stem-2`, `stem-3`, ... with the extension."""
    more = (f"-{number}" for number in itertools.count(2))
    ends = itertools.chain(("",), more)
    return (stem.with_name(f"{stem.name}{end}{extension}") for end in ends)


def write_new(targets: Iterator[Path], data: bytes, *, mend: bool = False) -> Path:
    """
    Write `data` atomically under the first of the names that is free.

    Two writers that choose at the same moment get different names. The names share a
    folder and do not end.

    Args:
        targets: The names.
        data: What to write.
        mend: A file that is the beginning of `data` is one of ours that was cut off,
            so it is replaced.
    """
    target = next(targets)
    with _written_beside(target, data) as name:
        while not _take(name, target):
            if mend and _is_beginning(target, data):
                os.replace(name, target)  # noqa: PTH105 - both are one call of the OS
                break
            target = next(targets)
    return target


def _is_beginning(target: Path, data: bytes) -> bool:
    """Tell whether a file is `data`, or the beginning of it; zeros may follow."""
    try:
        if target.is_symlink() or target.stat().st_size > len(data):
            return False
        return data.startswith(target.read_bytes().rstrip(b"\0"))
    except OSError:
        return False


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
