"""The finished outcomes of a batch, between the workers and the reader."""

import asyncio
from collections import deque

from zai_images._batch.outcomes import Outcome


class Outbox:
    """
    The outcomes that wait to be read, in the order of the input if `ordered`.

    `bound` is how many may wait, those being fetched included, before workers pause.
    """

    def __init__(self, bound: int, *, ordered: bool) -> None:
        self.news = asyncio.Event()
        self.room = asyncio.Event()
        self._bound = bound
        self._ordered = ordered
        self._waiting = 0
        self._ready: deque[Outcome] = deque()
        self._early: dict[int, Outcome] = {}
        self._next_index = 0

    @property
    def full(self) -> bool:
        """Whether the reader is too far behind."""
        return self._waiting >= self._bound

    def expect(self) -> None:
        """Count an outcome whose picture is paid for and still to be fetched."""
        self._waiting += 1

    def put(self, outcome: Outcome, *, expected: bool) -> None:
        """Deliver an outcome."""
        if not expected:
            self._waiting += 1
        if self._ordered:
            self._early[outcome.index] = outcome
            while (due := self._early.pop(self._next_index, None)) is not None:
                self._ready.append(due)
                self._next_index += 1
        else:
            self._ready.append(outcome)
        self.news.set()

    def get(self) -> Outcome | None:
        """Return the next outcome, if one is ready."""
        if not self._ready:
            return None
        self._waiting -= 1
        self.room.set()
        return self._ready.popleft()

    def flush(self) -> None:
        """Release the outcomes held back for an item that will never come."""
        self._ready.extend(self._early[index] for index in sorted(self._early))
        self._early.clear()

    def unread(self) -> list[Outcome]:
        """List all that nobody has read."""
        return [*self._ready, *(self._early[index] for index in sorted(self._early))]

    def rest(self) -> list[Outcome]:
        """Remove and return all that nobody has read."""
        unread = self.unread()
        self._ready.clear()
        self._early.clear()
        return unread
