"""
The free check: whether the service answers and accepts the key.

Z.AI's own hosts and a server on this machine are asked for a picture of an empty
prompt: the service looks at the key first and then refuses the prompt, which is free.
What another host does with an empty prompt, and what it bills, is unknown, so it is
asked for its list of models.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime

import attrs

from zai_images._api.codes import ABOUT_THE_REQUEST
from zai_images._api.errors import (
    Billed,
    ContentRefusedError,
    RateLimitedError,
    RequestRejectedError,
    TransportError,
    ZaiImagesError,
)
from zai_images._api.judge import judge
from zai_images._api.request import DEFAULT_MODEL
from zai_images._config import SessionConfig
from zai_images._http.deadline import within
from zai_images._http.transport import AiohttpTransport, Transport, answer_lost

EMPTY_PROMPT = b'{"model":"%b","prompt":""}' % DEFAULT_MODEL.encode()
MODELS_PATH = "/models"
PATIENCE = 30.0  # seconds
_SCRIPTED = "Nothing was sent: the answers of this session are scripted."
_NOT_AGAIN = (
    "Nothing was sent: an empty prompt was answered with a picture before, which may "
    "be billed."
)


@attrs.frozen(kw_only=True)
class ServiceCheck:
    """
    The result of a free check of the key and the service.

    Attributes:
        ok: The service answers and accepts the key. No free check can tell whether
            there is a balance.
        reason: What was found, and what to do about it if not `ok`.
        latency: Seconds until it was found; None where nothing was sent.
        error: The refusal or failure that came, even one that proves `ok`.
    """

    ok: bool
    reason: str
    latency: float | None = None
    error: ZaiImagesError | None = None


class ServiceChecker:
    """
    The free checks of one session: they take no place, no budget and no retry.

    `settled` is told when a check may have been billed, because a picture came back. No
    empty prompt is sent after that.
    """

    def __init__(
        self, config: SessionConfig, settled: Callable[[Billed, float | None], None]
    ) -> None:
        self._config = config
        self._settled = settled
        self._takes_empty_prompts = False

    async def check(self, transport: Transport) -> ServiceCheck:
        """Check the service for free; a failure is returned, never raised."""
        if not isinstance(transport, AiohttpTransport):
            return ServiceCheck(ok=True, reason=_SCRIPTED)
        if self._takes_empty_prompts:
            return ServiceCheck(ok=True, reason=_NOT_AGAIN)
        ask = self._ask_for_nothing if self._is_known() else self._ask_for_models
        sent: list[bool] = []
        begun = asyncio.get_running_loop().time()
        error: ZaiImagesError | None = None
        try:
            async with within(PATIENCE):
                reason = await ask(transport, lambda: sent.append(True))
        except TimeoutError:
            error = self._out_of_time(sent=bool(sent))
        except ZaiImagesError as failed:
            transport.scrub(failed)
            # Without the frames that hold the answer, which may quote the key.
            failed.__context__ = None
            error = failed.with_traceback(None)
        ok = error is None
        if error is not None:
            ok, reason = self._judged(error)
        latency = asyncio.get_running_loop().time() - begun
        return ServiceCheck(ok=ok, reason=reason, latency=latency, error=error)

    def _is_known(self) -> bool:
        """Tell whether the host is known to refuse an empty prompt for free."""
        return f".{self._config.host}".endswith(".z.ai") or self._config.loopback

    async def _ask_for_nothing(
        self, transport: AiohttpTransport, on_write: Callable[[], None]
    ) -> str:
        raw = await transport.post(EMPTY_PROMPT, on_write=on_write)
        judge(raw, now=datetime.now(UTC))
        self._takes_empty_prompts = True
        self._settled("maybe", None)
        return (
            "An empty prompt was answered with a picture, which may have been billed."
        )

    async def _ask_for_models(
        self, transport: AiohttpTransport, on_write: Callable[[], None]
    ) -> str:
        del on_write  # a list costs nothing, whenever it is lost
        raw = await transport.get(MODELS_PATH)
        if 200 <= raw.status < 300 and _is_list(raw.body):
            return "The service took the key and listed its models, which is free."
        try:
            judge(raw, now=datetime.now(UTC))
        except ZaiImagesError as error:
            if error.billed == "no":
                raise
        # Another verdict would speak of a picture, and none was asked for.
        raise TransportError(
            f"The answer of {self._config.base_url + MODELS_PATH} (HTTP {raw.status}) "
            "is no list of models. Nothing was billed. Check the base URL "
            "(ZAI_BASE_URL)."
        )

    def _out_of_time(self, *, sent: bool) -> TransportError:
        if sent:
            return answer_lost(f"no complete answer within {PATIENCE:g} s")
        return TransportError(
            f"No answer from {self._config.host} within {PATIENCE:g} s. Nothing was "
            "billed. Check the network and the base URL (ZAI_BASE_URL)."
        )

    def _judged(self, error: ZaiImagesError) -> tuple[bool, str]:
        """Tell whether an error still proves the key good, and what it says."""
        if isinstance(error, RateLimitedError):
            return True, "The service took the key and is busy."
        about_the_prompt = isinstance(error, ContentRefusedError) or (
            isinstance(error, RequestRejectedError) and error.code in ABOUT_THE_REQUEST
        )
        if self._is_known() and about_the_prompt:
            return True, "The service took the key and refused the empty prompt."
        return False, str(error)


def _is_list(body: bytes) -> bool:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("data"), list)
