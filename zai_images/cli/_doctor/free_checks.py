"""The doctor's free checks: the key, the address, and what the service says to both."""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs

from zai_images._api.errors import (
    AccountError,
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    ContentRefusedError,
    QuotaError,
    RateLimitedError,
    RequestRejectedError,
    ZaiImagesError,
)
from zai_images._api.judge import judge
from zai_images._api.request import DEFAULT_MODEL
from zai_images._api.response import ImageResponse
from zai_images._config import DEFAULT_BASE_URL, SessionConfig, Timeouts
from zai_images._http.transport import AiohttpTransport, Transport
from zai_images._redact import Secret

# What says that the request was read and only its prompt is at fault.
_ABOUT_THE_PROMPT = frozenset({"1210", "1213", "1214", "1215", "1261"})
_FREE_BODY = b'{"model":"%b","prompt":""}' % DEFAULT_MODEL.encode()
_PATIENCE = 30.0  # seconds


@attrs.frozen(kw_only=True)
class Check:
    """
    Hold what a check found.

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


def check_key() -> tuple[Check, Secret | None]:
    """Look whether there is a key, without showing any of it."""
    try:
        key = SessionConfig(api_key=os.environ.get("ZAI_API_KEY")).api_key
    except ConfigurationError as error:
        return Check(
            name="key", status="problem", detail=str(error), account=True
        ), None
    if key is None:
        check = Check(
            name="key",
            status="problem",
            detail="ZAI_API_KEY is not set",
            advice="Make a key in the Z.AI console, or add --sandbox to do without.",
            account=True,
        )
        return check, None
    return Check(name="key", status="ok", detail="ZAI_API_KEY is set"), key


def check_address() -> tuple[Check, str | None]:
    """Look whether the base URL can be one of this API."""
    given = os.environ.get("ZAI_BASE_URL")
    try:
        url = SessionConfig(base_url=given or DEFAULT_BASE_URL).base_url
    except ConfigurationError as error:
        return Check(name="address", status="problem", detail=str(error)), None
    path = urlsplit(url).path
    if path.endswith("/coding/paas/v4"):
        return _doubt(
            url,
            "This is the coding plan's address; pictures are made and billed at "
            f"{DEFAULT_BASE_URL}.",
        ), url
    if not path.endswith("/paas/v4"):
        return _doubt(url, "The API's base URLs end in /paas/v4."), url
    source = "ZAI_BASE_URL" if given else "the default"
    return Check(name="address", status="ok", detail=f"{url} ({source})"), url


def _doubt(url: str, advice: str) -> Check:
    return Check(
        name="address",
        status="problem",
        detail=url,
        advice=f"{advice} Correct or unset ZAI_BASE_URL.",
    )


async def post(
    transport: Transport, body: bytes
) -> tuple[ImageResponse | ZaiImagesError, float]:
    """Send one request, once; return the verdict and the seconds it took."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    try:
        raw = await transport.post(body, on_write=lambda: None)
        took = loop.time() - start
        return judge(raw, now=datetime.now(UTC)), took
    except ZaiImagesError as error:
        transport.scrub(error)
        return error, loop.time() - start


async def check_service(config: SessionConfig) -> Check:
    """Ask for a picture of nothing: what is refused is free, and the refusal tells."""
    patient = attrs.evolve(config, timeouts=Timeouts(total=_PATIENCE))
    transport = AiohttpTransport(patient)
    try:
        verdict, took = await post(transport, _FREE_BODY)
    finally:
        await transport.aclose()
    found = {
        "seconds": round(took, 3),
        "code": getattr(verdict, "code", None),
        "status": getattr(verdict, "status", None),
    }
    return attrs.evolve(_diagnosis(verdict, took), data=found)


def _diagnosis(verdict: ImageResponse | ZaiImagesError, took: float) -> Check:
    if isinstance(verdict, ImageResponse):
        return _service(
            "note",
            "an empty prompt was answered with a picture, which may have been billed",
            "The service does not check prompts as its page says; please report it.",
        )
    if isinstance(verdict, AuthenticationError | AccountError | QuotaError):
        return _service("problem", str(verdict), account=True)
    if isinstance(verdict, ContentRefusedError) or (
        isinstance(verdict, RequestRejectedError) and verdict.code in _ABOUT_THE_PROMPT
    ):
        return _service(
            "ok",
            f"it took the key and refused an empty prompt, which is free (code "
            f"{verdict.code}, {took:.2f} s)",
            "Whether there is a balance, this does not tell; --live does.",
        )
    if isinstance(verdict, RateLimitedError):
        return _service("note", str(verdict), "The key is fine; the service is busy.")
    if isinstance(verdict, ConnectError):
        return _service("problem", str(verdict))
    return _service("problem", str(verdict), "Look at the base URL (ZAI_BASE_URL).")


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
