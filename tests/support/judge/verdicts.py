"""
What may happen to one request at the paid service, by the word that a plan gives it.

Each verdict belongs to one of three classes, for whoever sees the answer and no more:

- `brings_link`: a usable link came, so it is known to be paid, whatever stands beside;
- `is_free`: the service's own words say that nothing was made;
- the rest may be billed, and nobody can know: no answer, half of one, a gateway's page.
"""

import json
import random
from collections.abc import Sequence

# The status, the code, and whether it is billed.
REFUSALS = {
    "refuse": (429, "1302", False),
    "frequency": (429, "1303", False),
    "overload": (429, "1305", False),
    "content": (400, "1301", False),
    "parameter": (400, "1210", False),
    "balance": (429, "1113", False),
    "key": (401, "1000", False),
    "error": (500, "500", False),
    "server": (500, "1234", False),
}
# In the service's own words, and yet it may have been billed.
_OWNED_UP = ("error", "server")
# Billed, and no answer comes: before its first byte, in its middle, or never.
LOSSES = ("lose", "half", "hang")
PAGES = tuple(
    f"page {status} {body}"
    for status in (408, 409, 425, 499, 500, 502, 503, 504, 520)
    for body in ("message", "detail", "status", "html", "text", "empty")
)
# An answer with a link, and something beside it that might hide it.
BESIDE = tuple(
    f"beside {what}"
    for what in ("1302", "1113", "1301", "1234", "flat", "failure", "null", "filter")
)
SEVERAL = tuple(
    f"links {what}" for what in ("two", "three", "same", "empty first", "null last")
)
_ERRORS = ("1302", "1113", "1301", "1234")


def brings_link(verdict: str) -> bool:
    """Tell whether the answer holds a usable link."""
    return verdict == "make" or verdict.startswith(("beside ", "links "))


def is_free(verdict: str) -> bool:
    """Tell whether the answer says, in the service's own words, that nothing is due."""
    return verdict in REFUSALS and verdict not in _OWNED_UP


def is_sent_again(verdict: str) -> bool:
    """Tell whether the service itself asks for one more try (a four-digit 5xx)."""
    return verdict == "server"


def bills(verdict: str) -> bool:
    """Tell whether the request goes into the ledger as paid."""
    return verdict not in REFUSALS


def links(verdict: str) -> int:
    """Count the pictures that are sold with one payment."""
    return {"links two": 2, "links three": 3}.get(verdict, int(brings_link(verdict)))


def envelope(code: str) -> bytes:
    """Write the service's own error."""
    return json.dumps({"error": {"code": code, "message": f"judged {code}"}}).encode()


def page(verdict: str) -> tuple[int, bytes, str]:
    """Write what a gateway says in the service's place: status, body, media type."""
    _, status, shape = verdict.split(" ")
    words = "The upstream server is timing out"
    body, kind = {
        "message": (json.dumps({"message": words}), "application/json"),
        "detail": (json.dumps({"detail": words}), "application/json"),
        # The status stands where a code might, and is none of the service's.
        "status": (json.dumps({"error": {"code": status}}), "application/json"),
        "html": (f"<html><h1>{status} {words}</h1></html>", "text/html"),
        "text": (words, "text/plain"),
        "empty": ("", "text/plain"),
    }[shape]
    return int(status), body.encode(), kind


def answer(verdict: str, urls: Sequence[str]) -> bytes:
    """Write a 2xx answer with links."""
    data: list[object] = [{"url": url} for url in urls]
    told: dict[str, object] = {"created": 1, "data": data}
    what = verdict.partition(" ")[2]
    if what in _ERRORS:
        told["error"] = {"code": what, "message": f"judged {what}"}
    elif what == "flat":
        told |= {"code": "1302", "message": "judged 1302"}
    elif what == "failure":
        told |= {"code": 500, "msg": "judged 500", "success": False}
    elif what == "null":
        told |= {"error": None, "code": None}
    elif what == "filter":
        told["content_filter"] = [{"role": "assistant", "level": 0}]
    elif what == "same":
        data *= 2
    elif what == "empty first":
        data.insert(0, {"url": ""})
    elif what == "null last":
        data.append({"url": None})
    return json.dumps(told).encode()


def drawn(dice: random.Random, kinds: Sequence[str], most: int) -> list[str]:
    """Draw the verdicts of a prompt's next requests; nothing is one as well."""
    return [dice.choice(kinds) for _ in range(dice.randint(0, most))]
