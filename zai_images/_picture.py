"""From bytes to a checked picture, and from there to a file that is whole or absent."""

import asyncio
import base64
import errno
import os
import struct
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from zai_images._models import ImageRequest
from zai_images._response import ImageResponse


class NotAPictureError(ValueError):
    """Say why some bytes are not a whole picture."""


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
        os.replace(name, target)  # noqa: PTH105 - both sides are one call of the OS
    except BaseException:
        os.unlink(name)  # noqa: PTH108
        raise
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

    Nothing is decoded: the size stands in the header, and each format has an end that
    a truncated file lacks.

    Raises:
        NotAPictureError: They are not a picture, or not a whole one.
    """
    found = next(
        (kind for sign, kind in _FORMATS.items() if data.startswith(sign)), None
    )
    if found is None:
        raise NotAPictureError(f"it is not a picture; it begins with {data[:16]!r}")
    media_type, measure = found
    try:
        width, height = measure(data)
    except (struct.error, IndexError):
        raise NotAPictureError(f"the {media_type} is cut off in its header") from None
    if width < 1 or height < 1:
        raise NotAPictureError(f"the {media_type} says it is {width}x{height} pixels")
    return Picture(data=data, media_type=media_type, width=width, height=height)


def _must_end(whole: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not whole:
        raise NotAPictureError(f"the {what} is cut off before its end")


# 64 MiB in the usual parts of 8 KiB; more is made to keep a reader busy.
_PARTS = 10_000


def _png(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise NotAPictureError("the PNG has no header chunk")
    width, height = struct.unpack_from(">II", data, 16)
    position = 8
    for _ in range(_PARTS):
        if data[position + 4 : position + 8] == b"IEND":
            break
        _must_end(len(data) >= position + 12, "PNG")
        (length,) = struct.unpack_from(">I", data, position)
        position += 12 + length  # length, name and checksum around the content
    else:
        raise NotAPictureError(f"the PNG has more than {_PARTS} parts")
    _must_end(len(data) >= position + 12, "PNG")
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    _must_end(data.endswith(b";"), "GIF")
    return width, height


# Start-of-frame markers; the gaps are DHT, JPG and DAC, which are no frames.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _jpeg(data: bytes) -> tuple[int, int]:
    size = None
    position = 2
    for _ in range(_PARTS):
        if data[position] != 0xFF:
            raise NotAPictureError("the JPEG has a broken segment")
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            size = (width, height)
        position += 2 + length
        if marker == 0xDA:  # the picture's data; within it FF D9 is the end alone
            break
    else:
        raise NotAPictureError(f"the JPEG has more than {_PARTS} parts")
    if size is None:
        raise NotAPictureError("the JPEG has no frame header")
    _must_end(data.find(b"\xff\xd9", position) >= 0, "JPEG")
    return size


def _webp(data: bytes) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", data, 4)
    if data[8:12] != b"WEBP":
        raise NotAPictureError("it is a RIFF file, but not a WebP picture")
    _must_end(len(data) >= length + 8, "WebP")
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


_Measure = Callable[[bytes], tuple[int, int]]
_FORMATS: Mapping[bytes, tuple[str, _Measure]] = MappingProxyType(
    {
        b"\x89PNG\r\n\x1a\n": ("image/png", _png),
        b"\xff\xd8\xff": ("image/jpeg", _jpeg),
        b"GIF87a": ("image/gif", _gif),
        b"GIF89a": ("image/gif", _gif),
        b"RIFF": ("image/webp", _webp),
    }
)

EXTENSIONS: Mapping[str, str] = MappingProxyType(
    {
        "image/png": ".png",
        "image/jpeg": ".jpg",
        "image/gif": ".gif",
        "image/webp": ".webp",
    }
)
