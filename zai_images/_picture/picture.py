"""From bytes to a checked picture, and from there to a file that is whole or absent."""

import asyncio
import base64
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from zai_images._api.request import ImageRequest
from zai_images._api.response import ImageResponse
from zai_images._picture.header import EXTENSIONS, measure


class FetchError(Exception):
    """
    Say why one try to fetch a picture failed.

    Attributes:
        fresh: A new link may answer like this for some seconds (404).
        lasting: Another try would end the same.
    """

    def __init__(
        self, reason: str, *, fresh: bool = False, lasting: bool = False
    ) -> None:
        super().__init__(reason)
        self.fresh = fresh
        self.lasting = lasting


@attrs.frozen(kw_only=True)
class Picture:
    """
    Hold a picture that was made, paid for, fetched and checked.

    Attributes:
        data: The file's bytes, as the service made them.
        media_type: `image/png`, `image/jpeg`, `image/webp` or `image/gif`, by content.
        width: Pixels, from the file's header.
        height: Pixels, from the file's header.
        latency: Seconds the request was in service; None for a bare download.
        cost: US dollars; None where the price is not known.
        request: What was asked for; None for a bare download.
        response: What the service answered; None where a bare URL was fetched.
    """

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    media_type: str
    width: int
    height: int
    latency: float | None = None
    cost: float | None = None
    request: ImageRequest | None = None
    response: ImageResponse | None = None

    @property
    def extension(self) -> str:
        """What its file's name ends with, such as `.png`."""
        return EXTENSIONS[self.media_type]

    async def save(self, path: str | os.PathLike[str]) -> Path:
        """
        Write the picture to `path`: after a crash the file is whole or not there.

        An existing file is replaced. The disk is waited for in a thread.

        Raises:
            OSError: The disk is full, the folder is missing, and the like.
        """
        target = Path(path)
        await asyncio.to_thread(write_atomically, target, self.data)
        return target

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """Show the picture in a notebook, from the bytes held here."""
        del include, exclude  # IPython filters by itself
        shown = base64.b64encode(self.data).decode()
        sizes = {"width": self.width, "height": self.height}
        return (
            {self.media_type: shown, "text/plain": repr(self)},
            {self.media_type: sizes},
        )


def write_atomically(target: Path, data: bytes) -> None:
    """
    Write `data` beside `target`, sync it, rename it, and sync the folder.

    Readable by its owner only: prompts and pictures may be private.
    """
    with _written_beside(target, data) as name:
        os.replace(name, target)  # noqa: PTH105 - both sides are one call of the OS


def write_new(stem: Path, extension: str, data: bytes) -> Path:
    """
    Write `data` under the first of `stem`, `stem-2`, ... that nothing has yet.

    Whole or not there, as `write_atomically`; of two that choose at the same moment
    each gets a name of its own.
    """
    with _written_beside(stem, data) as name:
        target = stem.with_name(stem.name + extension)
        number = 1
        while not _take(name, target):
            number += 1
            target = stem.with_name(f"{stem.name}-{number}{extension}")
    return target


def _take(name: str, target: Path) -> bool:
    """Give a written file a name, unless something has it."""
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
    """Write a file that is named within the block, or gone after it."""
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
    """Without this the name itself may vanish in a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def inspect(data: bytes) -> Picture:
    """
    Find out what picture some bytes are, by the bytes alone.

    Raises:
        NotAPictureError: They are not a picture, or not a whole one.
    """
    media_type, width, height = measure(data)
    return Picture(data=data, media_type=media_type, width=width, height=height)
