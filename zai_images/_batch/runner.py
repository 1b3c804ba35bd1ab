"""Batches: many prompts in, outcomes out, streamed or awaited as a list."""

import asyncio
import contextlib
from collections.abc import AsyncIterable, Generator, Iterable, Mapping, Sized
from types import TracebackType
from typing import Any, Self

from zai_images._api.errors import (
    ConfigurationError,
    InvalidRequestError,
    ZaiImagesError,
)
from zai_images._api.request import ImageRequest, as_request
from zai_images._batch.outcomes import (
    BatchSummary,
    Ending,
    Failed,
    Outcome,
    Unfinished,
)
from zai_images._batch.source import Requests, Source
from zai_images._batch.workers import WorkerPool
from zai_images._session.requester import Requester
from zai_images._session.session import ImageSession


class BatchRunner:
    """
    A runner that makes a picture for each item of an iterable, many at once.

    Args:
        session: The session whose places, budget and policy are used.
        limit: A ceiling on this batch's own pictures in flight.
        download: Fetch each picture too, so that `Done.picture` is there.
        ordered: Yield outcomes in the order of the input, not as they finish.

    Raises:
        ConfigurationError: The limit is below 1.
    """

    def __init__(
        self,
        session: ImageSession,
        *,
        limit: int | None = None,
        download: bool = False,
        ordered: bool = False,
    ) -> None:
        if limit is not None and limit < 1:
            raise ConfigurationError(f"limit cannot be {limit}; use 1 or more")
        self.session = session
        self.limit = limit
        self.download = download
        self.ordered = ordered

    def run(self, requests: Requests) -> "BatchRun":
        """
        Prepare a run over `requests`; it begins when it is awaited or entered.

        Args:
            requests: Any iterable or async iterable of prompts, `ImageRequest`s or
                mappings of request fields; pulled one at a time, as places come free.

        Raises:
            TypeError: It is a single item, or cannot be iterated.
        """
        if isinstance(requests, str | bytes | Mapping | ImageRequest):
            raise TypeError(
                f"a batch takes many requests, got one {type(requests).__name__}; "
                "pass a list"
            )
        if not isinstance(requests, Iterable | AsyncIterable):
            raise TypeError(f"{type(requests).__name__} cannot be iterated")
        return BatchRun(
            self.session.requester,
            requests,
            limit=self.limit,
            download=self.download,
            ordered=self.ordered,
        )


class BatchRun:
    """
    One run of a batch: await it for a list, or stream it.

    `await run` gives exactly one outcome for each item, in the order of the input;
    what was never sent is a `Failed` with the error that stopped the batch and
    `attempts == 0`.

    `async with run:` and `async for outcome in run:` give outcomes as they finish, and
    raise the error that stopped the batch after everything else. A slow reader slows
    the sending. Leaving the block early cancels what runs, unless `stop()` came first:
    then it is waited for. Either way `abandoned` and `unsent` list what was left.

    Attributes:
        abandoned: What was sent, and whose outcome nobody was handed; in a run that was
            awaited, without those in `finished`.
        unsent: What was pulled and not sent.
    """

    def __init__(
        self,
        requester: Requester,
        requests: Requests,
        *,
        limit: int | None = None,
        download: bool = False,
        ordered: bool = False,
    ) -> None:
        self._requester = requester
        self._requests = requests
        self._source = Source(requests)
        self._limit = limit
        self._download = download
        self._ordered = ordered
        self._group = asyncio.TaskGroup()
        self._pool: WorkerPool | None = None
        self._collecting = False
        self._inside = False
        self._raised = False
        self._begun = 0.0
        self._ended: float | None = None
        self._stop_early = False
        self._ending = ending = Ending()
        self._counts = ending.counts
        self.unsent: list[Unfinished] = ending.unsent
        self.abandoned: list[Unfinished] = ending.abandoned

    def __repr__(self) -> str:
        ran = "running" if self._inside else "ended"
        state = ran if self._pool is not None else "new"
        counts = self._counts
        return f"<BatchRun {state}, {counts.done} done, {counts.failed} failed>"

    def __len__(self) -> int:
        if not isinstance(self._requests, Sized):
            raise TypeError(f"{type(self._requests).__name__} has no length")
        return len(self._requests)

    def __bool__(self) -> bool:
        return True  # also where its input is empty, or has no length

    def stop(self) -> None:
        """Send nothing new; what is in flight is still yielded."""
        self._stop_early = True
        if self._pool is not None:
            self._pool.stop()

    @property
    def finished(self) -> list[Outcome]:
        """
        The outcomes so far that no iteration has handed out, also of a cancelled run.

        What goes on in the background comes in as it ends.
        """
        unread = self._pool.outbox.unread() if self._pool is not None else []
        return [*self._ending.finished, *unread] if unread else self._ending.finished

    @property
    def summary(self) -> BatchSummary:
        """The counts so far; final once the block is left."""
        counts = self._counts
        answered = sum(left.response is not None for left in self.abandoned)
        elapsed = 0.0
        if self._pool is not None:
            now = self._pool.loop.time()
            elapsed = (now if self._ended is None else self._ended) - self._begun
        return BatchSummary(
            done=counts.done,
            failed=counts.failed,
            unsent=len(self.unsent),
            abandoned=len(self.abandoned),
            billed=counts.billed + answered,
            maybe_billed=counts.maybe_billed + len(self.abandoned) - answered,
            elapsed=elapsed,
        )

    async def __aenter__(self) -> Self:
        if self._pool is not None:
            raise RuntimeError("a BatchRun runs once; call runner.run() again")
        await self._group.__aenter__()
        self._requester.last_run.begin(self)
        self._pool = WorkerPool(
            self._requester,
            self._source,
            self._group,
            self._limit,
            download=self._download,
            ordered=self._ordered and not self._collecting,
            collecting=self._collecting,
            ending=self._ending,
        )
        self._inside = True
        self._begun = self._pool.loop.time()
        if self._stop_early:
            self._pool.stop()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pool = self._running()
        self._inside = False
        if pool.phase == "running" or kind is asyncio.CancelledError:
            pool.cancel()
        crash: BaseException | None = None
        try:
            # Errors of the block stay as they are: a group would wrap them.
            await self._group.__aexit__(None, None, None)
            if error is None and not self._raised:
                crash = pool.ending.crash
        except asyncio.CancelledError as cancelled:
            error = cancelled
            raise
        finally:
            pool.keep_leftovers()
            self._ended = pool.loop.time()
            self._note_what_finished(error or crash)
        if crash is not None:
            raise crash
        if error is None and not (self._collecting or self.finished or self.abandoned):
            self._requester.last_run.let_go(self)

    def _note_what_finished(self, error: BaseException | None) -> None:
        """Note on an error what had finished: it leaves its caller nothing else."""
        if error is not None and self.finished:
            error.add_note(
                f"{len(self.finished)} outcomes had finished; they are this "
                "exception's attribute `finished`, and the run's."
            )
            with contextlib.suppress(AttributeError):  # the caller's own may be frozen
                error.finished = self.finished  # type: ignore[attr-defined]

    def _running(self) -> WorkerPool:
        if self._pool is None or not self._inside:
            raise RuntimeError(
                "iterate inside the run's own block: async with runner.run(...) as run"
            )
        return self._pool

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        pool = self._running()
        outcome = await pool.next_outcome()
        if outcome is not None:
            self._counts.add(outcome)
            return outcome
        stopped_by = pool.ending.crash or pool.ending.error
        if stopped_by is not None and not self._raised:
            self._raised = True
            raise stopped_by
        raise StopAsyncIteration

    def __await__(self) -> Generator[Any, None, list[Outcome]]:
        return self._collect().__await__()

    async def _collect(self) -> list[Outcome]:
        """Run to the end; `finished` keeps the outcomes if this is cut short."""
        self._collecting = True
        async with self:
            pool = self._running()
            while (outcome := await pool.next_outcome()) is not None:
                self._counts.add(outcome)
                self._ending.finished.append(outcome)
        try:
            await self._add_unsent(pool)
        except BaseException as error:
            self._note_what_finished(error)
            raise
        self._requester.last_run.let_go(self)
        return sorted(self.finished, key=lambda one: one.index)

    async def _add_unsent(self, pool: WorkerPool) -> None:
        """Add an outcome for every unsent item, to the end of the input."""
        error = pool.ending.error or ZaiImagesError(
            "Not sent: the batch was stopped by stop(). Nothing was billed."
        )
        for left in self.unsent:
            self._fail(left.index, left.request, error, left.attempts)
        async for index, raw in self._source.rest():
            self._fail(index, raw, error)

    def _fail(
        self, index: int, raw: object, error: ZaiImagesError, attempts: int = 0
    ) -> None:
        try:
            request: object = as_request(raw)
        except InvalidRequestError:
            request = raw
        outcome = Failed(index=index, request=request, error=error, attempts=attempts)
        self._counts.add(outcome)
        self._ending.finished.append(outcome)
