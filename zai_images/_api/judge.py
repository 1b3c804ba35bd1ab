"""
The judging of an answer, without I/O.

A usable link is a picture, whatever stands beside it. Then the business code decides;
the HTTP status counts only where the code is unknown. An error can come with HTTP 200,
in five envelopes, or as a page of HTML.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from zai_images._api.codes import CODES, Code, by_status, is_lost
from zai_images._api.errors import (
    AnswerLostError,
    APIError,
    ContentRefusedError,
    QuotaError,
    Reply,
    RequestRejectedError,
    ResponseError,
)
from zai_images._api.response import ImageResponse, RawResponse
from zai_images._api.wire import read_content_filter, read_picture, text_or_none

_QUOTED = 300  # characters of the service's words in an error
_KEPT = 2000  # characters of an answer nobody understood
_BEIJING = timezone(timedelta(hours=8))
_REJECTED = Code(
    RequestRejectedError,
    "the answer has a strange status",
    "Check the base URL (ZAI_BASE_URL).",
)


def judge(raw: RawResponse, *, now: datetime) -> ImageResponse:
    """
    Return the picture's answer; `now`, the wall clock, dates a Retry-After.

    Raises:
        APIError: The service said no, or that it failed; the class says which.
        ResponseError: A 2xx without a usable picture, or with an unlisted code.
        AnswerLostError: It cannot tell what became of the picture: a 2xx that is no
            JSON, a gateway's 408 or 503, a 5xx without a business code.
    """
    body = _read(raw)
    if body and (found := read_picture(body, raw)):
        return found
    code, message = _envelope(body or {})
    is_page = body is None
    if is_lost(code, raw.status) or (is_page and 200 <= raw.status < 300):
        raise _lost(raw)
    listed = CODES.get(code or "") or by_status(raw.status)
    if listed is None and is_page:
        listed = _REJECTED  # refused on the way: the service never received it
    if listed is not None:
        raise _error(listed, raw, body or {}, code, message, now)
    raise _useless(raw, body or {}, code, message)


def _read(raw: RawResponse) -> dict[str, Any] | None:
    """Decode an answer; None where it is no JSON, as a proxy's page is none."""
    try:
        value = _DECODE(raw.body.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else {}


def _envelope(fields: Mapping[str, Any]) -> tuple[str | None, str]:
    """Find the code and the message in any of the service's error envelopes."""
    error = fields.get("error")
    if isinstance(error, list) and error:
        error = error[0]
    if isinstance(error, dict):
        fields = dict(fields) | {k: v for k, v in error.items() if v is not None}
    elif isinstance(error, str):
        fields = {"message": error} | dict(fields)
    code = fields.get("code")
    if type(code) not in (str, int) or code == "":
        code = None
    message = fields.get("message") or fields.get("msg")
    return None if code is None else _shown(code, 40), _shown(message)


def _shown(message: object, most: int = _QUOTED) -> str:
    """Fit the service's text into one line of a terminal or a log."""
    text = " ".join(str(message or "").split())
    text = "".join(char for char in text if char.isprintable())
    return text if len(text) <= most else text[: most - 1] + "…"


_COST = {"no": "Nothing was billed.", "maybe": "It may have been billed."}


def _error(  # noqa: PLR0913, PLR0917 - the parts of one answer
    listed: Code,
    raw: RawResponse,
    body: Mapping[str, Any],
    code: str | None,
    message: str,
    now: datetime,
) -> APIError:
    said = f': "{message}"' if message else ""
    number = f"code {code}, HTTP {raw.status}" if code else f"HTTP {raw.status}"
    sentence = listed.meaning[0].upper() + listed.meaning[1:]
    text = f"{sentence} ({number}{said}). {_COST[listed.error.billed]} {listed.advice}"
    reply: Reply = {
        "status": raw.status,
        "code": code,
        "message": message,
        "request_id": _request_id(body, raw),
        "retry_after": seconds_to_wait(raw.retry_after, now),
    }
    error = listed.error(text, **reply)
    if listed.one_model:
        error.stops = "model"
    if isinstance(error, QuotaError):
        error.resets_at = _reset_time(message)
    if isinstance(error, ContentRefusedError):
        found = body.get("contentFilter", body.get("content_filter"))
        error.content_filter = read_content_filter(found)
    return error


def _request_id(body: Mapping[str, Any], raw: RawResponse) -> str | None:
    inner = body.get("error")
    found = body.get("request_id") or (
        inner.get("request_id") if isinstance(inner, dict) else None
    )
    return text_or_none(found) or raw.request_id


def _reset_time(message: str) -> datetime | None:
    match = re.search(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d", message)
    if match is None:
        return None
    try:
        return datetime.fromisoformat(match[0]).replace(tzinfo=_BEIJING)
    except ValueError:
        return None


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) < 300 else digits


# Python refuses to parse an integer of several thousand digits; it stays a string.
_DECODE = json.JSONDecoder(parse_int=_whole).decode


def _begins(raw: RawResponse) -> str:
    """Quote an answer without the queries of its links, which may be signatures."""
    return re.sub(r"\?[^\s\"']+", "?***", _kept(raw))[:_QUOTED]


def _kept(raw: RawResponse) -> str:
    return _shown(raw.body[: _KEPT * 4].decode(errors="replace"), _KEPT)


def _lost(raw: RawResponse) -> AnswerLostError:
    return AnswerLostError(
        f"The answer (HTTP {raw.status}) is not the service's own reply. The picture "
        "may have been made and billed, so it was not asked for again; look at the "
        f"account's bill. It began: {_begins(raw)!r}",
        body=_kept(raw),
    )


def _useless(
    raw: RawResponse, body: Mapping[str, Any], code: str | None, message: str
) -> ResponseError:
    what = (
        "has no usable link to a picture"
        if code is None
        else f'has the unlisted code {code} ("{message}")'
    )
    return ResponseError(
        f"The answer (HTTP {raw.status}) {what}. It may have been billed, so the "
        "picture was not asked for again. Check the base URL (it ends in /paas/v4) and "
        f"the account's bill. It began: {_begins(raw)!r}",
        status=raw.status,
        code=code,
        request_id=_request_id(body, raw),
        body=_kept(raw),
    )


def seconds_to_wait(value: str | None, now: datetime) -> float | None:
    """Parse a Retry-After header, seconds or a date; None if it is neither."""
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError, TypeError):
        return None
    if date.tzinfo is None:  # "-0000" says: UTC, of unknown origin
        date = date.replace(tzinfo=now.tzinfo)
    return max(0.0, (date - now).total_seconds())
