"""
The states of an item of a job, and which may follow which: a pure table.

Every step is one row of the journal moved by one statement, so that a process killed
between any two leaves an item in exactly one of these states.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """
    Where an item is.

    `PENDING` is not sent, or was refused for free. `SENT` may be at the service: its
    intent is synced before the first byte leaves. `ANSWERED` has its answer synced, and
    no file yet. `SAVED` is a file. `FAILED` ended in an error that cost nothing.
    `REFUSED` was refused for its content. `UNKNOWN` was sent, and no answer is known:
    it may be billed.
    """

    PENDING = "pending"
    SENT = "sent"
    ANSWERED = "answered"
    SAVED = "saved"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


MOVES: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.PENDING: frozenset({State.SENT, State.FAILED, State.REFUSED}),
        State.SENT: frozenset({State.ANSWERED, State.PENDING, State.UNKNOWN}),
        # An answer is kept before it is read, so it may turn out to be a refusal. Where
        # its link is dead and that is asked for, it becomes pending to be sent again.
        State.ANSWERED: frozenset(
            {State.SAVED, State.PENDING, State.FAILED, State.REFUSED, State.UNKNOWN}
        ),
        State.SAVED: frozenset({State.ANSWERED}),  # the file is gone, the link is not
        State.FAILED: frozenset({State.PENDING}),
        State.REFUSED: frozenset(),
        # A failure the service owns up to is sent once more by the retry policy.
        # A call that was cancelled while its answer was kept is found answered later.
        State.UNKNOWN: frozenset({State.SENT, State.PENDING, State.ANSWERED}),
    }
)


def sources(target: State) -> tuple[State, ...]:
    """List the states from which an item may move to `target`."""
    return tuple(state for state, targets in MOVES.items() if target in targets)
