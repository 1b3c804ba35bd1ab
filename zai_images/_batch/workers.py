"""
The workers behind a batch: they pull, call, fetch and deliver.

A worker pulls only while it has the turn, and gives the turn back when its item has a
place: so at most one pulled item waits without one, and there is no task for an item
that is still in the input. Idle workers wait for the turn; one more is started only
when a place was found and nobody waits.
"""

import asyncio
import copy
from collections.abc import AsyncIterator

from zai_images._api.errors import AnswerLostError, ZaiImagesError
from zai_images._api.request import ImageRequest, as_request
from zai_images._batch.item import Item, StoppedError
from zai_images._batch.outbox import Outbox
from zai_images._batch.outcomes import Done, Failed, Outcome, Unfinished
from zai_images._batch.turn import Turn
from zai_images._session.session import ImageSession


class Fanout:
    """Run a batch's workers in a task group that belongs to the run."""

    def __init__(  # noqa: PLR0913 - the runner's settings, one by one
        self,
        session: ImageSession,
        source: AsyncIterator[object],
        group: asyncio.TaskGroup,
        limit: int | None,
        *,
        download: bool,
        ordered: bool,
        collecting: bool,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.error: ZaiImagesError | None = None
        self.crash: BaseException | None = None
        self.stopping = False
        self._cancelled = False
        self.exhausted = False
        self.pulled = 0
        self.unsent: list[Unfinished] = []
        self.abandoned: list[Unfinished] = []
        self._session = session
        self._source = source
        self._group = group
        self._ceiling = asyncio.Semaphore(limit) if limit is not None else None
        self._download = download
        self._outbox = Outbox(2 * session.config.max_downloads, ordered=ordered)
        # A run that owes an outcome for every item must not lose one half pulled.
        self._collecting = collecting
        self._puller: asyncio.Task[None] | None = None
        self._turn = Turn()
        self._idle = 0
        self._resting = 0
        self._workers: dict[asyncio.Task[None], Item | None] = {}
        self._stopped_models: dict[str, ZaiImagesError] = {}
        self._hire()

    # What the run asks of it.

    async def next_outcome(self) -> Outcome | None:
        """Wait for one more outcome; None when there will be none."""
        while (outcome := self._outbox.get()) is None:
            if not self._workers:
                self._outbox.flush()
                return self._outbox.get()
            self._outbox.news.clear()
            await self._outbox.news.wait()
        return outcome

    def stop(self, error: ZaiImagesError | None = None) -> None:
        """Send nothing new; what is in service goes on and is delivered."""
        if self.stopping:
            return
        self.stopping = True
        self.error = error
        self._outbox.room.set()
        self._cancel_waiting()
        # Whoever stops it from within a call may be about to wait for a next try.
        self.loop.call_soon(self._cancel_waiting)

    def _cancel_waiting(self) -> None:
        """
        End the workers that have nothing at the service and nothing to deliver.

        At once, for the place of whoever called stop() may be a waiter's by the next
        turn of the loop.
        """
        current = asyncio.current_task(self.loop)
        for worker, item in self._workers.items():
            if worker is current:
                continue  # it finds out by itself
            pulls_on = self._collecting and worker is self._puller
            if item.waits if item is not None else not pulls_on:
                worker.cancel()

    def cancel(self) -> None:
        """Break everything off."""
        self.stopping = self._cancelled = True
        for worker in self._workers:
            worker.cancel()

    def leftovers(self) -> list[Outcome]:
        """Take the outcomes that nobody has read."""
        return self._outbox.rest()

    # What an item asks of it.

    def check(self, model: str) -> None:
        """Refuse what must not be sent any more."""
        if self.stopping:
            raise StoppedError
        if (error := self._stopped_models.get(model)) is not None:
            raise copy.copy(error)  # each item its own

    def pass_turn(self, item: Item) -> None:
        """Let the next worker pull, and start one if nobody waits to."""
        if not item.has_turn:
            return
        item.has_turn = False
        self._turn.give_back()
        if not self._idle and not self.exhausted and not self.stopping:
            self._hire()

    def rest(self, item: Item, *, resting: bool) -> None:
        """Note that an item waits to be sent again; nothing is pulled meanwhile."""
        item.resting = resting
        self._resting += 1 if resting else -1
        self._outbox.room.set()
        if resting and self.stopping:
            # If it is to be sent again it sleeps by then; if not, it is done.
            self.loop.call_soon(self._cancel_waiting)

    # What the workers do.

    def _hire(self) -> None:
        self._idle += 1
        worker = self._group.create_task(self._work())
        self._workers[worker] = None
        worker.add_done_callback(self._gone)

    def _gone(self, worker: asyncio.Task[None]) -> None:
        del self._workers[worker]
        self._outbox.news.set()

    async def _work(self) -> None:
        worker = asyncio.current_task()
        assert worker is not None  # noqa: S101 - for the type checker
        while (item := await self._pull(worker)) is not None:
            self._workers[worker] = item
            try:
                await self._carry_out(item)
            finally:
                self._workers[worker] = None
                if item.resting:
                    self.rest(item, resting=False)
                self._idle += 1
                self.pass_turn(item)

    async def _pull(self, worker: asyncio.Task[None]) -> Item | None:
        """Take the turn and pull; None at the end of the input or of the run."""
        try:
            while not self._turn.take():
                await self._turn.given_back()
        finally:
            self._idle -= 1
        item = None
        try:
            while not self.stopping and (self._outbox.full or self._resting):
                self._outbox.room.clear()
                await self._outbox.room.wait()
            if not self.stopping and not self.exhausted:
                self._puller = worker
                raw = await anext(self._source)
                item = Item(self, self.pulled, raw)
                self.pulled += 1
        except StopAsyncIteration:
            self.exhausted = True
        except asyncio.CancelledError as error:
            if worker.cancelling():
                raise
            # Not ours: something the input waits for was cancelled.
            self.exhausted = True
            self._crashed(error)
        except Exception as error:  # noqa: BLE001 - the caller's own iterator failed
            self.exhausted = True
            self._crashed(error)
        finally:
            self._puller = None
            if item is None:
                self._turn.give_back()
        if item is not None and self.stopping:
            self._set_aside(item)
            self._turn.give_back()
            return None
        return item

    async def _carry_out(self, item: Item) -> None:
        picture = None
        try:
            item.request = request = as_request(item.request)
            self.check(request.model)
            answer = await self._session._answer(  # noqa: SLF001 - the internal door for batches
                request, ledger=item, ceiling=self._ceiling, batch=True
            )
            item.response = answer.response
            self._outbox.expect()
            if self._download:
                picture = await self._session._fetch(answer)  # noqa: SLF001 - same
        except ZaiImagesError as error:
            self._heed(error, item)
            self._outbox.put(_failed(item, error), expected=item.response is not None)
        except StoppedError:
            self._set_aside(item)
        except asyncio.CancelledError:
            if self._cancelled or not item.maybe_billed or item.response is not None:
                self._set_aside(item)
            else:
                self._outbox.put(_stopped_short(item), expected=False)
            raise
        except Exception as error:  # noqa: BLE001 - not ours, so it ends the run
            self._set_aside(item)
            self._crashed(error)
        else:
            done = Done(
                index=item.index,
                request=request,
                response=answer.response,
                picture=picture,
                queued=answer.queued,
                latency=answer.latency,
                attempts=answer.attempts,
            )
            self._outbox.put(done, expected=True)

    def _heed(self, error: ZaiImagesError, item: Item) -> None:
        """Stop what an error stops."""
        if error.stops == "everything":
            self.stop(error)
        elif error.stops == "model" and isinstance(item.request, ImageRequest):
            self._stopped_models[item.request.model] = error

    def _crashed(self, error: BaseException) -> None:
        if self.crash is None:
            self.crash = error
        self.stop()

    def _set_aside(self, item: Item) -> None:
        left = Unfinished(
            index=item.index,
            request=item.request,
            response=item.response,
            attempts=item.attempts,
        )
        gone = item.maybe_billed or item.response is not None
        (self.abandoned if gone else self.unsent).append(left)


def _failed(item: Item, error: ZaiImagesError) -> Failed:
    return Failed(
        index=item.index,
        request=item.request,
        error=error,
        response=item.response,
        queued=item.queued,
        latency=item.latency,
        attempts=item.attempts,
    )


def _stopped_short(item: Item) -> Failed:
    """Tell of an item that was stopped in the pause before its next try."""
    error = AnswerLostError(
        "The batch was stopped before this was tried again. Its last attempt may "
        "have been billed; look at the account's bill before you ask again."
    )
    return _failed(item, error)
