"""What must be true after the power went, whatever the disk kept of the run."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
from support.judge.crash import MODES, Disk, Mode, prefixes
from support.judge.paid_service import Bill
from support.judge.shim import Event, events
from support.judge.trial import Trial

_LINK = re.compile(rb"GET /\w+/p/(\d+)\.png")


@attrs.frozen(kw_only=True)
class Recording:
    """
    Hold what one run did, and what lay there before it.

    Attributes:
        trial: The trial it was a run of.
        before: Names and contents of the files that were safe when it began.
        events: Its calls, in the order in which they took effect.
        bill: What the service knew afterwards.
    """

    trial: Trial
    before: dict[str, bytes]
    events: tuple[Event, ...]
    bill: Bill

    @classmethod
    def of(cls, trial: Trial) -> "Recording":
        """Record a first run."""
        before = {"p.txt": (trial.place / "p.txt").read_bytes()}
        log = trial.place.parent / f"{trial.place.name}.log"
        trial.batch(log=log, record=True)
        return cls(
            trial=trial,
            before=before,
            events=tuple(events(log)),
            bill=trial.case.bill(),
        )

    def states(
        self, most: int, modes: Sequence[Mode] = MODES
    ) -> list[tuple[int, Mode]]:
        """List where the power may go, and what is kept; evenly if it is too much."""
        every = [(n, mode) for n in prefixes(self.events) for mode in modes]
        if len(every) <= most:
            return every
        step = len(every) / most
        return [every[int(index * step)] for index in range(most)]

    def told(self, cut: int) -> tuple[Counter[str], Counter[str]]:
        """
        Tell what the world had been told by then, by prompt.

        First what had been sent and was billed, then which pictures had been asked for,
        whose answers were in the journal by then.
        """
        sent: Counter[str] = Counter()
        fetched: set[int] = set()
        for request in self._requests(cut):
            if (link := _LINK.match(request)) is not None:
                fetched.add(int(link[1]))
            elif b"\r\n\r\n{" in request:
                sent[json.loads(request.partition(b"\r\n\r\n")[2])["prompt"]] += 1
        paid = sent - (self.bill.asked - self.bill.billed)  # refused first, then made
        return paid, Counter(self.bill.entries[n]["prompt"] for n in fetched)

    def _requests(self, cut: int) -> Iterator[bytes]:
        """Put the requests together: head and body may go in two writes."""
        begun: dict[int, bytes] = {}
        for event in self.events[:cut]:
            if event.call != "send":
                continue
            if event.data.startswith((b"POST ", b"GET ")):
                if event.fd in begun:
                    yield begun[event.fd]
                begun[event.fd] = event.data
            else:
                begun[event.fd] = begun.get(event.fd, b"") + event.data
        yield from begun.values()


def disks(recording: Recording, cuts: Sequence[int]) -> Iterator[tuple[int, Disk]]:
    """Follow a recording, and stop at some places."""
    disk = Disk(recording.trial.place, recording.before)
    done = 0
    for cut in cuts:
        for event in recording.events[done:cut]:
            disk.follow(event)
        done = cut
        yield cut, disk


def check_state(
    recording: Recording, disk: Disk, cut: int, mode: Mode, place: Path
) -> None:
    """Resume from what the disk kept, and hold the job to what the world was told."""
    disk.write(place, mode, seed=cut)
    trial = attrs.evolve(recording.trial, place=place)
    where = f"after call {cut} of {len(recording.events)}, the disk {mode}: "
    sent, fetched = recording.told(cut)

    found = trial.items()
    trial.check_files(recording.trial.case.bill(), found)
    trial.check_whole()
    unsent = Counter(item.prompt for item in found if item.state == "pending")
    kept = Counter(item.prompt for item in found) - unsent
    assert sent <= kept, f"{where}sent, and not in the journal: {sent - kept}"

    before = trial.case.bill().billed
    ran = trial.batch()
    again = trial.case.bill().billed - before
    assert again <= trial.wanted - sent, f"{where}paid twice: {again + sent}"
    states = trial.by_state()
    unknown, saved = Counter(states["unknown"]), Counter(states["saved"])
    assert fetched <= saved, f"{where}answers lost: {fetched - saved}; {ran.err}"
    assert unknown + saved == trial.wanted, f"{where}{dict(states)}; {ran.err}"
    open_ = ("sent", "unknown", "answered")  # an answer may tell of a failure
    asked = Counter(item.prompt for item in found if item.state in open_)
    assert unknown <= asked, f"{where}unknown without an intent: {unknown - asked}"
    trial.check_files(trial.case.bill())
    trial.check_tidy()
