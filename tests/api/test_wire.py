"""What of a request goes out, and nothing else."""

import json

from zai_images import (
    ImageRequest,
)
from zai_images._api.wire import encode


def test_the_defaults_are_sent_explicitly():
    assert json.loads(encode(ImageRequest("a fox"))) == {
        "model": "cogview-4-250304",
        "prompt": "a fox",
        "quality": "standard",
        "size": "1024x1024",
    }


def test_every_field_goes_out_and_the_callers_id_stays_home():
    request = ImageRequest(
        "ein Fuchs im Schnee 🦊",
        model="CogView-4-250304",
        quality="hd",
        size=(1440, 720),
        user_id="user-1",
        extra={"watermark_enabled": False, "nested": {"a": [1]}},
        id="row 1",
    )

    assert json.loads(encode(request)) == {
        "model": "cogview-4-250304",
        "prompt": "ein Fuchs im Schnee 🦊",
        "quality": "hd",
        "size": "1440x720",
        "user_id": "user-1",
        "watermark_enabled": False,
        "nested": {"a": [1]},
    }


def test_an_unknown_model_gets_only_what_was_asked():
    assert json.loads(encode(ImageRequest("a fox", model="x"))) == {
        "model": "x",
        "prompt": "a fox",
    }
