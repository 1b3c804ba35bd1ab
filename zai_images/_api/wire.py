"""
JSON in and out: the one place that knows cattrs.

Nothing is coerced: a null where a text belongs is a fault, never the word "None".
"""

import json
import math
import re
from typing import Any

from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from zai_images._api.frozen_json import NOTHING, FrozenJSON
from zai_images._api.request import ImageRequest
from zai_images._api.response import ContentFilter, ImageResponse, ImageURL, RawResponse


def _strictly(kind: type) -> Any:  # noqa: ANN401 - a hook for cattrs
    def check(value: object, _: object) -> object:
        if type(value) is not kind:
            raise ValueError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    return check


def _converter() -> Converter:
    """Build a converter that changes nothing: cattrs alone makes null the word None."""
    converter = Converter()
    for kind in (str, int, float, bool):
        converter.register_structure_hook(kind, _strictly(kind))
    converter.register_unstructure_hook(
        ImageRequest,
        make_dict_unstructure_fn(
            ImageRequest,
            converter,
            quality=override(unstruct_hook=_words, omit_if_default=True),
            size=override(unstruct_hook=_words, omit_if_default=True),
            user_id=override(omit_if_default=True),
            id=override(omit=True),
            extra=override(omit=True),
        ),
    )
    return converter


def _words(value: object) -> str:
    # Not str() of a text: of an enumeration's member that is its name, not its value.
    return str.__str__(value) if isinstance(value, str) else str(value)


_CONVERTER = _converter()
_WRITE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_UNSTRUCTURE_REQUEST = _CONVERTER.get_unstructure_hook(ImageRequest)
_STRUCTURE = {kind: _CONVERTER.get_structure_hook(kind) for kind in (str, int)}


def encode(request: ImageRequest) -> bytes:
    """Write a request as the JSON body that goes out, documented fields first."""
    body: dict[str, Any] = _UNSTRUCTURE_REQUEST(request)
    if request.extra is not NOTHING:
        body |= request.extra
    return _WRITE(body).encode()


def read_picture(body: dict[str, Any], raw: RawResponse) -> ImageResponse | None:
    """
    Take the picture out of an answer, or None where there is no usable one.

    What is understood is taken out of `body`. Only a link makes it usable. A fault in
    any other field is no reason to throw away what was paid for: such a field counts as
    absent and stays in `extra` as it came.
    """
    images = _images(body.get("data"))
    if not images or body.get("error") or body.get("success") is False:
        return None
    del body["data"]
    created = _take(body, "created", int)
    content_filter = _take_content_filter(body)
    request_id = _take(body, "request_id", str) or raw.request_id
    return ImageResponse(
        created=created,
        images=images,
        content_filter=content_filter,
        request_id=request_id or text_or_none(body.get("id")),
        extra=_rest(body),
    )


def _take(fields: dict[str, Any], name: str, kind: type[str | int]) -> Any:  # noqa: ANN401 - of that kind, or None
    if name not in fields:
        return None
    try:
        value: Any = _STRUCTURE[kind](fields[name], kind)
    except ValueError:
        return None
    del fields[name]
    return value


def _take_content_filter(fields: dict[str, Any]) -> tuple[ContentFilter, ...]:
    if "content_filter" not in fields and "contentFilter" not in fields:
        return ()
    found = fields.get("content_filter", fields.get("contentFilter"))
    content_filter = read_content_filter(found) if found else ()
    if content_filter or found in (None, []):
        fields.pop("content_filter", None)
        fields.pop("contentFilter", None)
    return content_filter


def _images(data: object) -> tuple[ImageURL, ...]:
    if not isinstance(data, list):
        return ()
    return tuple(
        [
            ImageURL(
                url=item["url"],
                extra=_rest({k: v for k, v in item.items() if k != "url"})
                if len(item) > 1
                else NOTHING,
            )
            for item in data
            if isinstance(item, dict) and text_or_none(item.get("url"))
        ]
    )


def _rest(fields: dict[str, Any]) -> FrozenJSON:
    try:
        return FrozenJSON(_finite(fields)) if fields else NOTHING
    except RecursionError:  # too deep to keep, and no reason to lose the picture
        return NOTHING


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Make text of the numbers that Python reads and JSON cannot say (NaN, 1e999)."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def read_content_filter(value: object) -> tuple[ContentFilter, ...]:
    items = value if isinstance(value, list) else []
    return tuple(
        ContentFilter(role=item["role"], level=_level(item.get("level")))
        for item in items
        if isinstance(item, dict) and isinstance(item.get("role"), str)
    )


def _level(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}", value, re.ASCII):
        return int(value)
    return value if type(value) is int else None
