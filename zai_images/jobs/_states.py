"""The states of an item of a job."""

from enum import StrEnum


class State(StrEnum):
    """
    Where an item is.

    `PENDING` is not sent, or was refused for free. `SENT` may be at the service: its
    intent is synced before the first byte leaves. `ANSWERED` is paid, its answer
    synced, and no file yet. `SAVED` became a file. `FAILED` ended in an error that cost
    nothing. `REFUSED` was refused for its content. `UNKNOWN` was sent, and no answer is
    known: it may be billed.
    """

    PENDING = "pending"
    SENT = "sent"
    ANSWERED = "answered"
    SAVED = "saved"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"
