"""
The free check: does the service answer, and does it accept the key.

Z.AI's own hosts and a server on this machine are asked for a picture of an empty
prompt: the service looks at the key first and then refuses the prompt, which is free.
What another host makes of an empty prompt, and what it bills, nobody knows. Such a host
is asked for its list of models.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime

import attrs

from zai_images._api.errors import (
    AccountError,
    AuthenticationError,
    Billed,
    ConfigurationError,
    ConnectError,
    ContentRefusedError,
    QuotaError,
    RateLimitedError,
    RequestRejectedError,
    ServerError,
    TransportError,
    ZaiImagesError,
)
from zai_images._api.judge import judge
from zai_images._api.request import DEFAULT_MODEL
from zai_images._api.response import RawResponse
from zai_images._config import SessionConfig
from zai_images._http.transport import AiohttpTransport, Transport, answer_lost

EMPTY_PROMPT = b'{"model":"%b","prompt":""}' % DEFAULT_MODEL.encode()
MODELS_PATH = "/models"
PATIENCE = 30.0  # seconds
# What says that the request was read and only its prompt is at fault.
_ABOUT_THE_PROMPT = frozenset({"1210", "1213", "1214", "1215", "1261"})
_REFUSED = "The service took the key and refused the empty prompt, which is free."
_LISTED = "The service took the key and listed its models, which is free."
_BUSY = "The service took the key and is busy."
_PICTURE = "An empty prompt was answered with a picture, which may have been billed."
_NOT_AGAIN = (
    "Nothing was sent: an empty prompt was answered with a picture before, which may "
    "be billed."
)
_SCRIPTED = "Nothing was sent: the answers of this session are scripted."


@attrs.frozen(kw_only=True)
class ServiceCheck:
    """
    The result of a free check of the key and the service.

    Attributes:
        ok: The service answers and accepts the key. Whether there is a balance, no free
            check can tell.
        reason: What was found, in a sentence.
        latency: Seconds until it was found; None where nothing was sent.
        error: The refusal or the failure that was met, with what to do about it. It is
            also there where `ok` rests on a refusal; None where there was none.
    """

    ok: bool
    reason: str
    latency: float | None = None
    error: ZaiImagesError | None = None


class ServiceChecker:
    """
    The free checks of one session.

    They take no place, no budget and no second try.

    Args:
        config: The session's.
        settled: Told that a check may have been billed: it was answered with a picture.
            No empty prompt is sent after that.
    """

    def __init__(
        self, config: SessionConfig, settled: Callable[[Billed, float | None], None]
    ) -> None:
        self._config = config
        self._settled = settled
        self._takes_empty_prompts = False

    async def check(self, transport: Transport) -> ServiceCheck:
        """Ask the service, for free; what is found is returned and never raised."""
        if not isinstance(transport, AiohttpTransport):
            return ServiceCheck(ok=True, reason=_SCRIPTED)
        if self._takes_empty_prompts:
            return ServiceCheck(ok=True, reason=_NOT_AGAIN)
        ask = self._ask_for_nothing if self._is_known() else self._ask_for_models
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            found = await ask(transport)
        except ZaiImagesError as error:
            transport.scrub(error)
            # Without the frames that hold the answer, which may quote the key.
            error.__context__ = None
            found = self._judged(error.with_traceback(None))
        return attrs.evolve(found, latency=loop.time() - begun)

    def _is_known(self) -> bool:
        """Tell whether the host is known to refuse an empty prompt for free."""
        return f".{self._config.host}".endswith(".z.ai") or self._config.loopback

    async def _ask_for_nothing(self, transport: AiohttpTransport) -> ServiceCheck:
        sent: list[bool] = []
        try:
            async with asyncio.timeout(PATIENCE):
                raw = await transport.post(
                    EMPTY_PROMPT, on_write=lambda: sent.append(True)
                )
        except TimeoutError:
            if sent:
                raise answer_lost(f"no complete answer within {PATIENCE:g} s") from None
            raise self._no_answer() from None
        judge(raw, now=datetime.now(UTC))
        self._takes_empty_prompts = True
        self._settled("maybe", None)
        return ServiceCheck(ok=True, reason=_PICTURE)

    async def _ask_for_models(self, transport: AiohttpTransport) -> ServiceCheck:
        try:
            async with asyncio.timeout(PATIENCE):
                raw = await transport.get(MODELS_PATH)
        except TimeoutError:
            raise self._no_answer() from None
        if _is_list(raw):
            return ServiceCheck(ok=True, reason=_LISTED)
        try:
            judge(raw, now=datetime.now(UTC))
        except ZaiImagesError as error:
            if error.billed == "no":
                raise
        # Another verdict would speak of a picture, and none was asked for.
        url = self._config.base_url + MODELS_PATH
        raise TransportError(
            f"The answer of {url} (HTTP {raw.status}) is no list of models. "
            "Nothing was billed. Check the base URL (ZAI_BASE_URL)."
        )

    def _no_answer(self) -> TransportError:
        return TransportError(
            f"No answer from {self._config.host} within {PATIENCE:g} s. Nothing was "
            "billed. Check the network and the base URL (ZAI_BASE_URL)."
        )

    def _judged(self, error: ZaiImagesError) -> ServiceCheck:
        """Tell what an error says of the key and the service."""
        if isinstance(error, RateLimitedError):
            return ServiceCheck(ok=True, reason=_BUSY, error=error)
        if self._is_known() and _is_about_the_prompt(error):
            return ServiceCheck(ok=True, reason=_REFUSED, error=error)
        host = self._config.host
        match error:
            case AuthenticationError():
                reason = "The service does not accept the key."
            case AccountError() | QuotaError():
                reason = "The service took the key; the account cannot make pictures."
            case ConfigurationError():
                reason = "Nothing can be sent with these settings."
            case ConnectError():
                reason = f"There is no connection to {host}."
            case TransportError() | ServerError():
                reason = f"{host} gave no usable answer."
            case _:
                reason = f"The answer of {host} does not say if it accepts the key."
        return ServiceCheck(ok=False, reason=reason, error=error)


def _is_about_the_prompt(error: ZaiImagesError) -> bool:
    """Tell that all else about the request was accepted."""
    return isinstance(error, ContentRefusedError) or (
        isinstance(error, RequestRejectedError) and error.code in _ABOUT_THE_PROMPT
    )


def _is_list(raw: RawResponse) -> bool:
    """Tell whether an answer is a list of models."""
    if not 200 <= raw.status < 300:
        return False
    try:
        body = json.loads(raw.body)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and isinstance(body.get("data"), list)
