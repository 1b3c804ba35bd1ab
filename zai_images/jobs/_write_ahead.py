"""
The job's side of each attempt: intent before, answer after, both on the disk.

A batch is run through a requester that writes ahead: the session's own, whose calls
have the journal among their ledgers. So a job has no workers of its own.
"""

import asyncio
from collections.abc import Callable

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
from zai_images._session.requester import Requester
from zai_images.jobs._errors import DiskError, JobError
from zai_images.jobs._journal import steps
from zai_images.jobs._journal.writer import Writer
from zai_images.jobs._states import State


class WriteAheadLog:
    """
    The intents and answers of a run, and what the disk did not take of them.

    Args:
        writer: The journal's thread.
        key: The API key, which no stored answer may quote.
        on_trouble: Told of the first answer that could not be kept: send no more.
    """

    def __init__(
        self, writer: Writer, key: str | None, on_trouble: Callable[[DiskError], None]
    ) -> None:
        self.unwritten: dict[int, RawResponse] = {}
        # What is sent once more as was asked, and the state it was in.
        self.resending: dict[int, State] = {}
        self._writer = writer
        self._key = str(key or "")
        self._on_trouble = on_trouble

    async def intend(self, number: int, *, again: bool) -> None:
        """
        Sync the intent to send an item.

        Raises:
            DiskError: The disk does not take it, so it must not be sent.
        """
        await self._writer.do(steps.intend(number, again=again))

    async def keep(self, number: int, raw: RawResponse) -> None:
        """
        Sync an answer before anything looks at it.

        What the disk does not take stays in memory: a paid picture may still become a
        file, and if not its link is told.
        """
        kept = self._scrubbed(raw)
        try:
            await self._writer.do(steps.keep_answer(number, kept), paid=True)
        except DiskError as error:
            self.unwritten[number] = kept
            self._on_trouble(error)

    async def keep_unwritten(self) -> None:
        """Try once more, now that nothing else is written."""
        for number, raw in list(self.unwritten.items()):
            try:
                await self._writer.do(steps.keep_answer(number, raw), paid=True)
            except DiskError:
                return
            del self.unwritten[number]

    def give_back(self, number: int) -> None:
        """Note that sending an item again cost nothing; nothing waits for that."""
        self._writer.post(steps.give_back(number, self.resending[number]))

    def settle(self, number: int, *, maybe: bool, ever: bool) -> None:
        """Note an attempt without a picture; nothing waits for that."""
        if number in self.unwritten and not maybe:
            del self.unwritten[number]
        target = State.UNKNOWN if ever else State.PENDING
        self._writer.post(steps.settle(number, target, maybe=maybe))

    def _scrubbed(self, raw: RawResponse) -> RawResponse:
        # Latin-1 leaves every byte as it is.
        body: str = redact(raw.body.decode("latin-1"), self._key)
        return attrs.evolve(raw, body=body.encode("latin-1"))


class JournalLedger:
    """The ledger of one call: the journal's side, behind the batch's own."""

    def __init__(self, log: WriteAheadLog, batch: Ledger, number: int) -> None:
        self._log = log
        self._batch = batch
        self._number = number
        self._maybe = False  # whether any attempt may be billed
        self._again = number in log.resending
        self._intended = False

    async def before_send(self, request: ImageRequest, attempt: int) -> None:
        """Let the batch refuse first; then sync the intent."""
        self._intended = False
        await self._batch.before_send(request, attempt)
        self._intended = True  # a cancelled wait may have written it
        await self._log.intend(self._number, again=self._again)

    async def answered(self, raw: RawResponse) -> None:
        """Sync the answer; the batch takes no note of it."""
        await self._log.keep(self._number, raw)
        await self._batch.answered(raw)

    async def settled(self, attempt: int, billed: Billed) -> None:
        """Note how the attempt ended, on both sides."""
        self._maybe = self._maybe or billed == "maybe"
        if not self._intended or billed == "yes":
            pass
        elif self._again and not self._maybe:
            self._log.give_back(self._number)
        else:
            self._log.settle(self._number, maybe=billed == "maybe", ever=self._maybe)
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

    async def enter(self) -> None:
        """
        Wait until one more may fail.

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

    def leave(self, *, failed: bool) -> None:
        """Note how a call ended."""
        self._in_flight -= 1
        self._failed += failed
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

    async def answer(
        self,
        request: ImageRequest,
        *,
        ledger: Ledger,
        ceiling: asyncio.Semaphore | None = None,
        batch: bool = False,
    ) -> Answer:
        """Get one picture made, with the journal's entry among the call's ledgers."""
        number = request.id
        if not isinstance(number, int):
            raise JobError("a job's request carries the number of its item")
        await self._failures.enter()
        failed = False
        try:
            return await self._requester.answer(
                request,
                ledger=JournalLedger(self._log, ledger, number),
                ceiling=ceiling,
                batch=batch,
            )
        except ZaiImagesError as error:
            failed = error.stops != "everything"
            raise
        finally:
            self._failures.leave(failed=failed)

    async def fetch(self, answer: Answer) -> Picture:
        """Fetch the picture of an answer."""
        return await self._requester.fetch(answer)
