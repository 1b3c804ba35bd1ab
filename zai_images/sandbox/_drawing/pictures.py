"""Pictures of exactly the asked size, marked as the sandbox's: plain or drawn."""

import hashlib
import struct
import zlib
from functools import lru_cache
from typing import Final

MARK: Final = "SANDBOX - not a real CogView-4 picture"


def drawn(prompt: str, width: int, height: int) -> bytes:
    """Draw the PNG for a prompt, or make a plain one where Pillow cannot draw it."""
    try:
        # Pillow is optional, and importing the package must not load it.
        from zai_images.sandbox._drawing.landscape import draw  # noqa: PLC0415

        return draw(prompt, width, height, MARK)
    except ImportError:  # also raised by a Pillow that was built without fonts
        return plain(prompt, width, height)


def plain(prompt: str, width: int, height: int) -> bytes:
    """Make a PNG of one colour, which follows from the prompt."""
    colour = hashlib.blake2b(prompt.encode(), digest_size=3).digest()
    header, pixels = _canvas(width, height)
    return header + _chunk(b"PLTE", colour) + pixels


@lru_cache(maxsize=64)
def _canvas(width: int, height: int) -> tuple[bytes, bytes]:
    # One bit a pixel into a palette of one colour: all pictures of a size share
    # their pixels, and a colour costs 15 bytes.
    header = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    row = bytes(1 + (width + 7) // 8)
    text = b"Comment\0" + MARK.encode("latin-1")
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"tEXt", text),
        _chunk(b"IDAT", zlib.compress(row * height)) + _chunk(b"IEND", b""),
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
