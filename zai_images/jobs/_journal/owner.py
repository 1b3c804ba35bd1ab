"""
Whose job it is: a row that the run at work renews, beside the folder's lock.

Some disks have no locks, and a lock's file can be removed. The row lies in the journal
itself, so whoever writes to it knows whether the job is still his.
"""

import itertools
import os
import secrets
import socket
import sqlite3
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import attrs

from zai_images.jobs._errors import JobError, MovedError
from zai_images.jobs._journal import queries
from zai_images.jobs._journal.schema import JOURNAL, Connection, disk_error
from zai_images.jobs._journal.steps import note

AHEAD = 86400.0  # seconds that another host's clock may be ahead
STALE = 60.0  # seconds without a sign of life from another host
_RENEW = 1.0  # seconds; commits that come sooner do not write the row again
_CLAIM_BITS = 32  # of an attempt's number count the attempts of a claim
_OWNER, _CLAIMS, _NAME = "owner", "claims", "name"
_HELD = (
    "{folder} is in use by process {pid} on {host}, which gave its last sign of life "
    "{age:.0f} s ago. Nothing was sent. Wait for it, or use another folder."
)
_STRANGE = (
    "Who is at work in {folder} cannot be read in its journal: {owner!r}. Nothing was "
    "sent. A newer version may be at work there; if surely nobody is, remove the row "
    "'owner' of the table 'job' in its job.sqlite."
)
_TAKEN = (
    "This job was taken over by process {pid} on {host}. Nothing more was sent here; "
    "what was in flight is kept. Look at the job again once that run has ended."
)
_GONE = (
    "The folder {folder} was moved, replaced or removed while its job ran. Nothing "
    "more was sent. The links of what was in flight are told in full. Put the folder "
    "back, and run the same command again: what it does not hold is in your state "
    "folder."
)


@attrs.frozen(kw_only=True)
class Process:
    """A process that can be told from all others, and where it runs."""

    token: str
    pid: int
    host: str
    machine: str
    started: str

    @classmethod
    def current(cls) -> Self:
        """Describe this process; the token is new each time."""
        return cls(
            token=secrets.token_hex(8),
            pid=os.getpid(),
            host=socket.gethostname(),
            machine=_machine(),
            started=_started(os.getpid()),
        )

    def is_dead(self) -> bool:
        """Tell whether this process of this machine has ended."""
        if self.pid == os.getpid():  # our own, or of one that had our number before
            return all(self.token != ours.token for ours in _held)
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return _started(self.pid) != self.started


def _machine() -> str:
    """Name this boot of this machine, and the processes one can see from here."""
    found = [socket.gethostname()]
    with suppress(OSError):  # other systems have neither
        found.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
        found.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 - a name, no path
    return " ".join(found)


def _started(pid: int) -> str:
    """Tell when a process began, for its number may be another's by now."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("latin-1")
    except OSError:  # no such system, or no such process
        return ""
    fields = status.rpartition(")")[2].split()
    dead = fields[0] in "ZX"  # it stays until it is reaped
    return "" if dead else fields[19]


def claim(connection: Connection, folder: Path) -> "Ownership":
    """
    Make the job this process's.

    Raises:
        JobError: Another process is at work, or may be.
        DiskError: The disk does not take it.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        _refuse_if_held(_owner(connection), folder)
        claims = (queries.fact(_CLAIMS)(connection) or 0) + 1
        note(_CLAIMS, claims)(connection)
        process = Process.current()
        name = queries.fact(_NAME)(connection) or process.token
        note(_NAME, name)(connection)
        ownership = Ownership(process, folder, claims, name)
        ownership.renew(connection)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise disk_error(error) from error
    return ownership


def _owner(connection: Connection) -> Any:  # noqa: ANN401 - what stands in the row
    try:
        return queries.fact(_OWNER)(connection)
    except ValueError:  # no JSON: somebody else has written it
        return "?"


def _refuse_if_held(owner: Any, folder: Path) -> None:  # noqa: ANN401 - same
    if owner is None:
        return
    try:
        fields = dict(owner)
        age = time.time() - float(fields.pop("at"))
        other = Process(**fields)
    except (TypeError, ValueError, KeyError):
        raise JobError(_STRANGE.format(folder=folder, owner=owner)) from None
    here = other.machine == _machine()
    if other.is_dead() if here else not -AHEAD < age < STALE:
        return
    raise JobError(
        _HELD.format(folder=folder, pid=other.pid, host=other.host, age=max(0.0, age))
    )


class Ownership:
    """
    The claim of this process on a job.

    Attributes:
        job: The job's own name, which no other has.
        attempts: The numbers of this claim's attempts; no other claim has one of them.
    """

    def __init__(self, process: Process, folder: Path, claims: int, job: str) -> None:
        self.job = job
        self.attempts = itertools.count(claims << _CLAIM_BITS)
        self.token = process.token
        _held.add(self)
        self._process = process
        self._folder = folder
        self._file = _identity(folder)
        self._renewed = 0.0

    def renew(self, connection: Connection) -> None:
        """Give a sign of life, where the last is old enough."""
        now = time.time()
        if abs(now - self._renewed) >= _RENEW:
            self._renewed = now
            note(_OWNER, attrs.asdict(self._process) | {"at": now})(connection)

    def lost(self, connection: Connection) -> JobError | None:
        """Tell why the job is not ours any more; give a sign of life if it is."""
        if not self.is_here():
            return MovedError(self.gone)
        owner = _owner(connection)
        if not self._is_ours(owner):
            unknown = {"pid": "?", "host": "another host"}
            other = unknown | (owner if isinstance(owner, dict) else {})
            return JobError(_TAKEN.format(pid=other["pid"], host=other["host"]))
        self.renew(connection)
        return None

    def _is_ours(self, owner: Any) -> bool:  # noqa: ANN401 - what stands in the row
        return isinstance(owner, dict) and owner.get("token") == self.token

    @property
    def gone(self) -> str:
        """What to say where the folder is not the one that was opened."""
        return _GONE.format(folder=self._folder)

    def is_here(self) -> bool:
        """Tell whether the folder is still the one that was opened."""
        return _identity(self._folder) == self._file

    def let_go(self) -> None:
        """Note that this process is not at work any more, whatever the row says."""
        _held.discard(self)

    def release(self, connection: Connection) -> None:
        """Let others have the job."""
        if self._is_ours(_owner(connection)):
            note(_OWNER, None)(connection)


_held = weakref.WeakSet[Ownership]()  # of this process


def _identity(folder: Path) -> tuple[int, ...] | None:
    """Identify a folder and its journal, whatever they are called."""
    try:
        both = folder.stat(), (folder / JOURNAL).stat()
    except OSError:
        return None
    return tuple(number for one in both for number in (one.st_dev, one.st_ino))
