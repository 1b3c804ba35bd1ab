"""Bodies that are not what they say, for whoever reads answers or pictures."""

import gzip
import struct
import zlib

from support.pictures import picture

PNG, JPEG = picture("PNG"), picture("JPEG", quality=90)
WEBP = picture("WEBP")
LOSSLESS = picture("WEBP", lossless=True)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
HTML = b"<!doctype html><html><script>alert(1)</script></html>"


def chunk(name: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """Write a PNG of any claimed size."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def cuts(data: bytes) -> list[int]:
    """Choose places all over a file at which it may break off, the last byte too."""
    return sorted({*range(1, 40), len(data) // 2, len(data) - 2, len(data) - 1})


# What is no whole picture, whatever its name or header says.
NO_PICTURES = {
    "nothing": b"",
    "one byte": b"\x89",
    "HTML": HTML,
    "HTML after blanks": b"\n\n  " + HTML,
    "SVG": SVG,
    "SVG after its declaration": b"<?xml version='1.0'?>" + SVG,
    "JSON": b'{"RetCode":-1}',
    "a script": b"#!/bin/sh\nreboot\n",
    "a program": b"\x7fELF" + bytes(99),
    "a program of Windows": b"MZ" + bytes(99),
    "a document": b"%PDF-1.7\n%%EOF",
    "an archive": b"PK\x03\x04" + bytes(99),
    "an icon": b"\0\0\1\0" + bytes(99),
    "a bitmap": b"BM" + bytes(99),
    "a GIF": picture("GIF"),
    "a GIF that is a script": b"GIF89a/*<html>*/=1;" + HTML + b";",
    "a TIFF": b"II*\0" + bytes(99),
    "a film": b"\0\0\0\x18ftypmp42" + bytes(99),
    "a picture that is compressed": gzip.compress(PNG),
    "a picture after a line": b"\n" + PNG,
    "a PNG without a header": b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""),
    "a PNG without pixels": png(32, 16),
    "a PNG that is a script": b"\x89PNG\r\n\x1a\n" + HTML * 9,
    "a PNG whose line ends were changed": PNG.replace(b"\r\n", b"\n"),
    "a PNG of no width": png(0, 16, chunk(b"IDAT", b"x")),
    "a PNG of no height": png(16, 0, chunk(b"IDAT", b"x")),
    "a PNG whose part is said to be larger": PNG[:33] + b"\xff\xff\xff\xff" + PNG[37:],
    "a PNG of a million parts": png(9, 9, *[chunk(b"tEXt", b"")] * 99_999),
    "a JPEG of markers alone": b"\xff\xd8" + b"\xff" * 2**20,
    "a JPEG without a frame": b"\xff\xd8\xff\xda\0\x02\xff\xd9",
    "a JPEG with a part of no length": b"\xff\xd8\xff\xe0\0\0" * 99,
    "a JPEG that is a script": b"\xff\xd8\xff" + HTML,
    "a WebP of another kind": b"RIFF\x1a\0\0\0WEBPXXXX" + bytes(18),
    "a WebP of no length": b"RIFF\0\0\0\0WEBPVP8X" + bytes(18),
    "a WebP whose picture has no signature": WEBP[:23] + b"xxx" + WEBP[26:],
    "a WebP without loss and without signature": LOSSLESS[:20] + b"x" + LOSSLESS[21:],
    "a sound": b"RIFF\x24\0\0\0WAVEfmt " + bytes(28),
}
# What is a picture, and something else as well for those who look elsewhere.
POLYGLOTS = {
    "a PNG and an archive": (PNG + b"PK\x05\x06" + bytes(18), "image/png"),
    "a PNG and HTML": (PNG + HTML, "image/png"),
    "a PNG with HTML for a comment": (
        PNG[:33] + chunk(b"tEXt", b"Comment\0" + HTML) + PNG[33:],
        "image/png",
    ),
    "a JPEG and an archive": (JPEG + b"PK\x05\x06" + bytes(18), "image/jpeg"),
    "a JPEG with HTML for a comment": (
        JPEG[:2] + b"\xff\xfe" + struct.pack(">H", len(HTML) + 2) + HTML + JPEG[2:],
        "image/jpeg",
    ),
    "a WebP and HTML": (WEBP + HTML, "image/webp"),
}
