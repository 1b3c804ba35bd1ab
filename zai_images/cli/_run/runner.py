"""One run of a job, of `batch` and `retry` alike: what it says, and how it ends."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from zai_images import ImageSession, ZaiImagesError, events
from zai_images.cli._exit import DISK, SOME_FAILED, exit_code, sentence
from zai_images.cli._known_limits import save_known_limits
from zai_images.cli._options import CapOptions
from zai_images.cli._output import Output
from zai_images.cli._run.printer import Printer
from zai_images.cli._run.progress import Counts, ProgressDisplay
from zai_images.cli._run.summary import Ending, say_summary
from zai_images.cli._signals import SignalHandler
from zai_images.cli._target import Target
from zai_images.cli._text import shown
from zai_images.jobs import (
    ImageJob,
    ItemMoved,
    JobError,
    JobRecord,
    JobReport,
    JobStatus,
    State,
)

_WAITS = 1000  # pictures whose waiting is remembered
_AT_ONCE = 100  # lines about pictures that are there already, written together
# What a record calls the state of a request after a run.
_WORDS = {State.SAVED: "done", State.UNKNOWN: "unknown", State.PENDING: "pending"}
_BILLED = {State.SAVED: "yes", State.ANSWERED: "yes", State.UNKNOWN: "maybe"}

_log = logging.getLogger("zai_images")

Begin = Callable[[ImageSession], Awaitable[JobReport]]


class _Warnings(logging.Handler):
    """The library's warnings on the terminal, each kind once."""

    def __init__(self, output: Output) -> None:
        super().__init__(logging.WARNING)
        self._output = output
        self._said: set[object] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Say a warning of a kind that was not said before."""
        if record.msg not in self._said:
            self._said.add(record.msg)
            self._output.say(record.getMessage())


class RunReporter:
    """
    A run of a job that somebody looks at: it shows what happens and how it ended.

    Args:
        output: Where to say it.
        folder: The job's.
        caps: The bounds of the run.
        signals: The first of them stops the run gently.
    """

    _job: ImageJob

    def __init__(
        self, output: Output, folder: Path, caps: CapOptions, signals: SignalHandler
    ) -> None:
        self.counts = Counts()
        self._output = output
        self._folder = folder
        self._caps = caps
        self._signals = signals
        self._display = ProgressDisplay(output, self.counts)
        self._printer = Printer(output, self._stop)
        self._waits: deque[float] = deque(maxlen=_WAITS)
        self._told = bytearray()  # by number, which items a record was written of

    def observe(self, event: events.Event) -> None:
        """Take note of an event of the job or of its session, and show it."""
        if isinstance(event, ItemMoved):
            self._note(event)
        else:
            self._display.observe(event)

    def _note(self, event: ItemMoved) -> None:
        """Note what became of an item, and say it."""
        counts, error = self.counts, event.error
        if event.state is State.SAVED:
            counts.made += 1
            self._waits.append(event.queued)
        elif event.state is State.UNKNOWN:
            counts.unknown += 1
        elif event.state in (State.FAILED, State.REFUSED):
            counts.failed += 1
        if error is not None:
            counts.errors += 1
            if not _is_said_at_the_end(error):
                self._output.say(_complaint(event, error))
        self._print(event)
        self._display.moved()

    def _print(self, event: ItemMoved) -> None:
        if event.number >= len(self._told):
            self._told.extend(bytes(event.number - len(self._told) + 1))
        self._told[event.number] = 1
        path = self._path(event)
        record = _record(event, event.prompt, path) | {
            "error": None if event.error is None else sentence(event.error),
            "billed": _billed(event),
            "seconds": round(event.latency, 3),
        }
        self._printer.add(path, record)

    def _path(self, one: ItemMoved | JobRecord) -> str | None:
        """Tell where the picture of an item is, and note it; None where it is not."""
        removed = isinstance(one, JobRecord) and one.seen == "missing"
        if one.path is None or removed:
            return None
        path = self._folder / one.path
        self.counts.found(one.number, path)
        return str(path)

    def _stop(self) -> None:
        self._job.stop()

    def _stop_gently(self) -> None:
        self._output.say(
            "stopping: nothing new is sent, what is in flight is finished and kept "
            "(once more to end at once)"
        )
        self._stop()

    async def run(
        self, job: ImageJob, target: Target, begin: Begin, *, whole: bool = True
    ) -> int:
        """
        Run a job to its end, or to where it is stopped, and say how it ended.

        Args:
            job: The job, with what is to be sent.
            target: Where to send it.
            begin: Start the run and return its report.
            whole: Write of the items too that this run had nothing to do for.

        Returns:
            The exit code.
        """
        self._job = job
        self._signals.gently = self._stop_gently
        report: JobReport | None = None
        session = ImageSession(
            target.config,
            observer=self.observe,
            max_pictures=self._caps.max_pictures,
            max_cost=self._caps.max_cost,
        )
        warnings = _Warnings(self._output)
        _log.addHandler(warnings)
        try:
            async with session, self._printer:
                with self._display:
                    report = await begin(session)
            self._signals.gently = None
            early = report.stopped_by or self._printer.error or self._signals.signal
            if whole and early is None:
                try:
                    await self._print_the_rest()
                except OSError as error:  # of stdout
                    self._printer.error = error
        except asyncio.CancelledError:
            await self._close(target, session, report)
            raise
        finally:
            _log.removeHandler(warnings)
        status = await self._close(target, session, report)
        return self._exit_code(status, report)

    async def _close(
        self, target: Target, session: ImageSession, report: JobReport | None
    ) -> JobStatus:
        """Keep what was learned, and say how it ended."""
        stats, status = session.stats(), JobStatus()
        try:
            status = await self._job.status()
        except JobError as error:  # the summary comes whatever has failed
            self._output.say(sentence(error), "red")
        save_known_limits(target.config, stats)
        stopped_by = report.stopped_by if report else None
        ending = Ending(
            folder=self._folder,
            status=status,
            stats=stats,
            elapsed=self._display.elapsed,
            waits=self._waits,
            sandbox=target.sandbox,
            stopped_by=stopped_by or self._printer.error,
            interrupted=self._signals.signal is not None,
            unwritten=report.unwritten if report else (),
            caps=self._caps,
        )
        say_summary(self._output, self.counts, ending)
        return status

    async def _print_the_rest(self) -> None:
        """Write of the items that this run had nothing to do for."""
        lines: list[tuple[str | None, object]] = []
        async for one in self._job.records():
            told = one.number < len(self._told) and self._told[one.number]
            if told or one.state is State.PENDING:
                continue
            path = self._path(one)
            lines.append((path, _left(one, path)))
            if len(lines) >= _AT_ONCE:
                await self._output.put(*lines)
                lines.clear()
        await self._output.put(*lines)

    def _exit_code(self, status: JobStatus, report: JobReport) -> int:
        if self._signals.signal is not None:
            return self._signals.exit_code
        if isinstance(report.stopped_by, JobError):  # of the disk, or taken over
            return DISK
        if report.stopped_by is not None:
            return exit_code(report.stopped_by)
        if self._printer.error is not None:
            return DISK
        return SOME_FAILED if status.saved < status.total else 0


def _is_said_at_the_end(error: Exception) -> bool:
    """Tell what is true of the whole run, or of all dead links, and said once."""
    everything = isinstance(error, ZaiImagesError) and error.stops == "everything"
    return everything or isinstance(error, OSError) or getattr(error, "dead", False)


def _complaint(event: ItemMoved, error: Exception) -> str:
    why = sentence(error)
    if event.state is State.ANSWERED and not isinstance(error, ZaiImagesError):
        why = f"The picture was made, but could not be fetched: {why}"
    return f'{event.number} "{shown(event.prompt, 50)}": {why}'


def _billed(event: ItemMoved) -> str:
    if event.state in _BILLED:
        return _BILLED[event.state]
    error = event.error
    return error.billed if isinstance(error, ZaiImagesError) else "no"


def _left(one: JobRecord, path: str | None) -> dict[str, object]:
    """Make the record of an item that was as it is before this run."""
    record = _record(one, one.body.get("prompt"), path) | {
        "error": one.error,
        "billed": _BILLED.get(one.state, "no"),
        "seconds": None,
    }
    if one.state is State.SAVED:
        record |= {"status": "skipped", "billed": "no"}
    return record


def _record(
    one: ItemMoved | JobRecord, prompt: object, path: str | None
) -> dict[str, object]:
    """Begin the record of an item."""
    return {
        "index": one.number,
        "id": one.id,
        "prompt": prompt,
        "status": _WORDS.get(one.state, "failed"),
        "state": str(one.state),
        "path": path,
    }
