"""
The one thread that writes the journal, many steps to a commit.

All that waits when a commit begins goes into it, so that one sync of the disk serves
all who wait for one. What is awaited has been synced when the wait is over.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal, TypeVar

import attrs

from zai_images.jobs._errors import JobError, MovedError
from zai_images.jobs._journal.schema import PATIENCE, Connection, Step, disk_error

T = TypeVar("T")
# Writes need the job to be ours still. Facts do not: they tell what was paid, and are
# worth the disk's last reserve. Reads wait for no other program's lock.
Kind = Literal["read", "write", "fact"]
IMPATIENCE = 100  # milliseconds that another program may hold it once it did for long
BEAT = 15.0  # seconds without a commit until the owner gives a sign of life


@attrs.define(eq=False)
class _Task:
    """A step, its kind, and whom to tell."""

    step: Step[Any]
    kind: Kind
    future: asyncio.Future[Any]


_Result = tuple[Any, Exception | None]


class Writer:
    """
    The thread that carries out steps, in the order they came in.

    Args:
        connection: The journal's, used by this thread alone from now on.
        lost: Asked in each commit, in the thread: why the job is not ours any more, if
            so. It shows life too. Whoever only reads has none.
        on_trouble: Called in the thread when a commit fails, before facts are tried
            once more: the moment to free a reserve of disk space.
        on_lost: Called on the loop with the error of a step that nobody waits for.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        lost: Step[JobError | None] | None,
        on_trouble: Callable[[Exception], None],
        on_lost: Callable[[JobError], None],
    ) -> None:
        self._connection = connection
        self._lost = lost
        self._on_trouble = on_trouble
        self._on_lost = on_lost
        self._hurried = False  # since a commit failed
        self._loop = asyncio.get_running_loop()
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._work, name="zai-images journal", daemon=True
        )
        self._thread.start()

    async def do(self, step: Step[T], kind: Kind = "write") -> T:
        """
        Carry out a step, and wait until the disk has it.

        A wait that is cancelled does not take the step back.

        Raises:
            DiskError: The disk does not take it; nothing of it is written.
            JobError: The job is another run's by now.
        """
        return await self.put(step, kind)

    def post(self, step: Step[Any]) -> None:
        """Carry out a step soon; nobody waits for it."""
        self.put(step).add_done_callback(self._check)

    def put(self, step: Step[T], kind: Kind = "write") -> "asyncio.Future[T]":
        """Carry out a step soon; the future has its result or error."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._tasks.put(_Task(step, kind, future))
        return future

    def _check(self, future: "asyncio.Future[Any]") -> None:
        error = future.exception()
        if isinstance(error, JobError):
            self._on_lost(error)
        elif error is not None:
            raise error

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
            tasks = self._waiting()
            ended = None in tasks
            steps = [task for task in tasks if task is not None]
            try:
                self._carry_out(steps)
            except Exception as error:  # noqa: BLE001 - or all would wait for ever
                self._tell_all(steps, [(None, error)] * len(steps))
        with suppress(sqlite3.Error):  # the next to open it recovers the log
            self._connection.close()

    def _waiting(self) -> list[_Task | None]:
        """Wait for a task; none at all after a while, so that the owner shows life."""
        try:
            tasks = [self._tasks.get(timeout=BEAT if self._lost else None)]
        except queue.Empty:
            return []
        while not self._tasks.empty():
            tasks.append(self._tasks.get())
        return tasks

    def _carry_out(self, tasks: list[_Task]) -> None:
        results = self._tried(tasks)
        if not isinstance(results, sqlite3.Error):
            if self._hurried and any(task.kind != "read" for task in tasks):
                self._wait_for_others(PATIENCE)
            self._tell_all(tasks, results)
            return
        self._on_trouble(results)
        self._wait_for_others(IMPATIENCE)  # what comes now must not wait as long each
        # What is left of a full disk is for facts; else a read may be what failed.
        mixed = any(task.kind == "read" for task in tasks) and not is_disk_full(results)
        for kind in ("fact", "write", "read"):
            some = [task for task in tasks if task.kind == kind]
            again = self._tried(some) if kind != "write" or mixed else results
            if isinstance(again, sqlite3.Error):
                again = [(None, disk_error(again))] * len(some)
            self._tell_all(some, again)

    def _wait_for_others(self, milliseconds: int) -> None:
        """Set how long another program may hold the journal."""
        self._hurried = milliseconds != PATIENCE
        with suppress(sqlite3.Error):
            self._connection.execute(f"PRAGMA busy_timeout={milliseconds}").fetchall()

    def _tried(self, tasks: Sequence[_Task]) -> list[_Result] | sqlite3.Error:
        """Carry out steps in one transaction; returns its error where it failed."""
        only_read = all(task.kind == "read" for task in tasks)
        connection = self._connection
        lost: JobError | None = None
        try:
            if tasks and only_read:
                connection.execute("BEGIN")
            else:
                connection.execute("BEGIN IMMEDIATE")
                lost = self._lost(connection) if self._lost else None
            # Nobody will look into a journal whose folder is elsewhere, or gone.
            refused = ("write", "fact") if isinstance(lost, MovedError) else ("write",)
            results: list[_Result] = [
                (None, lost)
                if lost is not None and task.kind in refused
                else _carried_out(task.step, connection)
                for task in tasks
            ]
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            return error
        finally:
            if connection.in_transaction:  # it may have rolled back by itself
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
        return results

    def _tell_all(self, tasks: Sequence[_Task], results: Sequence[_Result]) -> None:
        for task, (result, error) in zip(tasks, results, strict=True):
            with suppress(RuntimeError):  # the loop is closed: nobody is left
                self._loop.call_soon_threadsafe(_told, task.future, result, error)


def _told(future: asyncio.Future[T], result: T, error: Exception | None) -> None:
    if future.done():
        pass  # whoever waited was cancelled
    elif error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _carried_out(step: Step[Any], connection: Connection) -> _Result:
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
