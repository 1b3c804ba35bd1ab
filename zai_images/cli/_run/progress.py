"""How far a job is: a bar where a person looks on, else a line now and then."""

import asyncio
import math
from pathlib import Path
from typing import Self

import attrs
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from zai_images import events
from zai_images.cli._output import Output
from zai_images.cli._text import duration, some

EVERY = 5.0  # seconds between two lines
MANY = 10  # refusals; fewer are how the places are found


@attrs.define
class Counts:
    """
    The counts of what becomes of the requests that a run is about.

    Attributes:
        total: Requests.
        there: Pictures that were there before.
        made: Pictures made or fetched by this run.
        failed: Requests that ended in an error which cost nothing, the refused too.
        unknown: Requests that may be billed and have no picture.
        errors: Requests that this run has got no picture for.
        first: The file of the first request that has one.
    """

    total: int = 0
    there: int = 0
    made: int = 0
    failed: int = 0
    unknown: int = 0
    errors: int = 0
    first: Path | None = None
    _first_number: float = math.inf

    def found(self, number: int, path: Path) -> None:
        """Note where a picture is."""
        if number < self._first_number:
            self._first_number, self.first = number, path

    @property
    def settled(self) -> int:
        """Requests that are through."""
        return self.made + self.there + self.failed + self.unknown

    @property
    def left(self) -> int:
        """Requests that are not begun, or not ended."""
        return max(0, self.total - self.settled)


class Flights:
    """What a session has at the service, and how many places it has there."""

    def __init__(self) -> None:
        self._flying: set[int] = set()
        self._limits: dict[str, int] = {}
        self._refused = 0
        self._answered = 0

    def observe(self, event: events.Event) -> None:
        """Take note of an event."""
        if isinstance(event, events.LimitChanged):
            self._limits[event.model] = event.new
        elif isinstance(event, events.Sent):
            self._flying.add(id(event.request))
        elif isinstance(event, events.CallEvent):  # any other is after the answer
            self._flying.discard(id(event.request))
            self._answered += isinstance(event, events.Answered)
            self._refused += isinstance(event, events.Refused)

    def words(self) -> list[str]:
        """Say how many places are taken, and refusals where they are no small part."""
        taken, limit = len(self._flying), sum(self._limits.values())
        said = []
        if taken < limit:
            said.append(f"{taken} of {limit} places")
        elif taken:
            said.append(some(taken, "place"))
        if self._refused >= MANY and self._refused > self._answered:
            said.append(f"{self._refused} refused and tried again")
        return said


class ProgressDisplay:
    """How far a run is, shown while the block runs; `moved` after each change."""

    def __init__(self, output: Output, counts: Counts) -> None:
        self._output = output
        self._counts = counts
        self._flights = Flights()
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._bar: Progress | None = None
        self._task = TaskID(0)

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._loop.time() - self._begun

    def __enter__(self) -> Self:
        if self._output.on_terminal:
            self._bar = Progress(
                BarColumn(),
                TextColumn("{task.fields[words]}"),
                console=self._output.console,
                transient=True,
                redirect_stdout=False,  # the data must reach stdout, not stderr
                redirect_stderr=False,
            )
            self._task = self._bar.add_task(
                "", total=self._counts.total, words=self.words()
            )
            self._bar.start()
            self._output.live = True
        else:
            self._timer = self._loop.call_later(EVERY, self._line)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._bar is not None:
            self._bar.stop()
            self._output.live = False

    def _line(self) -> None:
        self._output.say(self.words())
        self._timer = self._loop.call_later(EVERY, self._line)

    def observe(self, event: events.Event) -> None:
        """Take note of an event of the session, and show it."""
        self._flights.observe(event)
        self.moved()

    def moved(self) -> None:
        """Show the counts as they are now."""
        if self._bar is not None:
            self._bar.update(
                self._task, completed=self._counts.settled, words=self.words()
            )

    def words(self) -> str:
        """Say how far it is, how fast, and how long it will take."""
        counts = self._counts
        # What an interrupted retry has left is sent too, and was not counted.
        total = max(counts.total, counts.settled)
        parts = [f"{counts.settled} of {total}"]
        if counts.failed:
            parts.append(f"{counts.failed} failed")
        if counts.unknown:
            parts.append(f"{counts.unknown} unknown")
        parts += self._flights.words()
        if counts.made and self.elapsed > 0:
            rate = counts.made / self.elapsed
            parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.0f}/min")
            parts.append(f"{duration(counts.left / rate)} left")
        return ", ".join(parts)
