"""The journal's file: its tables, its version, and how it is opened."""

import os
import sqlite3
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from zai_images.jobs._errors import RESTORE, DiskError, JobError

P = ParamSpec("P")
T = TypeVar("T")
Connection = sqlite3.Connection
# What is done on the journal within one transaction.
Step = Callable[[Connection], T]


def on_journal(work: Callable[Concatenate[Connection, P], T]) -> Callable[P, Step[T]]:
    """Make a step of work on a journal: told what to do now, and done there later."""

    @wraps(work)
    def step(*args: P.args, **kwargs: P.kwargs) -> Step[T]:
        return lambda connection: work(connection, *args, **kwargs)

    return step


VERSION = 3
JOURNAL = "job.sqlite"
PATIENCE = 10_000  # milliseconds that another program may hold the journal

# `items` has a row for each item. `attempts` has one for each attempt that is paid for,
# or may be, with its answer: evidence, which is only added to. `pictures` has one for
# each file. `state`, `billed`, `maybe` and `cost` follow from an item's rows and are
# written with them. They stand in the index too, so that `status` reads no row.
_TABLES = """
CREATE TABLE job (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items (
    number INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    state TEXT NOT NULL DEFAULT 'pending',
    position INTEGER NOT NULL,
    wanted INTEGER NOT NULL DEFAULT 1,
    body TEXT NOT NULL,
    id TEXT NOT NULL DEFAULT 'null',
    sends INTEGER NOT NULL DEFAULT 0,
    billed INTEGER NOT NULL DEFAULT 0,
    maybe INTEGER NOT NULL DEFAULT 0,
    cost REAL DEFAULT 0,
    ended TEXT,
    error TEXT,
    code TEXT,
    latency REAL
);
CREATE INDEX by_state ON items (state, position, number, cost, billed, maybe);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    number INTEGER NOT NULL REFERENCES items,
    sent REAL NOT NULL,
    again INTEGER NOT NULL,
    price REAL,
    billed TEXT,
    answered REAL,
    status INTEGER,
    request_id TEXT,
    body BLOB,
    expires REAL,
    dead TEXT
);
CREATE INDEX by_number ON attempts (number);
CREATE INDEX in_flight ON attempts (number) WHERE billed IS NULL;
CREATE TABLE pictures (
    number INTEGER PRIMARY KEY REFERENCES items,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    at REAL NOT NULL,
    seen TEXT
);
CREATE INDEX by_path ON pictures (path);
CREATE INDEX by_seen ON pictures (seen) WHERE seen IS NOT NULL;
"""


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """
    Open a journal, and make its tables where it is new.

    Write-ahead logging keeps readers and the writer apart, and `synchronous=FULL` syncs
    the log at each commit: a commit that has returned survives a power cut.

    Raises:
        JobError: It is no journal, or one of a newer version.
        DiskError: The disk does not let us.
    """
    try:
        return _connected(path, read_only=read_only)
    except sqlite3.OperationalError as error:
        raise DiskError(f"{path}: {error}. Nothing was sent.") from error
    except sqlite3.DatabaseError as error:
        raise JobError(
            f"{path} is damaged or no journal ({error}). Nothing was sent. {RESTORE}"
        ) from error


def _connected(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if not read_only:  # readable by its owner only: prompts and links are private
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(file, 0o600)  # a copy may have been left open to others
        except PermissionError:
            pass  # it is somebody else's, who lets us write to it
        finally:
            os.close(file)
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,  # each transaction is begun and ended by name
        check_same_thread=False,
    )
    try:
        connection.execute(f"PRAGMA busy_timeout={PATIENCE}")
        connection.execute("PRAGMA cache_size=-32000")
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA journal_size_limit=67108864")
        _check_version(connection, path, writable=not read_only)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_version(
    connection: sqlite3.Connection, path: Path, *, writable: bool
) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    if version > VERSION:
        raise JobError(
            f"{path} was made by a newer version of zai-images; use that one"
        )
    if version > 0:
        raise JobError(
            f"{path} was made by an earlier version of zai-images, which told requests "
            "apart by other rules. Nothing was sent. Finish that job with that version "
            "(its pictures stay as they are), or use another folder."
        )
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables == (0,) and not writable:  # its process was killed as it made it
        raise JobError(f"{path.parent} holds no job yet; run the batch again.")
    if tables != (0,):
        raise JobError(f"{path} is not the journal of a job; nothing was sent")
    connection.executescript(
        f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={VERSION}; COMMIT;"
    )


def disk_error(error: sqlite3.Error) -> DiskError:
    """Say what is wrong with the journal, and what to do."""
    # A disk that is full, read-only or broken is an OperationalError, a subclass.
    if type(error) is sqlite3.DatabaseError:
        return DiskError(
            f"The journal is damaged ({error}). Nothing more was sent. {RESTORE}"
        )
    what = "Free some space or mend the disk"
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
        what = "Wait for the other program that holds it"
    return DiskError(
        f"The journal cannot be written ({error}). Nothing more was sent. {what}, and "
        "run the same command again: what is paid is kept."
    )
