"""
How a command ends: one table from errors to exit codes.

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

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

from zai_images import (
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
    """Raised when a command cannot be carried out as it was written."""


class NoKeyError(Exception):
    """Raised when there is no key; it names both ways out."""

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
