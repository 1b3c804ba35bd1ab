"""One run of a job: what is sent, and what earlier runs have paid for."""

import asyncio
from array import array
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Coroutine, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from zai_images import events
from zai_images._api.errors import ZaiImagesError
from zai_images._api.request import ImageRequest
from zai_images._api.wire import decode
from zai_images._batch.outcomes import Done, Outcome
from zai_images._batch.runner import BatchRun
from zai_images._session.session import ImageSession
from zai_images.jobs._audit import Inventory
from zai_images.jobs._errors import JobError
from zai_images.jobs._evidence import read
from zai_images.jobs._journal import queries
from zai_images.jobs._journal.queries import Item, Kept
from zai_images.jobs._journal.steps import (
    UNWANTED,
    WANTED,
    Leftovers,
    Received,
    leftovers,
    resume,
)
from zai_images.jobs._names import NameTemplate
from zai_images.jobs._overflow import Overflow
from zai_images.jobs._refetch import NotFetchedError, Refetcher
from zai_images.jobs._report import Unwritten
from zai_images.jobs._results import ResultWriter
from zai_images.jobs._states import State
from zai_images.jobs._store import Store
from zai_images.jobs._write_ahead import FailureCap, JournaledRequester, WriteAheadLog

SANDBOX = "sandbox"  # the service of a job of a private sandbox
_BLOCK = 200  # items read from the journal together
# Files written at once: each waits for two syncs of the disk, and where many pictures
# come together fewer would hold up the sending.
_SAVERS = 16


class JobRun:
    """
    A run that sends what is pending, and fetches and keeps every picture.

    Attributes:
        stopped_by: What ended the run early.
        stopping: Whether nothing new is sent.
    """

    def __init__(
        self,
        *,
        session: ImageSession,
        store: Store,
        names: NameTemplate,
        observer: events.Observer | None,
        wanted: int,
    ) -> None:
        self.stopped_by: Exception | None = None
        self._session = session
        self._writer = store.writer
        self._folder = store.folder
        self._wanted = wanted
        # How much an item must be wanted to be paid for once more.
        self._least_wanted = WANTED if wanted == WANTED else UNWANTED
        self._items: dict[int, Item] = {}  # that are sent and not recorded yet
        self._inventory = Inventory(store.folder, store.writer)
        self._log = WriteAheadLog(
            store.writer,
            session.config,
            store.ownership.attempts,
            Overflow(store.folder.path, store.ownership.job, store.ownership.is_here),
            self.on_disk_trouble,
        )
        self._results = ResultWriter(
            store=store,
            names=names,
            log=self._log,
            observer=observer,
            on_trouble=self.on_disk_trouble,
        )
        self._batch: BatchRun | None = None
        self.stopping = False
        self._savers = asyncio.Semaphore(_SAVERS)
        self._refetcher = Refetcher(session)
        self._fetchers = asyncio.Semaphore(session.config.max_downloads)
        self._fetched = asyncio.Event()  # every kept link has been tried

    @property
    def moved(self) -> Counter[State]:
        """How many items came to each state."""
        return self._results.moved

    @property
    def unwritten(self) -> tuple[Unwritten, ...]:
        """The links of the paid answers that are on no disk, or on one that is gone."""
        return tuple(self._results.told) + tuple(
            Unwritten(number=fact.attempt.number, url=image.url)
            for fact in self._log.unwritten
            if isinstance(fact, Received)
            and (response := read(fact.raw, datetime.now(UTC)).response) is not None
            for image in response.images
        )

    def stop(self) -> None:
        """Send nothing new; what runs is finished and kept."""
        self.stopping = True
        if self._batch is not None:
            self._batch.stop()

    def on_disk_trouble(self, error: Exception) -> None:
        """Stop sending: what comes could not be kept."""
        # The journal's word counts: it says what to do. Where both find the same disk
        # full, a file may do so a moment earlier.
        first = self.stopped_by is None
        if first or (
            isinstance(self.stopped_by, OSError) and isinstance(error, JobError)
        ):
            self.stopped_by = error
        self.stop()

    async def prepare(
        self, again: Collection[str], *, private_sandbox: bool
    ) -> Leftovers:
        """
        Bring the job to where it can go on, and make items pending again.

        Returns:
            What earlier runs have left to do.

        Raises:
            JobError: The job was made with another service.
            DiskError: The disk does not let us.
        """
        service = SANDBOX if private_sandbox else self._session.config.base_url
        await self._log.take_in()
        await self._writer.do(resume(service, private_sandbox=private_sandbox))
        await asyncio.to_thread(self._folder.prepare)
        shards = await self._writer.do(queries.shards, "read")
        await self._inventory.refuse_if_away(shards)
        if "missing" in again:  # what was removed since the last run as well
            for shard in range(shards):
                await self._inventory.look(shard)
            await self._inventory.look_elsewhere()
        left = await self._writer.do(leftovers(again, wanted=self._least_wanted))
        self._log.resending.update(left.unknown)
        return left

    async def carry_out(
        self, left: Leftovers, failures: FailureCap, limit: int | None
    ) -> None:
        """Run to the end, or to where it is stopped."""
        requester = JournaledRequester(self._session.requester, self._log, failures)
        try:
            async with asyncio.TaskGroup() as lanes:
                lanes.create_task(self._guarded(self._fetch_kept(left)))
                await self._send(requester, left.dead, limit, lanes)
        finally:
            await self._log.close()

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        """Let trouble with the disk stop the sending, and nothing else."""
        try:
            await work
        except* (JobError, OSError) as group:  # lanes have lanes of their own
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
            if self.stopping:
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
        for number in sorted(self._log.resending):
            yield await self._again(number)
        position, more = (0, 0), True
        while more:
            block = await self._writer.do(
                queries.pending_after(position, _BLOCK, wanted=self._wanted), "read"
            )
            more = len(block) == _BLOCK
            for at, item in block:
                position = (at, item.number)
                yield self._request(item)
        if dead:
            await self._fetched.wait()  # one more try costs nothing
            unspent = queries.unspent("dead", wanted=self._least_wanted)
            found = await self._writer.do(unspent, "read")
            for number in sorted(dead.intersection(found)):
                self._log.resending.add(number)
                yield await self._again(number)

    async def _again(self, number: int) -> ImageRequest:
        (item,) = await self._writer.do(queries.items([number]), "read")
        return self._request(item)

    def _request(self, item: Item) -> ImageRequest:
        self._items[item.number] = item
        return decode(item.body, item.number)

    async def _record(self, outcome: Outcome) -> None:
        try:
            item = self._items.pop(_number(outcome))
            if isinstance(outcome, Done):
                await self._results.write_made(item, outcome)
            elif outcome.error.stops != "everything" or outcome.error.maybe_billed:
                await self._results.write_failed(item, outcome)
                if outcome.error.stops == "model":
                    self.stopped_by = self.stopped_by or outcome.error
            # The error that stops everything is told once, and its item is pending.
        finally:
            self._savers.release()

    # What earlier runs have paid for.

    async def _fetch_kept(self, left: Leftovers) -> None:
        """Fetch by kept links, and what is gone from the folder as well."""
        try:
            async with asyncio.TaskGroup() as lanes:
                await self._fetch(left.answered, lanes)
                again = array("q")
                for shard in range(self._inventory.shards):
                    if self.stopping:
                        return
                    again.extend(await self._inventory.look(shard))
                await self._inventory.look_elsewhere()
                await self._fetch(again, lanes)
        finally:
            self._fetched.set()
            await self._refetcher.aclose()

    async def _fetch(self, numbers: "array[int]", lanes: asyncio.TaskGroup) -> None:
        for start in range(0, len(numbers), _BLOCK):
            block = numbers[start : start + _BLOCK].tolist()
            for item, kept in await self._writer.do(queries.kept(block), "read"):
                await self._fetchers.acquire()
                if self.stopping:
                    return
                task = lanes.create_task(self._guarded(self._fetch_one(item, kept)))
                task.add_done_callback(lambda _: self._fetchers.release())

    async def _fetch_one(self, item: Item, kept: Sequence[Kept]) -> None:
        try:
            picture = await self._refetcher.fetch(kept)
        except NotFetchedError as error:
            await self._results.write_unfetched(item, error, dead=error.attempts)
        else:
            await self._results.write_picture(item, picture)


def _number(outcome: Outcome) -> int:
    """Return the number of an outcome's item, which its request carries as the id."""
    number = getattr(outcome.request, "id", None)
    if not isinstance(number, int):
        raise TypeError("a job's request carries the number of its item")
    return number
