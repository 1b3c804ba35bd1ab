"""The deadlines of all attempts, kept by one timer."""

import asyncio
from typing import Protocol


class Attempt(Protocol):
    """What can be given up."""

    def expire(self) -> None:
        """End it: its time is up."""
        ...


class Deadlines:
    """
    The deadlines of all attempts in flight, `total` seconds after each began.

    All have the same time, so they come due in the order in which they started: one
    timer is enough however many there are.
    """

    def __init__(self, total: float) -> None:
        self.total = total
        self._due: dict[Attempt, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self, attempt: Attempt) -> None:
        """Begin to count the seconds of an attempt."""
        if self._closed:
            attempt.expire()
            return
        loop = asyncio.get_running_loop()
        self._due[attempt] = loop.time() + self.total
        if self._timer is None:
            self._timer = loop.call_later(self.total, self._ring, loop)

    def stop(self, attempt: Attempt) -> None:
        """Forget an attempt, whether it was started or not."""
        self._due.pop(attempt, None)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for attempt, due in list(self._due.items()):
            if due > loop.time():
                self._timer = loop.call_at(due, self._ring, loop)
                return
            self.stop(attempt)
            attempt.expire()

    def close(self) -> None:
        """End what runs, for nobody would end it later; leave no timer behind."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for attempt in list(self._due):
            self.stop(attempt)
            attempt.expire()
