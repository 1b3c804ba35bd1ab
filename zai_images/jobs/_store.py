"""A job's folder and journal, while they are open."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from zai_images.jobs._errors import DiskError, JobError
from zai_images.jobs._folder import JobFolder
from zai_images.jobs._journal.owner import Ownership, claim
from zai_images.jobs._journal.schema import Connection, Step, connect
from zai_images.jobs._journal.writer import Writer, is_disk_full

T = TypeVar("T")


class Store:
    """
    The folder of a job and the thread of its journal.

    Args:
        folder: Where the job is.
        read_only: Only look, beside whatever process runs the job.
        on_lost: Told of a step that was not carried out and nobody waits for.
    """

    def __init__(
        self,
        folder: JobFolder,
        *,
        read_only: bool,
        on_lost: Callable[[JobError], None],
    ) -> None:
        self.folder = folder
        self._read_only = read_only
        self._on_lost = on_lost
        self._writer: Writer | None = None
        self._ownership: Ownership | None = None

    async def open(self) -> None:
        """
        Open the folder and its journal.

        Raises:
            JobError: It is open already, no job's, or another process's.
            DiskError: The disk does not let us.
        """
        if self._writer is not None:
            raise JobError("This job is open already.")
        connection = await asyncio.to_thread(self._connected)
        self._writer = Writer(
            connection,
            lost=None if self._ownership is None else self._ownership.lost,
            on_trouble=self._make_room,
            on_lost=self._on_lost,
        )

    def _make_room(self, error: Exception) -> None:
        """Let the journal have the reserve; on a full disk, the journal alone."""
        if is_disk_full(error):
            self.folder.store_no_more()
        self.folder.free_reserve()

    def _connected(self) -> Connection:
        if self._read_only:
            if not self.folder.journal.exists():
                raise JobError(f"{self.folder.path} holds no job; nothing was done.")
            return connect(self.folder.journal, read_only=True)
        self.folder.open()
        connection = None
        try:
            connection = connect(self.folder.journal)
            self.folder.sync()
            self._ownership = claim(connection, self.folder.path)
        except BaseException as error:
            if connection is not None:
                connection.close()
            self.folder.close()
            if isinstance(error, OSError):
                raise DiskError(f"{self.folder.path}: {error.strerror}") from error
            raise
        return connection

    async def close(self) -> None:
        """Write what waits, and release the folder."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        ownership, self._ownership = self._ownership, None
        try:
            if ownership is not None:
                ownership.let_go()  # and where the row stays, it is stale by that
                released = writer.put(ownership.release, "fact")
                released.add_done_callback(lambda future: future.exception())
            await writer.aclose()
        finally:
            self.folder.close()

    @property
    def ownership(self) -> Ownership:
        """
        The claim on the job.

        Raises:
            JobError: The job is not open, or only to be looked at.
        """
        if self._ownership is None:
            raise JobError(
                "This job is not open to be run. Nothing was sent; use "
                "'async with ImageJob.open(folder) as job'."
            )
        return self._ownership

    @property
    def writer(self) -> Writer:
        """
        The journal's thread.

        Raises:
            JobError: The job is not open, or only to be looked at.
        """
        _ = self.ownership
        return self.opened()

    async def read(self, step: Step[T]) -> T:
        """
        Carry out a step that changes nothing; it waits for no other program's lock.

        Raises:
            JobError: The job is not open.
            DiskError: The disk does not let us.
        """
        return await self.opened().do(step, "read")

    async def do(self, step: Step[T]) -> T:
        """
        Carry out a step that changes the journal.

        Raises:
            JobError: The job is not open, or another run's by now.
            DiskError: The disk does not take it.
        """
        return await self.opened().do(step)

    def opened(self) -> Writer:
        """
        Return the journal's thread, if only to read.

        Raises:
            JobError: The job is not open.
        """
        if self._writer is None:
            raise JobError(
                "This job is not open. Nothing was sent; use "
                "'async with ImageJob.open(folder) as job'."
            )
        return self._writer
