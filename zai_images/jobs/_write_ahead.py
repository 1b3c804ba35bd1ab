"""
The job's side of each attempt: intent before, answer after, both on the disk.

A job's batch sends through a requester that writes ahead: the session's own, with the
journal among the ledgers of its calls. So a job needs no workers of its own.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import attrs

from zai_images._api.errors import (
    Billed,
    BudgetError,
    ConfigurationError,
    ZaiImagesError,
)
from zai_images._api.request import ImageRequest
from zai_images._api.response import RawResponse
from zai_images._config import SessionConfig
from zai_images._picture.picture import Picture
from zai_images._redact import redact
from zai_images._session.budget import Ledger
from zai_images._session.call import Answer
from zai_images._session.flight import Flight
from zai_images._session.requester import LastRun, Requester
from zai_images.jobs._errors import DiskError, JobError
from zai_images.jobs._journal.steps import (
    Attempt,
    Fact,
    Received,
    Settled,
    intend,
    record,
    record_all,
)
from zai_images.jobs._journal.writer import Writer
from zai_images.jobs._overflow import Overflow

T = TypeVar("T")


class WriteAheadLog:
    """
    The intents and facts of a run, and where the facts go that the journal lets go.

    Args:
        writer: The journal's thread.
        config: The session's; its key is in no stored answer.
        numbers: The numbers of the attempts.
        overflow: The second place.
        on_trouble: Told of the first fact that could not be recorded: send no more.

    Attributes:
        unwritten: The facts that are on no disk.
        resending: The items that are sent once more as was asked.
    """

    def __init__(
        self,
        writer: Writer,
        config: SessionConfig,
        numbers: Iterator[int],
        overflow: Overflow,
        on_trouble: Callable[[JobError], None],
    ) -> None:
        self.unwritten: list[Fact] = []
        self.resending: set[int] = set()
        self._writer = writer
        self._config = config
        self._overflow = overflow
        self._on_trouble = on_trouble
        self._setting_aside = asyncio.Lock()
        self._waiting: set[asyncio.Future[None]] = set()
        self._numbers = numbers

    def attempt(self, number: int, model: str) -> Attempt:
        """Number a new attempt to have an item made."""
        return Attempt(
            id=next(self._numbers),
            number=number,
            price=self._config.price_of(model),
            again=number in self.resending,
        )

    async def intend(self, attempt: Attempt) -> None:
        """
        Sync the intent to send an item.

        Raises:
            DiskError: The disk does not take it, so it must not be sent.
            JobError: The job is another run's by now.
        """
        await self._writer.do(intend(attempt))

    async def keep(self, attempt: Attempt, raw: RawResponse) -> None:
        """Sync an answer before anything looks at it."""
        # Latin-1 leaves every byte as it is.
        body: str = redact(raw.body.decode("latin-1"), str(self._config.api_key or ""))
        kept = attrs.evolve(raw, body=body.encode("latin-1"))
        await self.record(Received(attempt=attempt, raw=kept, at=time.time()))

    async def record(self, fact: Fact) -> None:
        """
        Sync a fact where there is a disk that takes it.

        What none takes stays in memory: a paid picture may still become a file, and if
        not its link is told. A wait that is cancelled does not take the fact back.
        """
        with suppress(JobError):
            await asyncio.shield(self._recorded(fact))
        await self._set_aside()

    def settle(self, attempt: Attempt, billed: Billed) -> None:
        """Note how an attempt without an answer ended; nothing waits for that."""
        self._recorded(Settled(attempt=attempt, billed=billed))

    def _recorded(self, fact: Fact) -> "asyncio.Future[None]":
        future = self._writer.put(record(fact), "fact")
        self._waiting.add(future)
        future.add_done_callback(partial(self._check, fact))
        return future

    def _check(self, fact: Fact, future: "asyncio.Future[None]") -> None:
        self._waiting.discard(future)
        error = future.exception()
        if error is not None:
            self.unwritten.append(fact)
        if isinstance(error, JobError):
            self._on_trouble(error)
        elif error is not None:
            raise error  # a fault of ours

    async def _set_aside(self) -> None:
        """Put what the journal did not take into the second place."""
        async with self._setting_aside:
            for fact in tuple(self.unwritten):
                if await asyncio.to_thread(self._overflow.add, fact):
                    self.unwritten.remove(fact)

    async def take_in(self) -> None:
        """
        Record what the journal had not taken when it came.

        Raises:
            DiskError: It does not take it now.
        """
        try:
            facts = await asyncio.to_thread(self._overflow.facts) + self.unwritten
            if facts:
                await self._writer.do(record_all(facts), "fact")
                await asyncio.to_thread(self._overflow.clear)
        except OSError as error:
            raise DiskError(
                f"{error.filename}: {error.strerror}. It holds what was paid for and "
                "could not be recorded. Nothing was sent; make it readable, and run "
                "the same command again."
            ) from error
        self.unwritten.clear()

    async def close(self) -> None:
        """Wait for what is being recorded, and try once more what was not."""
        while self._waiting:
            await asyncio.wait(self._waiting)
        try:
            await self.take_in()
        except JobError:
            await self._set_aside()


class JournalLedger:
    """The ledger of one call: the journal's side, behind the batch's own."""

    def __init__(self, log: WriteAheadLog, batch: Ledger, number: int) -> None:
        self._log = log
        self._batch = batch
        self._number = number
        self._attempt: Attempt | None = None  # sent, and without an answer yet

    async def before_send(self, request: ImageRequest, attempt: int) -> None:
        """Let the batch refuse first; then sync the intent."""
        await self._batch.before_send(request, attempt)
        # A wait that is cancelled may have written it.
        self._attempt = self._log.attempt(self._number, request.model)
        await self._log.intend(self._attempt)

    async def answered(self, raw: RawResponse) -> None:
        """Sync the answer, which says what was paid; the batch takes no note of it."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            await self._log.keep(attempt, raw)
        await self._batch.answered(raw)

    async def settled(self, attempt: int, billed: Billed) -> None:
        """Note how an attempt without an answer ended, on both sides."""
        unanswered, self._attempt = self._attempt, None
        if unanswered is not None:
            self._log.settle(unanswered, billed)
        await self._batch.settled(attempt, billed)


class FailureCap:
    """
    A cap on the failures of a run, counting what is in flight.

    All that is in flight may fail, so no more is in flight than may still fail.

    Args:
        most: The failures that are allowed; None is no cap.

    Raises:
        ConfigurationError: The cap is below 1.
    """

    def __init__(self, most: int | None) -> None:
        if most is not None and most < 1:
            raise ConfigurationError(f"max_failures cannot be {most}; use 1 or more")
        self._most = most
        self._failed = 0
        self._in_flight = 0
        self._news = asyncio.Event()

    @asynccontextmanager
    async def one_more(self) -> AsyncIterator[None]:
        """
        Wait until one more call may fail, and note how it ends.

        Raises:
            BudgetError: As many have failed as may.
        """
        while self._most is not None and self._failed + self._in_flight >= self._most:
            if self._failed >= self._most:
                raise BudgetError(
                    f"The cap of {self._most} failures is reached. Nothing more was "
                    "sent. Look at what failed, then run it again."
                )
            self._news.clear()
            await self._news.wait()
        self._in_flight += 1
        try:
            yield
        except ZaiImagesError as error:
            self._failed += error.stops != "everything"
            raise
        finally:
            self._in_flight -= 1
            self._news.set()


class JournaledRequester:
    """A requester that writes ahead: the session's, behind the journal."""

    def __init__(
        self, requester: Requester, log: WriteAheadLog, failures: FailureCap
    ) -> None:
        self.config: SessionConfig = requester.config
        self._requester = requester
        self._log = log
        self._failures = failures
        self.last_run = LastRun()  # its outcomes are in the journal

    def finish(
        self, work: Callable[..., Coroutine[Any, Any, T]]
    ) -> Coroutine[Any, Any, T]:
        """Do work that ends with its caller: the journal is closed after that."""
        return work()

    async def answer(
        self,
        request: ImageRequest,
        *,
        ledger: Ledger,
        ceiling: asyncio.Semaphore | None = None,
        batch: bool = False,
        flight: Flight | None = None,
    ) -> Answer:
        """Get one picture made, with the journal's entry among the call's ledgers."""
        number = request.id
        if not isinstance(number, int):
            raise JobError("a job's request carries the number of its item")
        async with self._failures.one_more():
            return await self._requester.answer(
                request,
                ledger=JournalLedger(self._log, ledger, number),
                ceiling=ceiling,
                batch=batch,
                flight=flight,
            )

    async def fetch(self, answer: Answer) -> Picture:
        """Fetch the picture of an answer."""
        return await self._requester.fetch(answer)
