"""
How a command ends: one table from errors to exit codes, and the signals.

| code | meaning |
| --- | --- |
| 0 | all done |
| 1 | some requests have no picture: failed, refused, unknown, not fetched, not begun |
| 2 | usage, bad input, or a folder that is no such job; nothing was paid |
| 3 | the account needs a person: key, balance, plan, quota |
| 4 | the disk |
| 5 | a limit you set was reached: pictures, cost, failures |
| 129, 130, 143 | interrupted (SIGHUP, Ctrl-C, SIGTERM); run it again to go on |
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import Any, Self, cast

from zai_images._api.errors import (
    AccountError,
    AuthenticationError,
    BudgetError,
    ConfigurationError,
    DownloadError,
    InvalidRequestError,
    QuotaError,
    ZaiImagesError,
)
from zai_images.jobs import DiskError, JobError

# What the program was called with, for the line that goes on where it was stopped.
ARGUMENTS: ContextVar[tuple[str, ...]] = ContextVar("ARGUMENTS", default=())


class UsageError(Exception):
    """Say that a command cannot be carried out as it was written."""


class NoKeyError(Exception):
    """Say that there is no key, and both ways out."""

    def __init__(self) -> None:
        super().__init__(
            "There is no API key. Set ZAI_API_KEY to one from the Z.AI console, or add "
            "--sandbox to try everything without a key and without paying."
        )


SOME_FAILED, BAD_INPUT, ACCOUNT, DISK, LIMIT = 1, 2, 3, 4, 5

EXIT_CODES: Mapping[type[Exception], int] = MappingProxyType(
    {
        ZaiImagesError: SOME_FAILED,
        UsageError: BAD_INPUT,
        InvalidRequestError: BAD_INPUT,
        ConfigurationError: BAD_INPUT,
        JobError: BAD_INPUT,
        NoKeyError: ACCOUNT,
        AuthenticationError: ACCOUNT,
        AccountError: ACCOUNT,
        QuotaError: ACCOUNT,
        OSError: DISK,
        DiskError: DISK,
        BudgetError: LIMIT,
    }
)
EXPECTED = tuple(EXIT_CODES)


def exit_code(error: BaseException) -> int:
    """Look an error up by the nearest of its classes that is in the table."""
    found = (EXIT_CODES.get(kind) for kind in type(error).__mro__)
    return next((code for code in found if code is not None), SOME_FAILED)


def sentence(error: BaseException) -> str:
    """Put an expected error into words for a terminal."""
    if isinstance(error, DownloadError):  # its own words are for programmers
        return f"The picture was made, but could not be fetched: {error.reason}"
    if not isinstance(error, OSError) or error.filename is None:
        return str(error) or type(error).__name__
    return f"{error.filename}: {error.strerror or type(error).__name__}"


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruptions:
    """
    Turn the first signal into a gentle stop, and the second into an end.

    Where the command has set no gentle way, the first ends it too. A SIGHUP is never
    the second: a terminal that is closed may send several.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.gently: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        # There is one: this is made within a command.
        self._task = cast("asyncio.Task[int]", asyncio.current_task())

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that was ended so."""
        return 128 + (self.signal or signal.SIGINT)

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # so does nohup ask for it
            with suppress(ValueError, RuntimeError):  # not in the main thread
                self._loop.add_signal_handler(number, self._heed, number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number in _SIGNALS:
            self._loop.remove_signal_handler(number)

    def _heed(self, number: int) -> None:
        first = self.signal is None
        if number == signal.SIGHUP and not first:
            return
        self.signal = number
        if first and self.gently is not None:
            self.gently()
        else:
            self._task.cancel()


Command = Callable[[Interruptions], Coroutine[Any, Any, int]]


def carry_out(command: Command) -> int:
    """Run a command on a loop of its own, with its signals heard."""

    async def watched() -> int:
        with Interruptions() as interruptions:
            try:
                return await command(interruptions)
            except asyncio.CancelledError:
                return interruptions.exit_code

    return asyncio.run(watched())
