"""What bytes are a picture, without any network."""

import io
import struct

import pytest
from PIL import Image

from zai_images._picture.header import NotAPictureError, measure
from zai_images._picture.picture import inspect

PNG_HEAD = b"\x89PNG\r\n\x1a\n" + struct.pack(
    ">I4sIIBBBBBI", 13, b"IHDR", 8, 8, 8, 2, 0, 0, 0, 0
)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG_HEAD + struct.pack(">I4sI", 0, b"tEXt", 0) * 10_001, "PNG"),
        (b"\xff\xd8\xff\xe0\x00\x02" + b"\xff\xe1\x00\x02" * 10_001, "JPEG"),
        (b"\xff\xd8" + b"\xff" * 10_001, "JPEG"),
    ],
)
def test_a_picture_of_endless_parts_is_none(data, kind):
    """Tens of thousands of empty ones are there to keep a reader busy."""
    with pytest.raises(NotAPictureError, match=f"the {kind} has more than 10000 parts"):
        inspect(data)


def test_a_gif_without_a_picture_in_it_is_none():
    with pytest.raises(NotAPictureError, match="the GIF has no pixels"):
        inspect(b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0, 0, 0) + b"\x3b")


def drawn(kind: str, size: tuple[int, int]) -> bytes:
    """Have Pillow write a picture, which knows nothing of our reader."""
    buffer = io.BytesIO()
    Image.effect_noise(size, 50).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (37, 11), (512, 1024)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_what_pillow_writes_has_the_size_that_pillow_gave_it(kind, size):
    assert measure(drawn(kind, size)) == (f"image/{kind.lower()}", *size)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_cut_off_anywhere_is_none(kind):
    whole = drawn(kind, (9, 7))
    for length in range(len(whole)):
        with pytest.raises(NotAPictureError):
            measure(whole[:length])
