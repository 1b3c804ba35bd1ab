"""
The checks on a picture's bytes: its type, its size, and that none of it is missing.

Nothing is decoded: the header has the size, and each format has an end that a truncated
file lacks. No file takes more than a moment, whatever is in it.
"""

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType


class NotAPictureError(ValueError):
    """Raised when some bytes are not a whole picture; it says why."""


def measure(data: bytes) -> tuple[str, int, int]:
    """Return media type, width and height, or raise `NotAPictureError`."""
    found = next(
        (kind for sign, kind in _FORMATS.items() if data.startswith(sign)), None
    )
    if found is None:
        raise NotAPictureError(f"it is not a picture; it begins with {data[:16]!r}")
    media_type, read = found
    try:
        width, height = read(data)
    except (struct.error, IndexError):
        raise NotAPictureError(f"the {media_type} is cut off in its header") from None
    if width < 1 or height < 1:
        raise NotAPictureError(f"the {media_type} says it is {width}x{height} pixels")
    return media_type, width, height


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
    pixels = False
    for _ in range(_PARTS):
        name = data[position + 4 : position + 8]
        if name == b"IEND":
            break
        pixels = pixels or name == b"IDAT"
        _must_end(len(data) >= position + 12, "PNG")
        (length,) = struct.unpack_from(">I", data, position)
        position += 12 + length  # length, name and checksum around the content
    else:
        raise NotAPictureError(f"the PNG has more than {_PARTS} parts")
    _must_end(len(data) >= position + 12, "PNG")
    if not pixels:
        raise NotAPictureError("the PNG has no pixels")
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


_WEBP_HEADER = 22  # bytes after the length, in each of its kinds


def _webp(data: bytes) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", data, 4)
    if data[8:12] != b"WEBP":
        raise NotAPictureError("it is a RIFF file, but not a WebP picture")
    _must_end(length >= _WEBP_HEADER and len(data) >= length + 8, "WebP")
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise NotAPictureError("the WebP holds no picture that is known")


_Measure = Callable[[bytes], tuple[int, int]]
_FORMATS: Mapping[bytes, tuple[str, _Measure]] = MappingProxyType(
    {
        b"\x89PNG\r\n\x1a\n": ("image/png", _png),
        b"\xff\xd8\xff": ("image/jpeg", _jpeg),
        b"RIFF": ("image/webp", _webp),
    }
)

EXTENSIONS: Mapping[str, str] = MappingProxyType(
    {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
)
