"""One run of a job: what is sent, and what earlier runs have paid for."""

import asyncio
from array import array
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Coroutine
from contextlib import aclosing

from zai_images import events
from zai_images._api.errors import ZaiImagesError
from zai_images._api.request import ImageRequest
from zai_images._api.wire import decode
from zai_images._batch.outcomes import Done, Outcome
from zai_images._batch.runner import BatchRun
from zai_images._session.session import ImageSession
from zai_images.jobs._errors import DiskError
from zai_images.jobs._folder import JobFolder
from zai_images.jobs._journal import queries, steps
from zai_images.jobs._journal.writer import Writer
from zai_images.jobs._names import NameTemplate
from zai_images.jobs._recovery import resume
from zai_images.jobs._refetch import NotFetchedError, Refetcher
from zai_images.jobs._report import Unwritten
from zai_images.jobs._results import ResultWriter, picture_in
from zai_images.jobs._states import State
from zai_images.jobs._write_ahead import FailureCap, JournaledRequester, WriteAheadLog

_BLOCK = 200  # items read from the journal together
# Files written at once: each waits for two syncs of the disk, and where many pictures
# come together fewer would hold up the sending.
_SAVERS = 16


class JobRun:
    """
    A run that sends what is pending, and fetches and keeps every picture.

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
        self._log = WriteAheadLog(writer, session.config.api_key, self.on_disk_trouble)
        self._results = ResultWriter(
            config=session.config,
            writer=writer,
            folder=folder,
            names=names,
            log=self._log,
            observer=observer,
            on_trouble=self.on_disk_trouble,
        )
        self._batch: BatchRun | None = None
        self._stopping = False
        self._savers = asyncio.Semaphore(_SAVERS)
        self._fetched = asyncio.Event()  # every kept link has been tried

    @property
    def moved(self) -> Counter[State]:
        """How many items came to each state."""
        return self._results.moved

    @property
    def unwritten(self) -> tuple[Unwritten, ...]:
        """The paid answers that are on no disk."""
        return self._results.unwritten

    def stop(self) -> None:
        """Send nothing new; what runs is finished and kept."""
        self._stopping = True
        if self._batch is not None:
            self._batch.stop()

    def on_disk_trouble(self, error: Exception) -> None:
        """Stop sending: what comes could not be kept."""
        # The journal's word counts: it says what to do. Where both find the same disk
        # full, a file may do so a moment earlier.
        first = self.stopped_by is None
        if first or (
            isinstance(self.stopped_by, OSError) and isinstance(error, DiskError)
        ):
            self.stopped_by = error
        self.stop()

    async def prepare(
        self, again: Collection[str], *, private_sandbox: bool
    ) -> steps.Leftovers:
        """
        Bring the job to where it can go on, and make items pending again.

        Returns:
            What earlier runs have left to do.

        Raises:
            JobError: The job was made with another service.
            DiskError: The disk does not let us.
        """
        config = self._session.config
        await self._writer.do(resume(config, private_sandbox=private_sandbox))
        await asyncio.to_thread(self._folder.prepare)
        left = await self._writer.do(steps.leftovers(again, wanted=self._least_wanted))
        self._log.resending.update(dict.fromkeys(left.unknown, State.UNKNOWN))
        return left

    @property
    def _least_wanted(self) -> int:
        """How much an item must be wanted to be paid for once more."""
        return steps.WANTED if self._wanted == steps.WANTED else steps.UNWANTED

    async def carry_out(
        self, left: steps.Leftovers, failures: FailureCap, limit: int | None
    ) -> None:
        """Run to the end, or to where it is stopped."""
        requester = JournaledRequester(self._session.requester, self._log, failures)
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._guarded(self._fetch_kept(left)))
            await self._send(requester, left.dead, limit, lanes)
        await self._log.keep_unwritten()

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        """Let trouble with the disk stop the sending, and nothing else."""
        try:
            await work
        except* (DiskError, OSError) as group:  # lanes have lanes of their own
            self.on_disk_trouble(group.exceptions[0])

    # What is sent.

    async def _send(
        self,
        requester: JournaledRequester,
        dead: frozenset[int],
        limit: int | None,
        lanes: asyncio.TaskGroup,
    ) -> None:
        async with aclosing(self._requests(dead)) as requests:
            self._batch = BatchRun(requester, requests, limit=limit, download=True)
            if self._stopping:
                self._batch.stop()
            try:
                # What is cut off in here stands in the journal as sent or answered.
                async with self._batch:
                    async for outcome in self._batch:
                        await self._savers.acquire()
                        lanes.create_task(self._guarded(self._record(outcome)))
            except ZaiImagesError as error:
                self.stopped_by = self.stopped_by or error

    async def _requests(
        self, dead: frozenset[int]
    ) -> AsyncGenerator[ImageRequest, None]:
        for number in list(self._log.resending):
            yield await self._request(number)
        position, more = (0, 0), True
        while more:
            block = await self._writer.do(
                queries.pending_after(position, _BLOCK, wanted=self._wanted)
            )
            more = len(block) == _BLOCK
            for at, number, body in block:
                position = (at, number)
                yield decode(body, number)
        if dead:
            await self._fetched.wait()  # one more try costs nothing
            unspent = queries.unspent("dead", wanted=self._least_wanted)
            for number in sorted(dead.intersection(await self._writer.do(unspent))):
                self._log.resending[number] = State.ANSWERED
                yield await self._request(number)

    async def _request(self, number: int) -> ImageRequest:
        _, _, body = await self._writer.do(queries.about(number))
        return decode(body, number)

    async def _record(self, outcome: Outcome) -> None:
        try:
            if isinstance(outcome, Done):
                await self._results.write_made(outcome)
            elif outcome.error.stops != "everything" or outcome.error.maybe_billed:
                await self._results.write_failed(outcome)
                if outcome.error.stops == "model":
                    self.stopped_by = self.stopped_by or outcome.error
            # The error that stops everything is told once, and its item is pending.
        finally:
            self._savers.release()

    # What earlier runs have paid for.

    async def _fetch_kept(self, left: steps.Leftovers) -> None:
        """Fetch by kept links, and what is gone from the folder as well."""
        refetcher = Refetcher(self._session)
        room = asyncio.Semaphore(self._session.config.max_downloads)
        try:
            async with asyncio.TaskGroup() as fetchers:
                await self._fetch(left.answered, refetcher, room, fetchers)
                gone = await self._gone(left.shards)
                await self._fetch(gone, refetcher, room, fetchers)
        finally:
            self._fetched.set()
            await refetcher.aclose()

    async def _gone(self, shards: int) -> "array[int]":
        """Find the pictures whose files are gone or cut off, and note that."""
        gone = array("q")
        for shard in range(shards):
            if self._stopping:
                break
            # Recorded first, listed then: a file is there before its record is.
            recorded = await self._writer.do(queries.recorded(shard))
            there = await asyncio.to_thread(self._folder.files, shard)
            lost = [
                number for number, path, size in recorded if there.get(path, -1) != size
            ]
            if lost:
                await self._writer.do(steps.missing(lost))
                gone.extend(lost)
        return gone

    async def _fetch(
        self,
        numbers: "array[int]",
        refetcher: Refetcher,
        room: asyncio.Semaphore,
        fetchers: asyncio.TaskGroup,
    ) -> None:
        for start in range(0, len(numbers), _BLOCK):
            block = numbers[start : start + _BLOCK].tolist()
            for kept in await self._writer.do(queries.kept(block)):
                await room.acquire()
                if self._stopping:
                    return
                task = fetchers.create_task(
                    self._guarded(self._fetch_one(refetcher, kept))
                )
                task.add_done_callback(lambda _: room.release())

    async def _fetch_one(self, refetcher: Refetcher, kept: queries.Kept) -> None:
        request = decode(kept.body, kept.number)
        try:
            picture = await refetcher.fetch(picture_in(kept.raw), kept.at)
        except NotFetchedError as error:
            await self._results.write_unfetched(
                kept.number, request, error, dead=error.dead
            )
        else:
            await self._results.write_fetched(kept.number, request, picture)
