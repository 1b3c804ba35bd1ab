"""One call for a picture, attempt by attempt, from a place to a verdict."""

import asyncio
import logging
from datetime import UTC, datetime

import attrs

from zai_images import events
from zai_images._api.errors import Billed, RateLimitedError, ZaiImagesError
from zai_images._api.judge import judge
from zai_images._api.request import ImageRequest
from zai_images._api.response import ImageResponse
from zai_images._api.wire import encode
from zai_images._limiter.gate import End, Verdict
from zai_images._limiter.search import Place
from zai_images._session.budget import Budget, Ledger
from zai_images._session.flight import Flight
from zai_images._session.resources import LoopResources, ModelContext
from zai_images._session.retry import CallRetry, WaitBudget, retry_until_final

_log = logging.getLogger("zai_images")


@attrs.define(kw_only=True)
class Answer:
    """
    A picture's answer, with its waiting, latency (seconds) and cost (US dollars).

    `resources` are those it came by; `flight` is what its caller may leave, if it may.
    """

    request: ImageRequest
    response: ImageResponse
    queued: float
    latency: float
    attempts: int
    cost: float | None
    flight: Flight = attrs.field(factory=Flight)
    resources: LoopResources | None = None


@attrs.define
class _Attempt:
    """One attempt of a call, whose bill starts empty whatever came before."""

    number: int
    place: Place
    billed: Billed = "no"
    answered: bool = False
    reserved: bool = False

    def verdict(self, error: BaseException) -> Verdict:
        """Return the gate's verdict on an attempt that brought no picture."""
        if isinstance(error, RateLimitedError):
            return error
        reached = self.answered or self.billed != "no"
        return End.ANSWER if reached else End.UNSENT


class Call:
    """
    A call for one picture.

    Each attempt takes a place and reserves its price; the ledger records it; it is
    sent; the ledger records the answer before anything decodes it; the answer is
    judged, and the ledger records the bill. `ceiling` is a batch's own bound on what is
    in flight; `batch` lets single calls go first; `flight` is told what its caller
    needs to know to leave it.
    """

    _may_be_billed: ZaiImagesError | None = None

    def __init__(  # noqa: PLR0913 - what a call is made of, all by keyword
        self,
        request: ImageRequest,
        *,
        model: ModelContext,
        wait_budget: WaitBudget,
        ledger: Ledger | None,
        budget: Budget,
        ceiling: asyncio.Semaphore | None,
        batch: bool,
        flight: Flight,
    ) -> None:
        self._request = request
        self._model = model
        self._wait_budget = wait_budget
        self._ledger = ledger
        self._budget = budget
        self._ceiling = ceiling
        self._is_batch = batch
        self._flight = flight
        self._body = encode(request)
        self._quality = str(request.quality)
        self._loop = asyncio.get_running_loop()
        self._attempts = 0

    async def run(self) -> Answer:
        """Attempt until there is a picture; raise any error but `DownloadError`."""
        self._announce(events.Queued)
        try:
            return await self._attempt()
        except ZaiImagesError as error:
            failed = error
        return await self._try_again(failed)

    async def _try_again(self, failed: ZaiImagesError) -> Answer:
        """Retry after the first attempt failed with this error."""
        model, wait_budget = self._model, self._wait_budget
        retry = CallRetry(model.retry, model.retry_budget, wait_budget, self._flight)
        try:
            return await retry_until_final(
                failed,
                self._attempt,
                retry,
                sleep=wait_budget.sleep,
                on_retry=self._on_retry,
            )
        except ZaiImagesError as error:
            if error.billed == "no" and self._may_be_billed is not None:
                error.after(self._may_be_billed)
            self._announce(events.Failed, error=error)
            raise

    def _announce(self, kind: type[events.CallEvent], **fields: object) -> None:
        if (observer := self._model.observer) is not None:
            events.announce(observer, kind, request=self._request, **fields)

    def _on_retry(self, error: BaseException, pause: float) -> None:
        self._model.counters.retries += 1
        _log.info("Trying again in %.1f s: %s", pause, error)
        self._announce(events.Retried, attempt=self._attempts, error=error, pause=pause)

    async def _attempt(self) -> Answer:
        place = None
        if self._ceiling is None:
            place = self._model.gate.enter_at_once(self._quality)
        if place is None:
            place = await self._wait_budget.wait_for(self._enter)
        self._attempts += 1
        attempt = _Attempt(self._attempts, place)
        verdict: Verdict = End.PICTURE
        try:
            self._budget.reserve(self._model.price)
            attempt.reserved = True
            if self._ledger is not None:
                return await self._account(attempt, self._ledger)
            return await self._exchange(attempt)
        except BaseException as error:
            verdict = attempt.verdict(error)
            if isinstance(error, asyncio.CancelledError):
                self._on_cancel(attempt)
            self._flight.sent = False
            raise
        finally:
            self._leave(attempt, verdict)

    async def _enter(self) -> Place:
        """Take a place under the batch's own bound, then one at the service."""
        if self._ceiling is not None:
            await self._ceiling.acquire()
        try:
            return await self._model.gate.enter(
                self._quality, batch=self._is_batch, again=self._attempts > 0
            )
        except BaseException:
            if self._ceiling is not None:
                self._ceiling.release()
            raise

    def _leave(self, attempt: _Attempt, verdict: Verdict) -> None:
        model = self._model
        model.counters.settled(attempt.billed, model.price)
        if attempt.reserved and attempt.billed == "no":
            self._budget.release(model.price)
        model.gate.leave(attempt.place, verdict)
        if self._ceiling is not None:
            self._ceiling.release()

    async def _account(self, attempt: _Attempt, ledger: Ledger) -> Answer:
        """Make an attempt that the ledger records before and after."""
        try:
            await ledger.before_send(self._request, attempt.number)
            return await self._exchange(attempt)
        finally:
            await ledger.settled(attempt.number, attempt.billed)

    async def _exchange(self, attempt: _Attempt) -> Answer:
        sent_at = self._loop.time()

        def on_write() -> None:
            nonlocal sent_at
            attempt.billed = "maybe"
            self._flight.sent = True
            attempt.place.at = sent_at = self._loop.time()
            self._announce(events.Sent, attempt=attempt.number)

        transport = self._model.transport
        try:
            raw = await transport.post(self._body, on_write=on_write)
        except ZaiImagesError as error:
            self._on_error(attempt, error)
            raise
        attempt.billed = "maybe"
        attempt.answered = True
        latency = self._loop.time() - sent_at
        if self._ledger is not None:
            await self._ledger.answered(raw)
        try:
            response = judge(raw, now=datetime.now(UTC))
        except ZaiImagesError as error:
            transport.scrub(error)
            self._on_error(attempt, error)
            # Without the frames that hold the answer, which may quote the key.
            raise error.with_traceback(None) from None
        return self._on_picture(attempt, response, latency)

    def _on_error(self, attempt: _Attempt, error: ZaiImagesError) -> None:
        attempt.billed = error.billed
        if error.maybe_billed and self._may_be_billed is None:
            self._may_be_billed = error
        if isinstance(error, RateLimitedError):
            self._model.counters.refusals += 1
            self._announce(events.Refused, attempt=attempt.number, error=error)

    def _on_picture(
        self, attempt: _Attempt, response: ImageResponse, latency: float
    ) -> Answer:
        attempt.billed = "yes"
        self._flight.response = response
        model = self._model
        if (links := len(response.images)) > 1:
            _log.warning(
                "An answer has %d links; each may be billed, and the first is the "
                "picture. All are kept in `response.images`: fetch the others with "
                "session.download(image.url)",
                links,
            )
        model.retry_budget.earn()
        model.counters.took(self._request.model, self._quality, latency)
        self._announce(events.Answered, attempt=attempt.number, latency=latency)
        return Answer(
            request=self._request,
            response=response,
            queued=self._wait_budget.waited,
            latency=latency,
            attempts=attempt.number,
            cost=model.price,
            flight=self._flight,
        )

    def _on_cancel(self, attempt: _Attempt) -> None:
        if attempt.billed != "maybe":
            return
        _log.warning(
            "A call was cancelled after its request was sent; it may be billed"
        )
        self._announce(events.Abandoned, billed=attempt.billed)
