"""The doctor's free checks: the key, the address, and what the service says to both."""

import os
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs

from zai_images import (
    AccountError,
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    ImageSession,
    QuotaError,
    RateLimitedError,
    ServiceCheck,
    SessionConfig,
    ZaiImagesError,
)

_NO_KEY = "Make a key in the Z.AI console, or add --sandbox to do without."
_NO_BALANCE = "Whether there is a balance, this does not tell; --live does."


@attrs.frozen(kw_only=True)
class Check:
    """
    What a check found.

    Attributes:
        name: What was looked at.
        status: `ok`, `note` (fine, but look) or `problem`.
        detail: What was found.
        advice: What to do about it.
        account: It takes a person with access to the account.
        data: The same as numbers and words, for programs.
    """

    name: str
    status: Literal["ok", "note", "problem"]
    detail: str
    advice: str = ""
    account: bool = False
    data: dict[str, Any] = attrs.field(factory=dict)


def check_key() -> tuple[Check, str | None]:
    """Look whether there is a key, without showing any of it."""
    detail, advice = "ZAI_API_KEY is not set", _NO_KEY
    try:
        key = SessionConfig(api_key=os.environ.get("ZAI_API_KEY")).api_key
    except ConfigurationError as error:
        key, detail, advice = None, str(error), ""
    if key is not None:
        return Check(name="key", status="ok", detail="ZAI_API_KEY is set"), key
    problem = Check(
        name="key", status="problem", detail=detail, advice=advice, account=True
    )
    return problem, None


def check_address() -> tuple[Check, str | None]:
    """Look whether the base URL can be one of this API."""
    given = os.environ.get("ZAI_BASE_URL")
    usual = SessionConfig().base_url
    try:
        url = SessionConfig(base_url=given or usual).base_url
    except ConfigurationError as error:
        return Check(name="address", status="problem", detail=str(error)), None
    path = urlsplit(url).path
    if path.endswith("/coding/paas/v4"):
        doubt = (
            "This is the coding plan's address; pictures are made and billed at "
            f"{usual}."
        )
    elif not path.endswith("/paas/v4"):
        doubt = "The API's base URLs end in /paas/v4."
    else:
        source = "ZAI_BASE_URL" if given else "the default"
        return Check(name="address", status="ok", detail=f"{url} ({source})"), url
    advice = f"{doubt} Correct or unset ZAI_BASE_URL."
    return Check(name="address", status="problem", detail=url, advice=advice), url


async def check_service(config: SessionConfig) -> Check:
    """Ask the service for free, and say what its answer means."""
    async with ImageSession(config) as session:
        found = await session.check()
        maybe_billed = session.stats().maybe_billed > 0
    took = found.latency or 0.0
    data = {
        "seconds": round(took, 3),
        "code": getattr(found.error, "code", None),
        "status": getattr(found.error, "status", None),
    }
    if maybe_billed:
        check = _service(
            "note",
            "an empty prompt was answered with a picture, which may have been billed",
            "The service does not check prompts as its page says; please report it.",
        )
    elif found.ok:
        check = _fine(found, took)
    else:
        check = _problem(found.error)
    return attrs.evolve(check, data=data)


def _fine(found: ServiceCheck, took: float) -> Check:
    error = found.error
    if isinstance(error, RateLimitedError):
        return _service("note", str(error), "The key is fine; the service is busy.")
    if error is None:
        detail = f"it took the key and listed its models, which is free ({took:.2f} s)"
    else:
        detail = (
            "it took the key and refused an empty prompt, which is free (code "
            f"{getattr(error, 'code', None)}, {took:.2f} s)"
        )
    return _service("ok", detail, _NO_BALANCE)


def _problem(error: ZaiImagesError | None) -> Check:
    if needs_person(error):
        return _service("problem", str(error), account=True)
    if isinstance(error, ConnectError):
        return _service("problem", str(error))
    return _service("problem", str(error), "Look at the base URL (ZAI_BASE_URL).")


def needs_person(error: ZaiImagesError | None) -> bool:
    """Tell what only a person with access to the account can mend."""
    return isinstance(error, AuthenticationError | AccountError | QuotaError)


def _service(
    status: Literal["ok", "note", "problem"],
    detail: str,
    advice: str = "",
    *,
    account: bool = False,
) -> Check:
    return Check(
        name="service", status=status, detail=detail, advice=advice, account=account
    )
