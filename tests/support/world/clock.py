"""
A loop with virtual time, over real sockets and real threads.

The clock stands still while a socket is ready or a thread works, and else goes at once
to the next timer. The wall clock of the process goes with it, by way of the shim.
"""

import asyncio
import ctypes
import queue
import selectors
import threading
import time
from collections import Counter
from typing import Any

PACE = 50.0  # virtual seconds a second, while something outside must be waited for
_LOOK = 0.002  # seconds between two looks at threads that work
_STUCK = 1.0  # seconds without anything that could ever happen
_LONG = 3600.0  # virtual seconds that no one waits for without a reason


class WatchedQueue:
    """
    A queue that knows whether what was put into it is still being worked on.

    Whoever gets from it has finished what it got before; that is how the journal's
    thread and the threads of an executor work.
    """

    every: list["WatchedQueue"] = []  # noqa: RUF012 - one process, one life

    def __init__(self) -> None:
        self._queue: Any = _Queue()
        self._lock = threading.Lock()
        self._open = 0  # put and not finished
        self._held: Counter[threading.Thread] = Counter()
        WatchedQueue.every.append(self)

    def put(self, item: Any, block: bool = True, timeout: Any = None) -> None:  # noqa: FBT001, FBT002 - the queue's own signature
        if item is not None:  # by that a thread is told to end
            with self._lock:
                self._open += 1
        self._queue.put(item, block, timeout)

    def get(self, block: bool = True, timeout: Any = None) -> Any:  # noqa: FBT001, FBT002 - same
        this = threading.current_thread()
        with self._lock:
            self._open -= self._held.pop(this, 0)
        item = self._queue.get(block, timeout)
        if item is not None:
            with self._lock:
                self._held[this] += 1
        return item

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def put_nowait(self, item: Any) -> None:
        self.put(item)

    def empty(self) -> bool:
        return bool(self._queue.empty())

    def qsize(self) -> int:
        return int(self._queue.qsize())

    def is_busy(self) -> bool:
        """Tell whether anything in it waits or is worked on."""
        with self._lock:
            for thread in [one for one in self._held if not one.is_alive()]:
                self._open -= self._held.pop(thread)
            return self._open > 0


_Queue = queue.SimpleQueue


def watch_threads() -> None:
    """Let every queue that is made from now on be one that is watched."""
    queue.SimpleQueue = WatchedQueue  # type: ignore[assignment,misc]


class Wall:
    """The wall clock of this process: real time, and what was added to it."""

    def __init__(self) -> None:
        shim = ctypes.CDLL(None)
        self._set = shim.judge_clock
        self._set.argtypes = [ctypes.c_longlong]
        self._added = 0.0
        before = time.time()
        self.move(1000.0)
        assert time.time() - before > 999, "the shim does not move the wall clock"
        self.move(-1000.0)

    def move(self, seconds: float) -> None:
        """Let it jump."""
        self._added += seconds
        self._set(int(self._added * 1e9))


class _Selector(selectors.DefaultSelector):
    """Look at the sockets, wait for the threads, and else let time pass."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        if self.loop.blind:
            self.loop.blind = False
            return []
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if self.loop.held:
            return self._paced(timeout)
        patience = 0.0 if timeout is not None and timeout < _LONG else _STUCK
        found = self._awaited(patience)
        if not found:
            if timeout is None:
                raise RuntimeError("nothing is left that could ever happen")
            self.loop.pass_(timeout)
        return found

    def _awaited(self, patience: float) -> Any:
        """Wait for the threads, and then for some real time."""
        while True:
            while any(one.is_busy() for one in WatchedQueue.every):
                if found := super().select(_LOOK):
                    return found
            # What a thread has told, or a socket has by now.
            found = super().select(_LOOK if patience > 0 else 0)
            if found or patience <= 0:
                return found
            patience -= _LOOK

    def _paced(self, timeout: float | None) -> Any:
        """Let time pass, but not at once: somebody outside holds something up."""
        real = _LOOK if timeout is None else min(_LOOK, timeout / PACE)
        began = time.monotonic()
        found = super().select(real)
        passed = (time.monotonic() - began) * PACE
        self.loop.pass_(passed if timeout is None else min(passed, timeout))
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    A loop whose clock goes only where nothing happens.

    Attributes:
        held: How many hold up a thread, so that it is not waited for.
        blind: Whether the next look at the sockets sees none, as that does which a
            signal interrupts and whose time is over.
        wall: The wall clock that goes with it.
    """

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 1e-6
        self._now = 1000.0
        self.held = 0
        self.blind = False
        self.wall: Wall | None = None

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def pass_(self, seconds: float) -> None:
        """Let time pass for everybody, as it does for a process that is stopped."""
        self._now += seconds
        if self.wall is not None:
            self.wall.move(seconds)
