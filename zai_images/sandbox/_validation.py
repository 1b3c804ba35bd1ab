"""
The rules of the API page, read from the page and from nothing of the client's.

Where the page is silent the sandbox is strict: a client that passes here has sent
nothing the page does not promise to take.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

MODEL: Final = "cogview-4-250304"

_QUALITIES = ("hd", "standard")
_SIDES = range(512, 2048 + 1, 16)
_MOST_PIXELS = 2**21
_USER_ID_LENGTHS = range(6, 128 + 1)
# The recommended sizes keep the custom rule too, so one rule covers both.
_SIZE = re.compile(r"([1-9][0-9]{2,3})x([1-9][0-9]{2,3})")
_PREFIX = "Bearer "


class RefusalError(Exception):
    """Raised with a business code and a message when the page forbids a request."""


@attrs.frozen(kw_only=True)
class Order:
    """A request that keeps every rule, with the page's defaults filled in."""

    prompt: str
    model: str
    quality: str
    size: str
    user_id: str | None
    body: Mapping[str, Any]


def check_key(authorization: str | None, api_key: str) -> None:
    """Refuse a request without the key in the page's form, `Bearer <your api key>`."""
    header = (authorization or "").strip()
    if not header or header == _PREFIX.strip():
        raise RefusalError("1001", "No Authorization header: send Bearer <key>.")
    if not header.startswith(_PREFIX) or header[len(_PREFIX) :].strip() != api_key:
        raise RefusalError("1000", "Authentication failed: the key is not valid.")


def check_encoding(encoding: str | None) -> None:
    """Refuse a body in any coding: the page speaks of plain JSON alone."""
    if encoding is not None and encoding.strip().lower() != "identity":
        raise RefusalError("1210", "Content-Encoding: the body must be plain JSON.")


def read_order(content_type: str, raw: bytes | None) -> Order:
    """Turn the body into an order, or refuse it; None is one too large to read."""
    if raw is None:
        raise RefusalError("1261", "prompt: the body is larger than 1 MiB.")
    body = _read_object(content_type, raw)
    model = _required(body, "model")
    if model.lower() != MODEL:  # the page's own example writes cogView-4-250304
        raise RefusalError("1211", f"model: unknown model {model!r}.")
    prompt = _required(body, "prompt")
    if not prompt.strip():
        raise RefusalError("1214", "prompt: must not be blank.")
    order = Order(
        prompt=prompt,
        model=MODEL,
        quality=_optional(body, "quality", "standard"),
        size=_optional(body, "size", "1024x1024"),
        user_id=_required(body, "user_id") if "user_id" in body else None,
        body=body,
    )
    _check_quality(order.quality)
    _check_size(order.size)
    if order.user_id is not None and len(order.user_id) not in _USER_ID_LENGTHS:
        raise RefusalError("1214", "user_id: must have 6 to 128 characters.")
    return order


def _read_object(content_type: str, raw: bytes) -> dict[str, Any]:
    if content_type.lower() != "application/json":
        raise RefusalError("1210", "Content-Type: must be application/json.")
    try:
        body = json.loads(
            raw.decode(),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise RefusalError("1210", f"The body is not valid JSON: {error}.") from None
    if not isinstance(body, dict):
        raise RefusalError("1210", "The body must be a JSON object.")
    return body


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is given twice")
    return fields


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _required(body: Mapping[str, Any], name: str) -> str:
    if name not in body:
        raise RefusalError("1213", f"{name}: this field is required.")
    return _text(name, body[name])


def _optional(body: Mapping[str, Any], name: str, default: str) -> str:
    return _text(name, body.get(name, default))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise RefusalError("1214", f"{name}: must be a string.")
    # JSON can escape half of a surrogate pair, which is no character at all.
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise RefusalError("1214", f"{name}: holds a lone surrogate.")
    return value


def _check_quality(quality: str) -> None:
    if quality not in _QUALITIES:
        raise RefusalError("1214", "quality: must be hd or standard.")


def _check_size(size: str) -> None:
    match = _SIZE.fullmatch(size)
    if match is None:
        raise RefusalError("1214", "size: must be written as 1024x1024.")
    width, height = int(match[1]), int(match[2])
    if width not in _SIDES or height not in _SIDES:
        raise RefusalError(
            "1214", "size: both sides must be 512 to 2048 and divisible by 16."
        )
    if width * height > _MOST_PIXELS:
        raise RefusalError("1214", "size: at most 2^21 pixels.")
