"""
JSON in and out: the one module that uses cattrs.

Nothing is coerced: a null where a string belongs counts as absent.
"""

import json
import math
import re
from typing import Any

from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from zai_images._api.frozen_json import NOTHING, FrozenJSON
from zai_images._api.request import WIRE_FIELDS, ImageRequest
from zai_images._api.response import ContentFilter, ImageResponse, ImageURL, RawResponse


def _words(value: object) -> str:
    # str() of a `str, Enum` member gives its name; this gives its value.
    return str.__str__(value) if isinstance(value, str) else str(value)


_UNSTRUCTURE_REQUEST = make_dict_unstructure_fn(
    ImageRequest,
    Converter(),
    quality=override(unstruct_hook=_words, omit_if_default=True),
    size=override(unstruct_hook=_words, omit_if_default=True),
    user_id=override(omit_if_default=True),
    id=override(omit=True),
    extra=override(omit=True),
)
_LINK = re.compile(r"\s*(https?|data):", re.IGNORECASE)
_WRITE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode(request: ImageRequest) -> bytes:
    """Encode a request as the JSON body to send, documented fields first."""
    body: dict[str, Any] = _UNSTRUCTURE_REQUEST(request)
    if request.extra is not NOTHING:
        body |= request.extra
    return _WRITE(body).encode()


def decode(body: str, caller_id: str | int) -> ImageRequest:
    """Decode an encoded body; the `id` is never in it, so the caller gives it."""
    fields = json.loads(body)
    known = {name: fields.pop(name) for name in WIRE_FIELDS if name in fields}
    return ImageRequest(**known, extra=fields, id=caller_id)


def read_picture(body: dict[str, Any], raw: RawResponse) -> ImageResponse | None:
    """
    Return the picture's answer, or None if there is no usable link.

    A usable link was paid for, under any status and beside any error. All are kept.
    A malformed field is no reason to discard what was paid for: it counts as absent and
    stays in `extra` unchanged.
    """
    images, error = _images(body.get("data")), body.get("error")
    if not images and isinstance(error, dict):
        images = _images(error.get("data"))
    elif images:
        body = {name: value for name, value in body.items() if name != "data"}
    if error or body.get("success") is False or raw.status >= 300:
        # Beside a refusal any other word ("none") is no link.
        images = tuple(image for image in images if _LINK.match(image.url))
    if not images:
        return None
    created = _pop(body, "created", int)
    content_filter = _pop_content_filter(body)
    request_id = _pop(body, "request_id", str) or raw.request_id
    return ImageResponse(
        created=created,
        images=images,
        content_filter=content_filter,
        request_id=request_id or text_or_none(body.get("id")),
        extra=_rest(body),
    )


def _pop(fields: dict[str, Any], name: str, kind: type) -> Any:  # noqa: ANN401 - of that kind, or None
    """Pop a field that has exactly this type; leave any other and return None."""
    return fields.pop(name) if type(fields.get(name)) is kind else None


def _pop_content_filter(fields: dict[str, Any]) -> tuple[ContentFilter, ...]:
    if "content_filter" not in fields and "contentFilter" not in fields:
        return ()
    found = fields.get("content_filter", fields.get("contentFilter"))
    content_filter = read_content_filter(found) if found else ()
    if content_filter or found in (None, []):
        fields.pop("content_filter", None)
        fields.pop("contentFilter", None)
    return content_filter


def _images(data: object) -> tuple[ImageURL, ...]:
    """Find the links; some gateways send them bare."""
    if not isinstance(data, list):
        return ()
    data = [
        {"url": one} if isinstance(one, str) and _LINK.match(one) else one
        for one in data
    ]
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
    except (RecursionError, ValueError):
        return NOTHING  # too deep to keep, and no reason to lose the picture


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Turn numbers that Python reads but JSON lacks (NaN, 1e999) into strings."""
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
