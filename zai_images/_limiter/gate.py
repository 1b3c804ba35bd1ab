"""
The gate: who may send, and when.

There is one for each model, shared by every caller of a session. This module is only
the queue. The decisions are in `search` (how many places there are) and `bounds` (how
often to send, and how long a picture may take), combined in `policy`.
"""

import asyncio
import enum
import heapq
import itertools
import math
from collections.abc import Callable

import attrs

from zai_images._api.errors import RateLimitedError
from zai_images._limiter.policy import LimitPolicy
from zai_images._limiter.search import Place

OnChange = Callable[[int, int, str], None]


class End(enum.Enum):
    """The end of an attempt that was not refused."""

    UNSENT = enum.auto()
    ANSWER = enum.auto()
    PICTURE = enum.auto()


Verdict = End | RateLimitedError


@attrs.frozen(order=True)
class _Waiter:
    """A call in the queue: single calls before batches, refused ones first."""

    batch: bool
    fresh: bool
    number: int
    future: asyncio.Future[Place] = attrs.field(order=False)
    quality: str = attrs.field(order=False)


class Gate:
    """
    The queue for the places of one model.

    A place is held for one attempt: never during a pause, a download or a disk write.
    `on_change` gets the old limit, the new one, and what that rests on.
    """

    def __init__(self, policy: LimitPolicy, on_change: OnChange | None = None) -> None:
        self.policy = policy
        self.in_flight: int = 0
        self._loop = asyncio.get_running_loop()
        self._on_change = on_change
        self._told = policy.limit
        self._numbers = itertools.count()
        self._queue: list[_Waiter] = []
        self._alarm: asyncio.TimerHandle | None = None

    def enter_at_once(self, quality: str) -> Place | None:
        """Take a place if one is free and nobody waits for it; None otherwise."""
        if self._queue:
            return None
        now = self._loop.time()
        free, _ = self.policy.may_send(now, self.in_flight)
        return self._admit(quality, now) if free else None

    async def enter(self, quality: str, *, batch: bool, again: bool) -> Place:
        """
        Wait for a place and take it; give it back with `leave`.

        Single calls go before a batch's; within each, those refused before go first.
        """
        if (sent := self.enter_at_once(quality)) is not None:
            return sent
        future: asyncio.Future[Place] = self._loop.create_future()
        waiter = _Waiter(
            batch=batch,
            fresh=not again,
            number=next(self._numbers),
            future=future,
            quality=quality,
        )
        heapq.heappush(self._queue, waiter)
        self._let_in()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.leave(future.result(), End.UNSENT)
            raise

    def leave(self, sent: Place, verdict: Verdict) -> None:
        """Give a place back, and learn from how the attempt ended."""
        now = self._loop.time()
        self.in_flight -= 1
        sent.at = min(sent.at, now)
        if verdict is End.UNSENT:
            self.policy.on_withdrawn(sent)
        elif isinstance(verdict, RateLimitedError):
            self.policy.on_refused(sent, now, self.in_flight, verdict)
        else:
            self.policy.on_answer(sent, now, picture=verdict is End.PICTURE)
        if self._queue or isinstance(verdict, RateLimitedError):
            # In the loop's next turn: a refused request is back in the queue by then.
            self._loop.call_soon(self._let_in)
        else:
            self._tell()

    def _let_in(self) -> None:
        """Admit whom the policy allows, and set an alarm for when to ask again."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        now = self._loop.time()
        while self._queue:
            if self._queue[0].future.done():  # it was cancelled
                heapq.heappop(self._queue)
                continue
            yes, ask_again = self.policy.may_send(now, self.in_flight)
            if not yes:
                if ask_again is not None and ask_again < math.inf:
                    when = max(ask_again, now + 1e-4)
                    self._alarm = self._loop.call_at(when, self._let_in)
                break
            waiter = heapq.heappop(self._queue)
            waiter.future.set_result(self._admit(waiter.quality, now))
        self._tell()

    def _admit(self, quality: str, now: float) -> Place:
        sent = Place(quality=quality, others=self.in_flight)
        self.policy.on_send(sent, now)
        self.in_flight += 1
        return sent

    def _tell(self) -> None:
        limit = self.policy.limit
        if limit != self._told and self._on_change is not None:
            self._on_change(self._told, limit, self.policy.reason)
        self._told = limit
