"""One run of a job: what is sent, and what earlier runs have paid for."""

import asyncio
from array import array
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import Literal

from zai_images import events
from zai_images._api.errors import ZaiImagesError
from zai_images._api.request import ImageRequest
from zai_images._batch.outcomes import Done, Outcome
from zai_images._batch.runner import BatchRun
from zai_images._session.session import ImageSession
from zai_images.jobs._errors import DiskError
from zai_images.jobs._folder import JobFolder
from zai_images.jobs._journal import queries as lookups, steps as journal
from zai_images.jobs._journal.steps import UNWANTED, WANTED
from zai_images.jobs._journal.writer import Writer
from zai_images.jobs._names import NameTemplate
from zai_images.jobs._recovery import SANDBOX, check_service, recover
from zai_images.jobs._refetch import Links, NotFetchedError
from zai_images.jobs._report import Unwritten
from zai_images.jobs._results import Keeper, picture_in
from zai_images.jobs._states import State
from zai_images.jobs._write_ahead import Books, FailureCap, JournaledRequester

_BLOCK = 200  # items read from the journal together
# Files written at once: each waits for two syncs of the disk, and where many pictures
# come together fewer would hold up the sending.
_SAVERS = 16


class JobRun:
    """
    Send what is pending, fetch what is answered, and keep every picture.

    Attributes:
        stopped_by: What ended the run early.
    """

    def __init__(  # noqa: PLR0913 - the parts of a job, all by keyword
        self,
        *,
        session: ImageSession,
        writer: Writer,
        folder: JobFolder,
        names: NameTemplate,
        observer: events.Observer | None,
        wanted: int,
    ) -> None:
        self.stopped_by: Exception | None = None
        self._session = session
        self._writer = writer
        self._folder = folder
        self._wanted = wanted
        self._books = Books(writer, session.config.api_key, self.on_disk_trouble)
        self._keeper = Keeper(
            config=session.config,
            writer=writer,
            folder=folder,
            names=names,
            books=self._books,
            observer=observer,
            on_trouble=self.on_disk_trouble,
        )
        self._batch: BatchRun | None = None
        self._stopping = False
        self._savers = asyncio.Semaphore(_SAVERS)
        self._fetched = asyncio.Event()  # every kept link has been tried
        self._dead: frozenset[int] = frozenset()  # links, when the run began

    @property
    def moved(self) -> Counter[State]:
        """How many items came to each state."""
        return self._keeper.moved

    @property
    def unwritten(self) -> tuple[Unwritten, ...]:
        """The paid answers that are on no disk."""
        return self._keeper.unwritten

    def stop(self) -> None:
        """Send nothing new; what runs is finished and kept."""
        self._stopping = True
        if self._batch is not None:
            self._batch.stop()

    def on_disk_trouble(self, error: Exception) -> None:
        """Stop sending: what comes could not be kept."""
        if self.stopped_by is None:
            self.stopped_by = error
        self.stop()

    async def prepare(self, again: Sequence[str], *, private_sandbox: bool) -> None:
        """
        Bring the job to where it can go on, and make items pending again.

        Raises:
            JobError: The job was made with another service.
            DiskError: The disk does not let us.
        """
        config = self._session.config
        service = SANDBOX if private_sandbox else config.base_url
        await self._writer.do(check_service(service))
        await self._writer.do(recover(config, private_sandbox=private_sandbox))
        await asyncio.to_thread(self._folder.prepare)
        if "failed" in again:
            await self._writer.do(journal.retry_failed)
        if "unknown" in again:
            numbers = await self._unspent("unknown")
            self._books.resending.update(dict.fromkeys(numbers, State.UNKNOWN))
        if "dead" in again:
            self._dead = frozenset(await self._unspent("dead"))

    async def _unspent(self, kind: Literal["unknown", "dead"]) -> list[int]:
        """Find what may be sent once more, though it may have been paid for."""
        least = WANTED if self._wanted == WANTED else UNWANTED
        return await self._writer.do(lookups.unspent(kind, wanted=least))

    async def carry_out(self, failures: FailureCap, limit: int | None) -> None:
        """Run to the end, or to where it is stopped."""
        answered = await self._writer.do(lookups.answered)
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._guarded(self._fetch_kept(answered)))
            await self._send(failures, limit, lanes)
        await self._books.keep_unwritten()

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        """Let trouble with the disk stop the sending, and nothing else."""
        try:
            await work
        except* (DiskError, OSError) as group:  # lanes have lanes of their own
            self.on_disk_trouble(group.exceptions[0])

    # What is sent.

    async def _send(
        self, failures: FailureCap, limit: int | None, lanes: asyncio.TaskGroup
    ) -> None:
        requester = JournaledRequester(self._session.requester, self._books, failures)
        async with aclosing(self._requests()) as requests:
            self._batch = BatchRun(requester, requests, limit=limit, download=True)
            if self._stopping:
                self._batch.stop()
            try:
                # What is cut off in here stands in the journal as sent or answered.
                async with self._batch:
                    async for outcome in self._batch:
                        await self._savers.acquire()
                        lanes.create_task(self._guarded(self._take(outcome)))
            except ZaiImagesError as error:
                self.stopped_by = self.stopped_by or error

    async def _requests(self) -> AsyncGenerator[ImageRequest, None]:
        for number in list(self._books.resending):
            yield await self._request(number)
        place = (0, 0)
        while block := await self._writer.do(
            lookups.pending_after(place, _BLOCK, wanted=self._wanted)
        ):
            for at, number, body in block:
                place = (at, number)
                yield lookups.request_of(body, number)
        if self._dead:
            await self._fetched.wait()  # one more try costs nothing
            for number in sorted(self._dead.intersection(await self._unspent("dead"))):
                self._books.resending[number] = State.ANSWERED
                yield await self._request(number)

    async def _request(self, number: int) -> ImageRequest:
        _, _, body = await self._writer.do(lookups.about(number))
        return lookups.request_of(body, number)

    async def _take(self, outcome: Outcome) -> None:
        try:
            if isinstance(outcome, Done):
                await self._keeper.take_done(outcome)
            elif outcome.error.stops != "everything" or outcome.error.maybe_billed:
                await self._keeper.take_failed(outcome)
                if outcome.error.stops == "model":
                    self.stopped_by = self.stopped_by or outcome.error
            # The error that stops everything is told once, and its item is pending.
        finally:
            self._savers.release()

    # What earlier runs have paid for.

    async def _fetch_kept(self, answered: "array[int]") -> None:
        """Fetch by kept links, and what is gone from the folder as well."""
        links = Links(self._session)
        room = asyncio.Semaphore(self._session.config.max_downloads)
        try:
            async with asyncio.TaskGroup() as fetchers:
                await self._fetch(answered, links, room, fetchers)
                gone = await self._gone()
                await self._fetch(gone, links, room, fetchers)
        finally:
            self._fetched.set()
            await links.aclose()

    async def _gone(self) -> "array[int]":
        """Find the pictures whose files are gone or cut off, and note that."""
        shards = await self._writer.do(lookups.shards)
        gone = array("q")
        for shard in range(shards):
            if self._stopping:
                break
            # Recorded first, listed then: a file is there before its record is.
            recorded = await self._writer.do(lookups.recorded(shard))
            there = await asyncio.to_thread(self._folder.files, shard)
            lost = [
                number for number, path, size in recorded if there.get(path, -1) != size
            ]
            if lost:
                await self._writer.do(journal.missing(lost))
                gone.extend(lost)
        return gone

    async def _fetch(
        self,
        numbers: "array[int]",
        links: Links,
        room: asyncio.Semaphore,
        fetchers: asyncio.TaskGroup,
    ) -> None:
        for start in range(0, len(numbers), _BLOCK):
            block = numbers[start : start + _BLOCK].tolist()
            for kept in await self._writer.do(lookups.kept(block)):
                await room.acquire()
                if self._stopping:
                    return
                task = fetchers.create_task(self._guarded(self._fetch_one(links, kept)))
                task.add_done_callback(lambda _: room.release())

    async def _fetch_one(self, links: Links, kept: lookups.Kept) -> None:
        request = lookups.request_of(kept.body, kept.number)
        try:
            picture = await links.fetch(picture_in(kept.raw), kept.at)
        except NotFetchedError as error:
            await self._keeper.take_unfetched(
                kept.number, request, error, dead=error.dead
            )
        else:
            await self._keeper.take_fetched(kept.number, request, picture)
