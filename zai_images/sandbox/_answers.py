"""The bodies that the sandbox answers with, as the real gateway writes them."""

import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from importlib.resources import files
from typing import Any, Final

_BEIJING = timezone(timedelta(hours=8))

# The HTTP status of each business code, from the vendor's table of errors.
_STATUSES: Final = {
    code: status
    for status, codes in {
        400: "1210 1211 1212 1213 1214 1215 1221 1222 1231 1261 1300 1301",
        401: "401 1000 1001 1002 1003 1004 1005 1110 1111 1112 1121",
        403: "403 1220",
        429: "429 1113 1302 1303 1304 1305 1308 1309 1310 1311 1312 1313 1314 1315 "
        "1316 1317 1318 1319 1320 1321",
        500: "500 1100 1120 1200 1230 1234",
    }.items()
    for code in codes.split()
}
_CODES: Final = {400: "1210", 401: "1000", 403: "1220", 429: "1302"}
_MESSAGES: Final = {
    "500": "Internal error.",
    "1000": "Authentication failed: the key is not valid.",
    "1003": "The token has expired.",
    "1112": "The account is locked.",
    "1113": "Insufficient balance or no resource package. Please recharge.",
    "1121": "The account is locked for violations.",
    "1220": "No permission to use this API.",
    "1234": "Network error, please contact customer service.",
    "1261": "The prompt is too long.",
    "1301": "The input or the output may contain unsafe or sensitive content.",
    "1302": "Rate limit reached for requests: too many at once.",
    "1303": "Rate limit reached for requests: too often.",
    "1304": "The daily call limit is reached.",
    "1305": "The service may be temporarily overloaded, please try again later.",
}

NOT_FOUND: Final = b'{"code":500,"msg":"404 NOT_FOUND","success":false}'
HTML: Final = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"
    b"<body><center><h1>502 Bad Gateway</h1></center></body>\r\n</html>\r\n"
)
MISSING_PICTURE: Final = b'{"RetCode":-148654,"ErrMsg":"file not exist"}'
WRONG_METHOD: Final = b'{"RetCode":-405,"ErrMsg":"method not allowed"}'
BAD_SIGNATURE: Final = b'{"RetCode":-148643,"ErrMsg":"no authorization found"}'


def status_of(code: str) -> int:
    """Return the HTTP status that goes with a business code."""
    return _STATUSES.get(code, 400)


def code_of(status: int) -> str:
    """Return a plausible code for an error of which only the status is given."""
    return _CODES.get(status, str(status))


def new_request_id() -> str:
    """Make an id as the service does: Beijing time in 14 digits, then 16 hex."""
    return f"{datetime.now(_BEIJING):%Y%m%d%H%M%S}{secrets.token_hex(8)}"


def encode(value: object) -> bytes:
    """Write JSON as compactly as the service does."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def error_body(
    code: str,
    message: str | None = None,
    content_filter: Iterable[Mapping[str, Any]] = (),
) -> bytes:
    """Write the error envelope; its content filter is in camelCase, as it is there."""
    text = _MESSAGES.get(code, "The request failed.") if message is None else message
    envelope: dict[str, object] = {"error": {"code": code, "message": text}}
    if items := [dict(item) for item in content_filter]:
        envelope["contentFilter"] = items
    return encode(envelope)


_SHIPPED = files("zai_images.sandbox").joinpath("openapi.json").read_text("utf-8")
# The endpoint's OpenAPI document, its server relative to where it was fetched: a tool
# that is pointed at the sandbox must not go on to the service, which costs money.
OPENAPI: Final = encode({**json.loads(_SHIPPED), "servers": [{"url": "/api"}]})
