"""Deadlines that come after the data that is there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sized
from contextlib import asynccontextmanager
from functools import partial

QUIET = 16  # turns of the loop: what lies in a socket reaches its reader in fewer
LONGEST = 1000  # turns: the largest picture that is taken, at 64 KiB a turn
LATE = 0.1  # seconds; a loop that is merely busy wakes earlier
PAUSE = 1.0  # seconds without a word, after which a peer will not go on


class Deadline:
    """
    A deadline that counts only when nothing more is there to read.

    A process that was stopped, or a loop that was blocked, finds its timers due and its
    sockets full, and may run the timers first. So when the time is up, the loop turns
    until nothing has come for some turns in a row. A timer that comes late tells that
    nobody could read for so long, and the peer may have had no room to send the rest:
    that time is given back, at most once over, for as long as more comes.

    Args:
        seconds: The time from now.
        end: Called once when it is up, unless the deadline is cancelled before.
        parts: What has come so far; its reader makes it longer.
    """

    def __init__(
        self, seconds: float, end: Callable[[], None], parts: Sized = ()
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._end = end
        self._parts = parts
        self._due = self._loop.time() + seconds
        self._turns = 0
        self._handle: asyncio.Handle = self._loop.call_at(self._due, self._time_is_up)

    def cancel(self) -> None:
        """Let it never end."""
        self._handle.cancel()

    def _time_is_up(self) -> None:
        now = self._loop.time()
        late = now - self._due
        self._due = now + min(late, self._seconds) if late > LATE else now
        self._look(len(self._parts), 0, paused=False)

    def _look(self, before: int, quiet: int, *, paused: bool) -> None:
        """Look for news since there were `before` parts, `quiet` turns ago."""
        parts = len(self._parts)
        if parts != before:
            quiet, paused = 0, False
        self._turns += 1
        left = self._due - self._loop.time()
        if self._turns > LONGEST:
            self._end()
        elif quiet < QUIET:
            look = partial(self._look, parts, quiet + 1, paused=paused)
            self._handle = self._loop.call_soon(look)
        elif left > 0 and not paused:
            look = partial(self._look, parts, 0, paused=True)
            self._handle = self._loop.call_later(min(left, PAUSE), look)
        else:
            self._end()


@asynccontextmanager
async def within(seconds: float, parts: Sized = ()) -> AsyncIterator[None]:
    """Raise `TimeoutError` where a block has a `Deadline` and is not done by then."""
    async with asyncio.timeout(None) as limit:
        deadline = Deadline(seconds, lambda: limit.reschedule(0.0), parts)
        try:
            yield
        finally:
            deadline.cancel()
