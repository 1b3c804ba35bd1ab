"""One run of a job on the command line, and what goes wrong around it."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from support.judge.client import Ran, send
from support.judge.paid_service import Case
from support.judge.shim import Rule

# Times that a run may take in its parts, in seconds, so that no test waits for minutes.
TOTAL = 2.5
PATCHES = {
    "timeouts": {"total": TOTAL, "download": TOTAL},
    "retry": {
        "first_pause": 0.02,
        "max_pause": 0.1,
        "busy_pause": 0.05,
        "max_busy_pause": 0.2,
        "download_pause": 0.02,
        "max_outage": 2.0,
    },
    "patience": 500,
    "hangs": 120.0,
}
Moment = Callable[[int], None]  # told the process


@attrs.define(kw_only=True)
class Life:
    """
    One run, drawn beforehand: what it is asked for, and what befalls it.

    Attributes:
        command: Of `batch`, `retry unknown`, `retry failed`.
        options: More arguments.
        source: The file of prompts, by its name.
        rule: What the shim does.
        clock: Jumps of the clock: (from when, wrong by), in seconds.
        told: What the service is told before it.
        plan: The verdicts of the next requests of each prompt.
        moments: What happens while it runs: seconds after the first request, what.
        before: What happens before it.
        after: What is put right after it.
        claims: What its troubles use, so that no two get in each other's way.
        signals: How many signals it was sent.
        died: It was cut off, so that its last step is uncertain.
        still: Nothing may be sent or fetched in it.
        never: What it may not say.
        asked: Another run resent the unknown, as it was asked, when this one had ended.
        others: Further runs that it was met by.
    """

    command: str = "batch"
    options: list[str] = attrs.field(factory=list)
    source: str = "p.jsonl"
    rule: Rule | None = None
    clock: list[tuple[float, int]] = attrs.field(factory=list)
    told: dict[str, Any] = attrs.field(factory=dict)
    plan: dict[str, list[str]] = attrs.field(factory=dict)
    moments: list[tuple[float, Moment]] = attrs.field(factory=list)
    before: list[Callable[[], None]] = attrs.field(factory=list)
    after: list[Callable[[], None]] = attrs.field(factory=list)
    claims: set[str] = attrs.field(factory=set)
    signals: int = 0
    died: bool = False
    still: bool = False
    never: str | None = None
    asked: bool = False
    others: list[Ran] = attrs.field(factory=list)

    @property
    def resends(self) -> bool:
        """Whether a person has asked that the unknown be sent once more."""
        return self.command == "retry unknown" or "resend" in self.options

    def patches(self) -> dict[str, Any]:
        return PATCHES | ({"clock": self.clock} if self.clock else {})

    def meanwhile(self, case: Case, pid: int) -> None:
        """Let everything happen at its moment."""
        if not self.moments:
            return
        begun(case, pid)
        start = time.monotonic()
        for wait, moment in sorted(self.moments, key=lambda both: both[0]):
            time.sleep(max(0.0, start + wait - time.monotonic()))
            if is_alive(pid):
                moment(pid)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def begun(case: Case, pid: int) -> None:
    """Wait until a run has sent something, or has ended."""
    before = len(case.bill().entries)
    ends = time.monotonic() + 10
    while is_alive(pid) and len(case.bill().entries) == before:
        if time.monotonic() > ends:  # it has nothing to send
            return
        time.sleep(0.01)


def stop(pid: int, seconds: float) -> None:
    """Stop a process for a time, as Ctrl-Z or a paused container does."""
    send(pid, signal.SIGSTOP)
    time.sleep(seconds)
    send(pid, signal.SIGCONT)


class Held:
    """A journal that another program holds, until it is let go."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._connection: sqlite3.Connection | None = None

    def take(self, pid: int) -> None:
        """Begin a transaction that keeps every other writer out."""
        if not self._journal.exists():
            return
        self._connection = sqlite3.connect(
            self._journal, isolation_level=None, timeout=5, check_same_thread=False
        )
        self._connection.execute("BEGIN IMMEDIATE")

    @property
    def is_held(self) -> bool:
        return self._connection is not None

    def let_go(self) -> None:
        if self._connection is not None:
            self._connection.execute("ROLLBACK")
            self._connection.close()
            self._connection = None


def replaced(path: Path, target: Path) -> None:
    """Move a folder or a file; what is at the target goes aside."""
    if target.exists():
        aside = target.with_name(f"{target.name} aside {time.monotonic_ns()}")
        os.rename(target, aside)  # noqa: PTH104 - a folder as well
    os.rename(path, target)  # noqa: PTH104 - same
