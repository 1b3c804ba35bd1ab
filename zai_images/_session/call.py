"""One call for a picture, attempt by attempt, from a place to a verdict."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import attrs

from zai_images import events
from zai_images._api.errors import Billed, RateLimitedError, ZaiImagesError
from zai_images._api.judge import judge
from zai_images._api.request import ImageRequest
from zai_images._api.response import ImageResponse
from zai_images._api.wire import encode
from zai_images._limiter.gate import End, Verdict
from zai_images._limiter.search import Sent
from zai_images._session.budget import Ledger
from zai_images._session.retry import CallRetry, Patience, persist
from zai_images._session.tools import Tools

_log = logging.getLogger("zai_images")


@attrs.define(kw_only=True)
class Answer:
    """Hold a picture's answer with what it took to get it (seconds, US dollars)."""

    request: ImageRequest
    response: ImageResponse
    queued: float
    latency: float
    attempts: int
    cost: float | None


class Call:
    """
    Get one picture made.

    For each attempt: a place, the ledgers' word, the POST, the ledgers again before
    anything decodes the answer, the verdict, and the ledgers once more.
    """

    attempts = 0
    _sent_at = 0.0
    _latency = 0.0
    _billed: Billed = "no"
    _answered = False
    _may_be_billed: ZaiImagesError | None = None
    _sent: Sent

    def __init__(  # noqa: PLR0913 - what a call is made of, all by keyword
        self,
        request: ImageRequest,
        *,
        tools: Tools,
        patience: Patience,
        ledgers: Sequence[Ledger],
        ceiling: asyncio.Semaphore | None,
        batch: bool,
    ) -> None:
        self.request = request
        self._tools = tools
        self._patience = patience
        self._ledgers = ledgers
        self._ceiling = ceiling
        self._is_batch = batch
        self._body = encode(request)
        self._quality = str(request.quality)
        self._loop = asyncio.get_running_loop()

    async def run(self) -> Answer:
        """
        Attempt until there is a picture or a final error.

        Raises:
            ZaiImagesError: Any of the tree but `DownloadError`.
        """
        self._tell(events.Queued)
        try:
            response = await self._attempt()
        except ZaiImagesError as error:
            failed = error
        else:
            return self._answer(response)
        return self._answer(await self._persist(failed))

    async def _persist(self, failed: ZaiImagesError) -> ImageResponse:
        """Go on after the first attempt failed like this."""
        tools, patience = self._tools, self._patience
        retry = CallRetry(tools.policy, tools.budget, patience)
        try:
            return await persist(failed, self._attempt, retry, patience, self._on_retry)
        except ZaiImagesError as error:
            if error.billed == "no" and self._may_be_billed is not None:
                error.after(self._may_be_billed)
            self._tell(events.Failed, error=error)
            raise

    def _answer(self, response: ImageResponse) -> Answer:
        return Answer(
            request=self.request,
            response=response,
            queued=self._patience.waited,
            latency=self._latency,
            attempts=self.attempts,
            cost=self._tools.price,
        )

    def _tell(self, kind: type[events.CallEvent], **fields: object) -> None:
        if (observer := self._tools.observer) is not None:
            event = kind(request=self.request, at=self._loop.time(), **fields)
            events.notify(observer, event)

    def _on_retry(self, error: BaseException, pause: float) -> None:
        self._tools.tally.retries += 1
        _log.info("Trying again in %.1f s: %s", pause, error)
        self._tell(events.Retried, attempt=self.attempts, error=error, pause=pause)

    async def _attempt(self) -> ImageResponse:
        if not self._enter_at_once():
            await self._patience.take(self._enter)
        self.attempts += 1
        self._billed = "no"
        self._answered = False
        verdict: Verdict = End.UNSENT
        try:
            account = self._account if self._ledgers else self._exchange
            response = await account()
        except BaseException as error:
            verdict = self._verdict(error)
            raise
        else:
            verdict = End.PICTURE
            return response
        finally:
            self._leave(verdict)

    def _verdict(self, error: BaseException) -> Verdict:
        """Tell the gate's side of an attempt that brought no picture."""
        if isinstance(error, RateLimitedError):
            return error
        if isinstance(error, asyncio.CancelledError):
            self._on_cancel()
        reached = self._answered or self._billed != "no"
        return End.ANSWER if reached else End.UNSENT

    def _enter_at_once(self) -> bool:
        """Take a place where none has to be waited for."""
        if self._ceiling is not None:
            return False
        sent = self._tools.gate.enter_at_once(self._quality)
        if sent is None:
            return False
        self._sent = sent
        return True

    async def _enter(self) -> None:
        """Take a place of this batch's own bound, then one at the service."""
        if self._ceiling is not None:
            await self._ceiling.acquire()
        try:
            self._sent = await self._tools.gate.enter(
                self._quality,
                batch=self._is_batch,
                again=self.attempts > 0,
            )
        except BaseException:
            if self._ceiling is not None:
                self._ceiling.release()
            raise

    def _leave(self, verdict: Verdict) -> None:
        self._tools.tally.settled(self._billed, self._tools.price)
        self._tools.gate.leave(self._sent, verdict)
        if self._ceiling is not None:
            self._ceiling.release()

    async def _account(self) -> ImageResponse:
        """Make one attempt between the ledgers' first word and their last."""
        begun: list[Ledger] = []
        try:
            for ledger in self._ledgers:
                begun.append(ledger)
                await ledger.before_send(self.request, self.attempts)
            return await self._exchange()
        finally:
            for ledger in begun:  # the session's own budget first: it cannot fail
                await ledger.settled(self.attempts, self._billed)

    async def _exchange(self) -> ImageResponse:
        self._sent_at = self._loop.time()
        try:
            raw = await self._tools.transport.post(self._body, on_write=self._on_write)
        except ZaiImagesError as error:
            self._on_error(error)
            raise
        self._billed = "maybe"
        self._answered = True
        self._latency = self._loop.time() - self._sent_at
        for ledger in self._ledgers:
            await ledger.answered(raw)
        try:
            response = judge(raw, now=datetime.now(UTC))
        except ZaiImagesError as error:
            self._tools.transport.scrub(error)
            self._on_error(error)
            # Without the frames that hold the answer, which may quote the key.
            raise error.with_traceback(None) from None
        self._on_picture()
        return response

    def _on_write(self) -> None:
        self._billed = "maybe"
        self._sent.at = self._sent_at = self._loop.time()
        self._tell(events.Sent, attempt=self.attempts)

    def _on_error(self, error: ZaiImagesError) -> None:
        self._billed = error.billed
        if error.maybe_billed and self._may_be_billed is None:
            self._may_be_billed = error
        if isinstance(error, RateLimitedError):
            self._tools.tally.refusals += 1
            self._tell(events.Refused, attempt=self.attempts, error=error)

    def _on_picture(self) -> None:
        self._billed = "yes"
        tools = self._tools
        tools.budget.earn()
        tools.tally.took(self.request.model, self._quality, self._latency)
        self._tell(events.Answered, attempt=self.attempts, latency=self._latency)

    def _on_cancel(self) -> None:
        if self._billed != "maybe":
            return
        _log.warning(
            "A call was cancelled after its request was sent; it may be billed"
        )
        self._tell(events.Abandoned, billed=self._billed)
