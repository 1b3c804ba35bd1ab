"""
The workers behind a batch: they pull, call, fetch and deliver.

A worker pulls only while it holds the source's lock, and releases it when its item has
a place: so at most one pulled item waits without one, and there is no task for an item
that is still in the input. Idle workers wait for the lock; one more is started only
when a place was found and nobody waits.
"""

import asyncio
import copy
from functools import partial
from typing import Literal

from zai_images._api.errors import AnswerLostError, Billed, ZaiImagesError
from zai_images._api.request import ImageRequest, as_request
from zai_images._api.response import ImageResponse, RawResponse
from zai_images._batch.outbox import Outbox
from zai_images._batch.outcomes import Done, Ending, Failed, Outcome, Unfinished
from zai_images._batch.source import END, Source
from zai_images._picture.picture import Picture
from zai_images._session.call import Answer
from zai_images._session.flight import Flight
from zai_images._session.requester import Requester

# Stopping: nothing new is sent, what is in service goes on. Cancelled: nothing is kept.
Phase = Literal["running", "stopping", "cancelled"]


class StoppedError(Exception):
    """Raised to keep an item from being sent after the batch was stopped."""


class WorkerPool:
    """
    The workers of a batch, in a task group that belongs to the run.

    If `collecting`, the run owes each item an outcome, so none is lost half pulled.
    """

    def __init__(  # noqa: PLR0913 - the runner's settings, one by one
        self,
        requester: Requester,
        source: Source,
        group: asyncio.TaskGroup,
        limit: int | None,
        *,
        download: bool,
        ordered: bool,
        collecting: bool,
        ending: Ending,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.phase: Phase = "running"
        self.ending = ending
        self._requester = requester
        self._source = source
        self._group = group
        self._ceiling = asyncio.Semaphore(limit) if limit is not None else None
        self._download = download
        self._collecting = collecting
        self.outbox = Outbox(2 * requester.config.max_downloads, ordered=ordered)
        self._workers: dict[asyncio.Task[None], Item | None] = {}
        self._idle = 0
        self._resting = 0
        self._hire()

    async def next_outcome(self) -> Outcome | None:
        """Wait for one more outcome; None when there will be none."""
        while (outcome := self.outbox.get()) is None:
            if not self._workers:
                self.outbox.flush()
                return self.outbox.get()
            self.outbox.news.clear()
            await self.outbox.news.wait()
        return outcome

    def stop(self, error: ZaiImagesError | None = None) -> None:
        """Send nothing new; what is in service goes on and is delivered."""
        if self.phase != "running":
            return
        self.phase = "stopping"
        self.ending.error = error
        self.outbox.room.set()
        self._cancel_waiting()
        # Whoever stops it from within a call may be about to wait for a next try.
        self.loop.call_soon(self._cancel_waiting)

    def _cancel_waiting(self) -> None:
        """
        Cancel the workers with nothing at the service and nothing to deliver.

        By the loop's next turn a waiter may have the caller's place, so this cannot
        wait.
        """
        current = asyncio.current_task(self.loop)
        for worker, item in self._workers.items():
            pulls_on = self._collecting and worker is self._source.puller
            waits = item.waits if item is not None else not pulls_on
            if waits and worker is not current:  # that one finds out by itself
                worker.cancel()

    def cancel(self) -> None:
        """Cancel every worker."""
        self.phase = "cancelled"
        for worker in self._workers:
            worker.cancel()

    def keep_leftovers(self) -> None:
        """Keep the outcomes that nobody has read."""
        for outcome in self.outbox.rest():
            self.ending.keep(outcome, awaited=self._collecting)

    def check(self, model: str) -> None:
        """Raise an error if this model must not be sent any more."""
        if self.phase != "running":
            raise StoppedError
        if (error := self.ending.models.get(model)) is not None:
            raise copy.copy(error)  # each item its own

    def let_pull(self, item: "Item") -> None:
        """Let the next worker pull, and start one if nobody waits to."""
        if not item.pulls:
            return
        item.pulls = False
        self._source.lock.release()
        if self.phase == "running" and not (self._idle or self._source.exhausted):
            self._hire()

    def rest(self, item: "Item", *, resting: bool) -> None:
        """Note that an item waits to be sent again; nothing is pulled meanwhile."""
        item.resting = resting
        self._resting += 1 if resting else -1
        self.outbox.room.set()
        if resting and self.phase != "running":
            # If it is to be sent again it sleeps by then; if not, it is done.
            self.loop.call_soon(self._cancel_waiting)

    def _hire(self) -> None:
        self._idle += 1
        worker = self._group.create_task(self._work())
        self._workers[worker] = None
        worker.add_done_callback(self._gone)

    def _gone(self, worker: asyncio.Task[None]) -> None:
        del self._workers[worker]
        self.outbox.news.set()

    async def _work(self) -> None:
        worker = asyncio.current_task()
        assert worker is not None  # noqa: S101 - for the type checker
        # An eager task would begin before it is known to the pool, and each would begin
        # the next inside itself, to any depth.
        await asyncio.sleep(0)
        while (item := await self._pull(worker)) is not None:
            self._workers[worker] = item
            try:
                await self._requester.finish(partial(self._run_item, item))
            except asyncio.CancelledError:
                if item.flight.left:  # it goes on in the background
                    self._set_aside(item)
                raise
            finally:
                self._workers[worker] = None
                if item.resting:
                    self.rest(item, resting=False)
                self._idle += 1
                self.let_pull(item)

    async def _pull(self, worker: "asyncio.Task[None]") -> "Item | None":
        """Wait for the lock and an item; None at the end of the input or of the run."""
        source = self._source
        try:
            while not source.lock.acquire_nowait():
                await source.lock.released()
        finally:
            self._idle -= 1
        item = None
        try:
            while self.phase == "running" and (self.outbox.full or self._resting):
                self.outbox.room.clear()
                await self.outbox.room.wait()
            if self.phase == "running" and not source.exhausted:
                raw = await source.pull(worker)
                if raw is not END:
                    item = Item(self, source.pulled - 1, raw)
                elif source.crash is not None:
                    self._crashed(source.crash)
        finally:
            if item is None:
                source.lock.release()
        if item is not None and self.phase != "running":
            self._set_aside(item)
            source.lock.release()
            return None
        return item

    async def _run_item(self, item: "Item", flight: Flight | None = None) -> None:
        picture = None
        item.flight = flight or item.flight
        try:
            item.request = request = as_request(item.request)
            self.check(request.model)
            answer = await self._requester.answer(
                request,
                ledger=item,
                ceiling=self._ceiling,
                batch=True,
                flight=flight,
            )
            item.response = answer.response
            self.outbox.expect()
            if self._download:
                picture = await self._requester.fetch(answer)
        except ZaiImagesError as error:
            self._heed(error, item)
            self._deliver(item, item.failed(error))
        except StoppedError:
            self._set_aside(item)
        except asyncio.CancelledError:
            known = item.response is not None or not item.maybe_billed
            if self.phase == "cancelled" or known or item.flight.left:
                self._set_aside(item)
            else:
                self._deliver(item, item.stopped_short())
            raise
        except Exception as error:  # not ours, so it ends the run
            self._set_aside(item)
            if item.flight.left:
                raise  # the run has ended: the session tells of it
            self._crashed(error)
        else:
            self._deliver(item, item.done(answer, picture))

    def _deliver(self, item: "Item", outcome: Outcome) -> None:
        """Let the reader have an outcome, or keep it where the reader has left."""
        if item.flight.left:
            return self.ending.keep(outcome, awaited=self._collecting)
        item.flight.sent = False  # it is handed over
        return self.outbox.put(outcome, expected=item.response is not None)

    def _heed(self, error: ZaiImagesError, item: "Item") -> None:
        """Stop the batch or the model if the error asks for it."""
        if error.stops == "everything":
            self.stop(error)
        elif error.stops == "model" and isinstance(item.request, ImageRequest):
            self.ending.models[item.request.model] = error

    def _crashed(self, error: BaseException) -> None:
        self.ending.crash = self.ending.crash or error
        self.stop()

    def _set_aside(self, item: "Item") -> None:
        left = Unfinished(
            index=item.index,
            request=item.request,
            response=item.response,
            attempts=item.attempts,
        )
        gone = item.maybe_billed or item.response is not None or item.flight.left
        self.ending.set_aside(left, gone=gone)


class Item:
    """
    One item on its way through its attempts: the batch's ledger of its call.

    Attributes:
        request: What was asked for; the raw item until it becomes a request.
        pulls: Whether the worker that has it still holds the source's lock.
        resting: Whether it waits to be sent again.
    """

    response: ImageResponse | None = None
    pulls = True
    in_service = False
    resting = False
    maybe_billed = False
    attempts = 0
    latency = 0.0
    _served = 0.0

    def __init__(self, pool: WorkerPool, index: int, raw: object) -> None:
        self._pool = pool
        self.index = index
        self.request = raw
        self.flight = Flight()  # that nobody leaves, unless it is given another
        self._pulled_at = self._sent_at = pool.loop.time()

    @property
    def waits(self) -> bool:
        """Whether nothing of it is at the service and nothing is known of it."""
        return not self.in_service and self.response is None

    async def before_send(self, request: ImageRequest, attempt: int) -> None:
        """Note that a place was found; refuse to go on where a stop came first."""
        self._pool.check(request.model)
        self._pool.let_pull(self)
        if self.resting:
            self._pool.rest(self, resting=False)
        self.in_service = True
        self.attempts = attempt
        self._sent_at = self._pool.loop.time()

    async def answered(self, raw: RawResponse) -> None:
        """Ignore the answer: the session judges it."""

    async def settled(self, attempt: int, billed: Billed) -> None:
        """Note that the place is free again."""
        del attempt
        if not self.in_service:
            return  # it was refused before it began
        self.in_service = False
        self.maybe_billed = self.maybe_billed or billed != "no"
        self.latency = self._pool.loop.time() - self._sent_at
        self._served += self.latency
        if billed == "no":
            self._pool.rest(self, resting=True)

    def done(self, answer: Answer, picture: Picture | None) -> Done:
        """Build the outcome of an item whose picture was made."""
        return Done(
            index=self.index,
            request=answer.request,
            response=answer.response,
            picture=picture,
            queued=answer.queued,
            latency=answer.latency,
            attempts=answer.attempts,
        )

    def failed(self, error: ZaiImagesError) -> Failed:
        """Build the outcome of an item that ended in an error."""
        return Failed(
            index=self.index,
            request=self.request,
            error=error,
            response=self.response,
            queued=self._pool.loop.time() - self._pulled_at - self._served,
            latency=self.latency,
            attempts=self.attempts,
        )

    def stopped_short(self) -> Failed:
        """Build the outcome of an item that was stopped in the pause before a retry."""
        error = AnswerLostError(
            "The batch was stopped before this was tried again. Its last attempt may "
            "have been billed; look at the account's bill before you ask again."
        )
        return self.failed(error)
