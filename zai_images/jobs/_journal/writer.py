"""
The one thread that writes the journal, many steps to a commit.

All that waits when a commit begins goes into it, so that one sync of the disk serves
all who wait for one. What is awaited has been synced when the wait is over.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import attrs

from zai_images.jobs._errors import RESTORE, DiskError
from zai_images.jobs._journal.schema import Connection, Step

T = TypeVar("T")


@attrs.define(eq=False)
class _Task:
    """A step, whom to tell, and whether it is worth the disk's last reserve."""

    step: Step[Any]
    future: asyncio.Future[Any] | None
    paid: bool


class Writer:
    """
    The thread that carries out steps, in the order they came in.

    Args:
        connection: The journal's, used by this thread alone from now on.
        on_trouble: Called in the thread when a commit fails, before what is paid is
            tried once more: the moment to free a reserve of disk space.
        on_lost: Called on the loop with the error of a step that nobody waits for.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        on_trouble: Callable[[Exception], None],
        on_lost: Callable[[DiskError], None],
    ) -> None:
        self._connection = connection
        self._on_trouble = on_trouble
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._work, name="zai-images journal", daemon=True
        )
        self._thread.start()

    async def do(self, step: Step[T], *, paid: bool = False) -> T:
        """
        Carry out a step, and wait until the disk has it.

        A wait that is cancelled does not take the step back.

        Args:
            step: What to do; it must not begin or end a transaction.
            paid: It keeps what was paid for, so a full disk gives its reserve for it.

        Raises:
            DiskError: The disk does not take it; nothing of it is written.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._tasks.put(_Task(step, future, paid))
        return await future

    def post(self, step: Step[Any], *, paid: bool = False) -> None:
        """Carry out a step soon; nobody waits for it."""
        self._tasks.put(_Task(step, None, paid))

    async def aclose(self) -> None:
        """Carry out what waits, and close the journal; it takes milliseconds."""
        self._tasks.put(None)
        try:
            await asyncio.shield(asyncio.to_thread(self._thread.join))
        finally:
            self._thread.join()  # a cancelled wait must not lose what was paid

    # In the thread.

    def _work(self) -> None:
        ended = False
        while not ended:
            tasks = [self._tasks.get()]
            while not self._tasks.empty():
                tasks.append(self._tasks.get())
            ended = None in tasks
            steps = [task for task in tasks if task is not None]
            try:
                self._commit(steps)
            except Exception as error:  # noqa: BLE001 - or all would wait for ever
                for task in steps:
                    self._tell(task, None, error)
        with suppress(sqlite3.Error):  # the next to open it recovers the log
            self._connection.close()

    def _commit(self, tasks: list[_Task]) -> None:
        results = self._tried(tasks)
        if isinstance(results, sqlite3.Error):
            self._on_trouble(results)
            again = [task for task in tasks if task.paid]
            error = _disk_error(results)
            for task in tasks:
                if not task.paid:
                    self._tell(task, None, error)
            results = self._tried(again)
            tasks = again
        for number, task in enumerate(tasks):
            if isinstance(results, sqlite3.Error):
                self._tell(task, None, _disk_error(results))
            else:
                self._tell(task, *results[number])

    def _tried(
        self, tasks: list[_Task]
    ) -> list[tuple[Any, Exception | None]] | sqlite3.Error:
        """Carry out steps in one transaction; returns its error where it failed."""
        if not tasks:
            return []
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            results = [_carried_out(task.step, connection) for task in tasks]
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                with suppress(sqlite3.Error):  # it may have rolled back by itself
                    connection.execute("ROLLBACK")
            return error
        return results

    def _tell(self, task: _Task, result: Any, error: Exception | None) -> None:  # noqa: ANN401 - whatever a step returns
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(self._told, task.future, result, error)

    def _told(
        self,
        future: asyncio.Future[Any] | None,
        result: Any,  # noqa: ANN401 - same
        error: Exception | None,
    ) -> None:
        if future is None:
            if isinstance(error, DiskError):
                self._on_lost(error)
            elif error is not None:
                raise error
        elif future.done():
            pass  # whoever waited was cancelled
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


def _carried_out(
    step: Step[Any], connection: Connection
) -> tuple[Any, Exception | None]:
    """Let a step that refuses by itself fail alone; it has changed nothing by then."""
    try:
        return step(connection), None
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - told to whoever asked for the step
        return None, error


def is_disk_full(error: Exception) -> bool:
    """Tell a full disk from other trouble with the journal."""
    # An error that SQLite itself did not raise has no code.
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _disk_error(error: sqlite3.Error) -> DiskError:
    # A disk that is full, read-only or broken is an OperationalError, a subclass.
    if type(error) is sqlite3.DatabaseError:
        return DiskError(
            f"The journal is damaged ({error}). Nothing more was sent. {RESTORE}"
        )
    return DiskError(
        f"The journal cannot be written ({error}). Nothing more was sent. Free some "
        "space or mend the disk, and run the same command again: what is paid is kept."
    )
