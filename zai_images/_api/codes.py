"""
The business codes of the service, as data: what each means and what to do about it.

Sources: Z.AI's and BigModel's error code pages (2026-07), and for the codes that have
left those pages, the earlier ones. The code decides, not the HTTP status: 429 alone
can mean full capacity, an empty balance, a locked account or a used-up allowance.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from zai_images._api.errors import (
    AccountError,
    APIError,
    AuthenticationError,
    ContentRefusedError,
    QuotaError,
    RateLimitedError,
    RequestRejectedError,
    ServerError,
)


@attrs.frozen
class Code:
    """A business code: its error class, its meaning in plain words, and what to do."""

    error: type[APIError]
    meaning: str
    advice: str
    one_model: bool = False  # bars this model only, not the account


_NEW_KEY = "Check ZAI_API_KEY against the keys in the Z.AI console."
_TOP_UP = (
    "Top up or buy a resource package in the Z.AI console; a coding-plan key also gets "
    "this answer on the general base URL."
)
_SUPPORT = "Sign in to the Z.AI console, or ask Z.AI's support."
_PLAN = "Renew or change the plan in the Z.AI console."
_RESET = "Wait until the allowance is renewed, or change the plan."
_AGAIN = "Try again later; the account's bill tells whether it was paid."
_LATER = "Try again later, or send fewer at once."
_SPARE = "Asking again for the same picture would be refused again."
_FIX = "Correct the request."

# The limiter learns something different from each of these.
TOO_MANY_IN_FLIGHT = "1302"
TOO_OFTEN = "1303"
OVERLOADED = frozenset({"1305", "1312"})
# These show that the key was accepted and only the request is at fault.
ABOUT_THE_REQUEST = frozenset({"1210", "1213", "1214", "1215", "1261"})

CODES: Mapping[str, Code] = MappingProxyType(
    {
        "1000": Code(AuthenticationError, "the key was not accepted", _NEW_KEY),
        "1001": Code(AuthenticationError, "no key reached the service", _NEW_KEY),
        "1002": Code(AuthenticationError, "the key is not a valid one", _NEW_KEY),
        "1003": Code(AuthenticationError, "the key has expired", _NEW_KEY),
        "1004": Code(AuthenticationError, "the key could not be verified", _NEW_KEY),
        "1005": Code(
            AuthenticationError, "the account asks for a second factor", _SUPPORT
        ),
        "1100": Code(ServerError, "the service could not read the account", _AGAIN),
        "1110": Code(AccountError, "the account is not active", _SUPPORT),
        "1111": Code(AccountError, "the account does not exist", _SUPPORT),
        "1112": Code(AccountError, "the account is locked", _SUPPORT),
        "1113": Code(
            AccountError, "the account has no balance or resource package", _TOP_UP
        ),
        "1120": Code(ServerError, "the account is out of reach for now", _AGAIN),
        "1121": Code(AccountError, "the account is locked for violations", _SUPPORT),
        "1200": Code(ServerError, "the service could not carry out the call", _AGAIN),
        "1210": Code(RequestRejectedError, "a parameter is wrong", _FIX),
        "1211": Code(
            RequestRejectedError, "the service does not know this model", _FIX
        ),
        "1212": Code(
            RequestRejectedError, "the model does not support this call", _FIX
        ),
        "1213": Code(RequestRejectedError, "a required field is missing", _FIX),
        "1214": Code(RequestRejectedError, "a field is not valid", _FIX),
        "1215": Code(RequestRejectedError, "two fields exclude each other", _FIX),
        "1220": Code(AccountError, "the account may not use this API", _SUPPORT),
        "1221": Code(RequestRejectedError, "this API was withdrawn", _FIX),
        "1222": Code(RequestRejectedError, "this API does not exist", _FIX),
        "1230": Code(ServerError, "the service failed in the middle of a call", _AGAIN),
        "1231": Code(
            RequestRejectedError, "a request with this id exists already", _SPARE
        ),
        "1234": Code(ServerError, "the service had a network failure", _AGAIN),
        "1261": Code(
            RequestRejectedError, "the prompt is too long", "Shorten the prompt."
        ),
        "1300": Code(
            ContentRefusedError,
            "the request was blocked by the service's policy",
            _SPARE,
        ),
        "1301": Code(
            ContentRefusedError,
            "the prompt or the picture was judged unsafe",
            "Change the prompt; the same one would be refused again.",
        ),
        TOO_MANY_IN_FLIGHT: Code(
            RateLimitedError, "all places of the account are taken", _LATER
        ),
        TOO_OFTEN: Code(RateLimitedError, "requests came too often", _LATER),
        "1304": Code(QuotaError, "the day's calls are used up", _RESET),
        "1305": Code(RateLimitedError, "the model is overloaded for everyone", _LATER),
        "1308": Code(QuotaError, "the plan's usage cap is reached", _RESET),
        "1309": Code(AccountError, "the plan has expired", _PLAN),
        "1310": Code(QuotaError, "the weekly or monthly cap is reached", _RESET),
        "1311": Code(
            AccountError,
            "the plan does not include this model",
            "Use another model, or change the plan.",
            one_model=True,
        ),
        "1312": Code(RateLimitedError, "the model is busy", _LATER),
        "1313": Code(AccountError, "the fair-use policy stopped the account", _SUPPORT),
        "1314": Code(AccountError, "the enterprise plan has expired", _PLAN),
        "1315": Code(AccountError, "the key is not of the kind the plan needs", _PLAN),
        "1316": Code(QuotaError, "the 5-hour cap is reached", _RESET),
        "1317": Code(QuotaError, "the 7-day cap is reached", _RESET),
        "1318": Code(QuotaError, "the plan's 5-hour cap is reached", _RESET),
        "1319": Code(QuotaError, "the plan's 7-day cap is reached", _RESET),
        "1320": Code(QuotaError, "the team's 5-hour cap is reached", _RESET),
        "1321": Code(QuotaError, "the team's 7-day cap is reached", _RESET),
        # Sent by a gateway in front of the service, even with HTTP 200.
        "401": Code(AuthenticationError, "the key was not accepted", _NEW_KEY),
    }
)


_STATUSES = {
    401: Code(AuthenticationError, "the key was not accepted", _NEW_KEY),
    403: Code(AccountError, "the account may not do this", _SUPPORT),
    429: Code(RateLimitedError, "the service refused for now", _LATER),
}
# A gateway says these of requests that it has passed on, as it does any 5xx.
_PASSED_ON = frozenset({408, 409, 425, 499})


def is_lost(code: str | None, status: int) -> bool:
    """Tell whether a gateway speaks, which cannot know if the picture was made."""
    is_own = re.fullmatch(r"\d{4}", code or "", re.ASCII) is not None
    if status in _PASSED_ON:
        return not (is_own and code in CODES)
    return status >= 500 and not is_own


def by_status(status: int) -> Code | None:
    """Interpret an HTTP error status whose code is unlisted; None if nothing fits."""
    if status in _STATUSES:
        return _STATUSES[status]
    if 300 <= status < 400:
        return Code(
            RequestRejectedError,
            "the address redirects, and the key follows no redirect",
            "Check the base URL (ZAI_BASE_URL).",
        )
    if 400 <= status < 500:
        return Code(RequestRejectedError, "the service rejected the request", _FIX)
    if status >= 500:
        return Code(ServerError, "the service failed", _AGAIN)
    return None
