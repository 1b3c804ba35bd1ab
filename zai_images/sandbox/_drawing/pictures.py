"""Pictures of exactly the asked size, marked as the sandbox's: plain or drawn."""

import colorsys
import hashlib
import struct
import zlib
from functools import lru_cache
from typing import Final

MARK: Final = "SANDBOX - not a real CogView-4 picture"


def picture(prompt: str, width: int, height: int, *, drawn: bool) -> bytes:
    """Make the PNG for a prompt; the same arguments always give the same bytes."""
    if drawn:
        try:
            # Pillow is optional, and importing the package must not load it.
            from zai_images.sandbox._drawing.landscape import draw  # noqa: PLC0415

            return draw(prompt, width, height, MARK)
        except ImportError:  # also raised by a Pillow that was built without fonts
            pass
    return plain(prompt, width, height)


def plain(prompt: str, width: int, height: int) -> bytes:
    """Make a PNG of one colour, which follows from the prompt."""
    digest = hashlib.blake2b(prompt.encode(), digest_size=2).digest()
    hue = int.from_bytes(digest, "big") / 0x10000
    colour = colorsys.hls_to_rgb(hue, 0.55, 0.5)
    palette = bytes(round(255 * part) for part in colour)
    header, pixels = _canvas(width, height)
    return header + _chunk(b"PLTE", palette) + pixels


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
