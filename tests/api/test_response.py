"""What the service answered, and what of it may be shown."""

import pickle

import attrs
import pytest

from zai_images import ContentFilter, ImageResponse, ImageURL
from zai_images._api.frozen_json import FrozenJSON
from zai_images._api.response import masked


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://e.example/a.png", "https://e.example/a.png"),
        ("https://e.example/a.png?Signature=s3", "https://e.example/a.png?***"),
        ("https://e.example/a?x=1?Signature=s3", "https://e.example/a?***"),
        ("https://me:s3@e.example/a.png", "https://***@e.example/a.png"),
        ("//s3@e.example/a.png?s3", "//***@e.example/a.png?***"),
        ("https://e.example/\x1b[2J\na", "https://e.example/\ufffd[2J\ufffda"),
        ("", ""),
    ],
)
def test_a_link_is_shown_without_what_may_be_a_secret(url, shown):
    assert masked(url) == shown
    assert repr(shown) in repr(ImageURL(url=url))


def test_the_first_picture_is_the_one_that_is_meant():
    images = (ImageURL(url="https://e.example/1"), ImageURL(url="https://e.example/2"))

    assert ImageResponse(created=1, images=images).url == "https://e.example/1"


def test_what_was_not_said_is_empty():
    response = ImageResponse(created=None, images=(ImageURL(url="x"),))

    assert (response.content_filter, response.request_id) == ((), None)
    assert not response.extra
    assert not response.images[0].extra
    assert ContentFilter(role="user").level is None


def test_an_answer_is_a_value():
    """It can be a key, it can go to another process, and nobody can change it."""
    response = ImageResponse(
        created=1,
        images=(ImageURL(url="https://e.example/a?s3", extra=FrozenJSON({"n": [1]})),),
        content_filter=(ContentFilter(role="user", level=2),),
    )

    assert {response: 1}[pickle.loads(pickle.dumps(response))] == 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        response.created = 2
