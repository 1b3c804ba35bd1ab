"""The OpenAPI document of the endpoint, as it is shipped and as it is served."""

import json
from importlib.resources import files
from typing import Final

from zai_images.sandbox._answers import encode

PATH: Final = "/openapi.json"


def _served() -> bytes:
    text = files("zai_images.sandbox").joinpath("openapi.json").read_text("utf-8")
    document = json.loads(text)
    # Relative to where it was fetched: a tool that is pointed at the sandbox must
    # not go on to the service, which costs money.
    document["servers"] = [{"url": "/api"}]
    return encode(document)


DOCUMENT: Final = _served()
