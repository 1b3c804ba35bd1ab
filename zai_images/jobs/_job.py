"""A durable job: a folder whose work goes on wherever it was left."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

from zai_images import events
from zai_images._api.errors import InvalidRequestError
from zai_images._batch.source import Requests
from zai_images._session.session import ImageSession
from zai_images.jobs import _audit as audit
from zai_images.jobs._errors import DiskError, JobError
from zai_images.jobs._folder import JobFolder
from zai_images.jobs._input.files import InputCheck, PromptFile
from zai_images.jobs._input.intake import ingest, refusal
from zai_images.jobs._input.plan import OnBad, Price, no_states, plan
from zai_images.jobs._input.sources import found_in
from zai_images.jobs._journal import queries, steps
from zai_images.jobs._names import DEFAULT_NAME, NameTemplate
from zai_images.jobs._report import (
    Damage,
    JobPlan,
    JobRecord,
    JobReport,
    JobStatus,
    Spend,
)
from zai_images.jobs._run import JobRun
from zai_images.jobs._store import Store
from zai_images.jobs._write_ahead import FailureCap


class ImageJob:
    """
    A job that makes many pictures over days, kills and empty accounts.

    A job is a folder with a journal (`job.sqlite`) and `pictures/`. Each step is on the
    disk before the next: nothing paid is lost or paid twice, whenever the process ends.
    Resuming is running it again with the same requests.

        async with ImageJob.open("pictures") as job:
            report = await job.run(session, requests)

    Use `ImageJob.open`, and one process for a folder at a time.
    """

    def __init__(
        self,
        folder: JobFolder,
        *,
        names: NameTemplate,
        sandbox: bool,
        observer: events.Observer | None,
        read_only: bool,
    ) -> None:
        self._store = Store(folder, read_only=read_only, on_lost=self._on_lost)
        self._names = names
        self._sandbox = sandbox
        self._observer = observer
        self._running: JobRun | None = None
        self._taking = False
        self._stop_early = False

    @classmethod
    def open(
        cls,
        folder: str | PathLike[str],
        *,
        name: str = DEFAULT_NAME,
        sandbox: bool = False,
        observer: events.Observer | None = None,
        read_only: bool = False,
    ) -> Self:
        """
        Name a job's folder; it is made or opened when the job is entered.

        Args:
            folder: Where the job is.
            name: How files are named: `{index}` (the item's number), `{slug}`,
                `{key8}`, `{key}`, `{id}`, `{model}`, `{quality}`, `{size}` and text.
            sandbox: The service is a private sandbox, which ends with this process.
            observer: Told of every `ItemMoved`.
            read_only: Only look, beside a process that may run the job.

        Raises:
            InvalidRequestError: The name could lead out of the folder.
        """
        return cls(
            JobFolder(Path(folder)),
            names=NameTemplate(name),
            sandbox=sandbox,
            observer=observer,
            read_only=read_only,
        )

    async def __aenter__(self) -> Self:
        """
        Open the job.

        Raises:
            JobError: The folder is no job's, another process's, or the disk fails.
        """
        await self._store.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()

    def _on_lost(self, error: JobError) -> None:
        if self._running is not None:
            self._running.on_disk_trouble(error)

    async def take(
        self,
        requests: PromptFile | Requests,
        *,
        repeat: int = 1,
        skip_invalid: bool = False,
    ) -> InputCheck:
        """
        Take an input into the journal, to its end, before anything is sent.

        Equal requests are separate pictures. What was taken in before is found again,
        wherever it stands now; what cost nothing and is not asked for any more is
        forgotten. A file that has not changed is not read again.

        Args:
            requests: A prompt file, or what `BatchRunner.run` takes, with an end.
            repeat: Pictures of each request.
            skip_invalid: Take in the rest where some cannot be used; else such an input
                changes nothing, and the result says why.

        Raises:
            InvalidRequestError: The file as a whole cannot be read.
            OSError: It cannot be opened.
        """
        if repeat < 1:
            raise InvalidRequestError(f"repeat: cannot be {repeat}; use 1 or more")
        self._refuse_if_busy()
        self._store.opened()
        self._taking = True
        try:
            return await ingest(
                self._store, requests, repeat=repeat, skip_invalid=skip_invalid
            )
        finally:
            self._taking = False

    def _refuse_if_busy(self) -> None:
        if self._running is not None:
            raise JobError("This job runs already; await that run. Nothing was sent.")
        if self._taking:
            raise JobError("This job takes an input in; await that. Nothing was sent.")

    async def plan(
        self,
        requests: PromptFile | Iterable[Any],
        *,
        price: Price,
        repeat: int = 1,
        on_bad: OnBad | None = None,
    ) -> JobPlan:
        """
        Tell what a run would do; nothing is sent, and the journal stays as it is.

        Args:
            requests: As for `take`.
            repeat: Pictures of each request.
            price: US dollars of a picture by model; None where it is not known.
            on_bad: Told of each line that cannot be used, in a thread.
        """
        found = found_in(requests)
        work = partial(plan, found=found, repeat=repeat, price=price, on_bad=on_bad)
        return await self._store.read(queries.asking_states(work))

    @staticmethod
    async def plan_new(
        requests: PromptFile | Iterable[Any],
        *,
        price: Price,
        repeat: int = 1,
        on_bad: OnBad | None = None,
    ) -> JobPlan:
        """Tell what a run in a new folder would do; the rest is as with `plan`."""
        found = found_in(requests)
        return await asyncio.to_thread(
            plan, no_states, found, repeat=repeat, price=price, on_bad=on_bad
        )

    async def run(  # noqa: PLR0913 - what a run may be told, by keyword
        self,
        session: ImageSession,
        requests: PromptFile | Requests | None = None,
        *,
        repeat: int = 1,
        skip_invalid: bool = False,
        on_unknown: Literal["keep", "resend"] = "keep",
        max_failures: int | None = None,
        limit: int | None = None,
    ) -> JobReport:
        """
        Run the job to its end, or to what stops it; run it again to resume.

        What an earlier run has paid for and not saved is fetched by its kept link. What
        was sent without a known answer is not sent again unless that is asked for.

        Args:
            session: Whose places, policy and budget are used. Its own events carry an
                item's number as the request's `id`.
            requests: As for `take`, as the next two are; None for what was taken last.
            repeat: Pictures of each request.
            skip_invalid: Go on without the requests that cannot be used.
            on_unknown: `resend` sends once more what may have been paid without a
                picture, once only for each item; this may pay twice.
            max_failures: Never have more items fail than this in this run; no more are
                in flight than may still fail.
            limit: A ceiling on this job's pictures in flight.

        Returns:
            The report; its `stopped_by` says what ended the run early.

        Raises:
            InvalidRequestError: A request cannot be used; nothing was sent.
            JobError: The job was made with another service; nothing was sent.
            DiskError: The journal could not be written before anything was sent.
        """
        if requests is not None:
            found = await self.take(requests, repeat=repeat, skip_invalid=skip_invalid)
            if found.bad_lines and not skip_invalid:
                raise refusal(found)
        kinds = ("unknown", "dead") if on_unknown == "resend" else ()
        return await self._run(session, kinds, steps.WANTED, max_failures, limit)

    async def retry(
        self,
        session: ImageSession,
        only: Literal["failed", "unknown", "missing"],
        *,
        max_failures: int | None = None,
        limit: int | None = None,
    ) -> JobReport:
        """
        Send again what failed, or what may have been paid without a picture.

        The rest is as with `run`; `unknown` is what `on_unknown="resend"` sends again.
        `missing` sends nothing: files that were removed are fetched again, for free,
        while their links live.
        """
        kinds = ("unknown", "dead") if only == "unknown" else (only,)
        return await self._run(session, kinds, steps.RETRIED, max_failures, limit)

    async def _run(
        self,
        session: ImageSession,
        again: tuple[str, ...],
        wanted: int,
        max_failures: int | None,
        limit: int | None,
    ) -> JobReport:
        self._refuse_if_busy()
        failures = FailureCap(max_failures)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        run = self._running = JobRun(
            session=session,
            store=self._store,
            names=self._names,
            observer=self._observer,
            wanted=wanted,
        )
        try:
            left = await run.prepare(again, private_sandbox=self._sandbox)
            if self._stop_early:
                run.stop()
            await _drained(run, run.carry_out(left, failures, limit))
        finally:
            self._running, self._stop_early = None, False
        return JobReport(
            status=await self._counted(),
            moved=dict(run.moved),
            stopped_by=run.stopped_by,
            unwritten=run.unwritten,
            elapsed=loop.time() - begun,
        )

    async def _counted(self) -> JobStatus:
        try:
            return await self._store.read(queries.count)
        except DiskError:  # the report must come, above all what is unwritten
            return JobStatus()

    def stop(self) -> None:
        """Send nothing new; what runs is finished and kept, and the run returns."""
        self._stop_early = True
        if self._running is not None:
            self._running.stop()

    async def status(self) -> JobStatus:
        """Count the items by state."""
        return await self._store.read(queries.count)

    async def spend(self) -> list[Spend]:
        """Sum up the payments by day and model; a read-only job can tell too."""
        return await self._store.read(queries.spend)

    def records(self) -> AsyncIterator[JobRecord]:
        """Read all that is known of each item, by number."""
        return audit.records(self._store)

    def verify(self) -> AsyncIterator[Damage]:
        """Compare every saved file with its recorded hash, and name what differs."""
        return audit.verify(self._store)


async def _drained(run: JobRun, work: Coroutine[Any, Any, None]) -> None:
    """
    Carry out the work of a run; where that is cancelled, end it in order first.

    A second cancellation cuts it off, and so does the first where it was stopping.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if run.stopping:
            task.cancel()
        run.stop()
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                task.cancel()
        if not task.cancelled():
            task.exception()  # the cancellation is what passes
        raise
