"""What bytes are a picture, without any network."""

import struct

import pytest
from support.pictures import picture

from zai_images import SessionConfig
from zai_images._http.addresses import AddressRefusedError, check_link
from zai_images._http.downloader import Downloader, FetchError, _unreached
from zai_images._picture.header import NotAPictureError
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


@pytest.mark.parametrize("host", ["cafe.fade", "ad.bed.cafe"])
def test_a_name_that_could_be_hexadecimal_is_a_name(host):
    assert check_link(f"https://{host}/a.png", loopback=False, proxied=False)


def test_a_refused_address_is_named_among_several_failures():
    """Where a name has several addresses, each is tried and all failures are told."""
    refused = AddressRefusedError("10.0.0.1 is not public")
    error = OSError("no connection")
    error.__cause__ = ExceptionGroup("two tries", [refused, OSError("unreachable")])

    found = _unreached(error)

    assert "10.0.0.1 is not public" in str(found)
    assert found.lasting


def test_a_gif_is_not_a_picture_as_other_unknown_bytes_are_not():
    """No document of the service names the format."""
    with pytest.raises(NotAPictureError, match="it is not a picture"):
        inspect(picture("GIF"))


async def test_a_public_address_in_an_odd_spelling_is_not_tried_again():
    """It may lead elsewhere than it seems to, so no connection is made to it."""
    downloader = Downloader(SessionConfig(api_key="k"))
    with pytest.raises(FetchError, match="not a URL") as caught:
        await downloader.fetch("https://8.8.2056/a.png")
    await downloader.aclose()

    assert caught.value.lasting
