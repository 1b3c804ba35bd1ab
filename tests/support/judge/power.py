"""What must be true after the power went, whatever the disk kept of the run."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
from support.judge.crash import MODES, Disk, Mode, prefixes
from support.judge.paid_service import Bill
from support.judge.shim import Event, Rule, events
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
    def of(
        cls,
        trial: Trial,
        *,
        first: Rule | None = None,
        fault: Rule | None = None,
        own: bool = False,
    ) -> "Recording":
        """
        Record a first run, or two of which the first is killed.

        Args:
            trial: Nothing of it was run yet.
            first: Where the first of two is killed.
            fault: What the disk does in the last of them.
            own: Leave out how SQLite syncs the folder of its log: it does not where it
                is built with SQLITE_DISABLE_DIRSYNC.
        """
        before = {"p.txt": (trial.place / "p.txt").read_bytes()}
        seen: list[Event] = []
        for number, rule in enumerate((fault,) if first is None else (first, fault)):
            log = trial.place.parent / f"{trial.place.name}.{number}.log"
            killed = trial.batch(log=log, record=True, rule=rule).killed
            assert killed == (rule is not None and not rule.error)
            seen += events(log)
        if own:
            seen = list(_without_folder_syncs(seen, trial.job))
        return cls(
            trial=trial, before=before, events=tuple(seen), bill=trial.case.bill()
        )

    def states(
        self, most: int, modes: Sequence[Mode] = MODES
    ) -> list[tuple[int, Mode]]:
        """
        List where the power may go, and what is kept; evenly if it is too much.

        Of the mode `dropped` none is left out. What the disk has changes at a sync
        alone; between two, most was told at the last moment, which stands for all.
        Nor does `names` miss the moment after a name is given, for which it is there.
        """
        every = [
            (n, mode)
            for n in prefixes(self.events)
            for mode in modes
            if mode != "dropped"
        ]
        step = max(1.0, len(every) / max(1, most))
        chosen = [every[int(n * step)] for n in range(min(most, len(every)))]
        if "dropped" in modes:
            ends = [n for n, event in enumerate(self.events) if event.call == "sync"]
            chosen += [(n, "dropped") for n in (*ends, len(self.events))]
        if "names" in modes:
            chosen += [
                (n, "names")
                for n, event in enumerate(self.events, 1)
                if event.call in ("rename", "link")
            ]
        return sorted(set(chosen))

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


def _without_folder_syncs(seen: Sequence[Event], job: Path) -> Iterator[Event]:
    """Leave out what SQLite does at the first sync of each log: it syncs its folder."""
    fresh: set[str] = set()
    last = ""
    for event in seen:
        if event.call in ("create", "open") and "/job.sqlite-" in event.path:
            fresh.add(event.path)
        elif event.call == "sync":
            last, before = event.path, last
            if event.path == str(job) and before in fresh:
                fresh.remove(before)
                continue
            fresh.discard(before)
        yield event


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
