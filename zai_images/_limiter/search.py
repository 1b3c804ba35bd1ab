"""
The number of places an account has for a model, found by asking.

Nobody tells us the limit, and it moves. Two facts of this service make it easy to find:
a refusal comes back in a fraction of a second, where a picture takes 5-20; and it tells
the exact number, for when it came all places were taken.

So there are three outcomes and one timer. We believe in so many `places`, and refill
each as soon as it is free. When `next_probe` comes, one request more than that is sent:
a probe.

- Silence for `quiet` seconds, or an answer: the probe was admitted. There is one place
  more, and the next probe follows at once, so a ramp runs on network time.
- A refusal while a probe is out is the probe's answer, whoever was refused: two sends
  can swap on the wire. The places stand, and the next probe waits for long.
- A refusal with no probe out means that a place is gone: the limit fell, or somebody
  else on the account took it. We believe in the places we hold, and look again soon.

The same probe is the cold ramp, the re-test after a loss, the search for a limit that
rose, and the taking of a fair share; only its interval differs.
"""

import math
import random
from collections import deque

import attrs

# Seconds without a refusal that prove admission, until refusals turn out to be slower.
QUIET = 1.0
# A cold ramp sends 6 probes in each quiet time (no more than refusals can call back in
# time); above 48 places it grows e-fold in 8 of them.
RAMP = 6.0
E_FOLD = 8.0
# A refused probe costs one refusal whatever the limit, and a rise not seen costs in
# proportion to the places: hence 80 s at one place, 28 s at 8, 11 s at 50.
INTERVAL = 80.0
# A stable limit is probed ever less often, 3 % at a time, down to a quarter.
CALMER = 1.03
CALMEST = 4.0
# Seconds until the first probe after a lost place.
SOON = 8.0
# A place may be freed later than its answer comes: learned in steps, slowly forgotten.
LAG_STEP = 0.3
LAG_KEPT = 0.998
# Seconds until a lone request is tried again when nothing of ours is in flight.
ALONE = 4.0


@attrs.define(eq=False)
class Place:
    """
    One place, taken by one request in flight.

    Attributes:
        quality: What was asked for; a latency counts against its own window.
        others: How many were in flight with it.
        at: When its first byte left, in seconds of the loop's clock; infinite before
            that, so that an unsent probe is never taken for an admitted one.
    """

    quality: str
    others: int
    at: float = math.inf


class Limit:
    """
    The limit as far as it is known, and the search for it.

    Pure: it is told the time, and says yes or when to ask again. Every call is cheap,
    and there is no task behind it.
    """

    def __init__(self, known: int | None = None) -> None:
        # A remembered limit may have fallen meanwhile: half of it is quickly regained.
        self.places = max(1, (known or 2) // 2)
        self.quiet = QUIET
        self.lag = 0.0
        self._probes: list[Place] = []
        self._gap = 0.0
        self._next_probe = 0.0
        self._calm = 1.0
        self._losses = 0  # in a row
        self._test: Place | None = None
        self._lost_at = 0.0
        self._told_at = 0.0  # when a probe was last refused
        self._maybe_late = False
        self._freed: deque[float] = deque()  # when answers came, while a lag is known
        self._not_before = 0.0
        self._out: set[Place] = set()
        self._answered: deque[tuple[float, float]] = deque()  # sent and answered at

    def held(self, now: float, in_flight: int) -> int:
        """Count the places we hold: in flight, or answered and perhaps not yet free."""
        while self._freed and self._freed[0] <= now - self.lag:
            self._freed.popleft()
        return in_flight + len(self._freed)

    def _held_when(self, at: float) -> int:
        """
        Count the places we held at a recent moment, less what was refused since.

        By the time a slow refusal comes, the present count has long gone down.
        """
        out = sum(sent.at < at for sent in self._out)
        return out + sum(
            sent < at < answered + self.lag for sent, answered in self._answered
        )

    def may_send(self, now: float, in_flight: int) -> tuple[bool, float | None]:
        """Tell whether one more may be sent, or when to ask again without news."""
        self._hear_silence(now)
        if now < self._not_before:
            return False, self._not_before
        if self._test is not None:  # after a lost place, one at a time
            return False, self._test.at + self.quiet
        if self.held(now, in_flight) < self.places + len(self._probes):
            return True, None
        if now >= self._next_probe:
            return True, None
        ask_again = [self._next_probe]
        if self._freed:
            ask_again.append(self._freed[0] + self.lag)
        if self._probes:
            ask_again.append(self._probes[0].at + self.quiet)
        return False, min(ask_again)

    def on_send(self, sent: Place, now: float) -> None:
        """Note a request that takes a place, or probes for one."""
        self._out.add(sent)
        held = self.held(now, sent.others)
        if held >= self.places + len(self._probes):
            self._probes.append(sent)
            ramp = self.quiet / max(RAMP, held / E_FOLD)
            self._next_probe = now + max(self._gap, ramp)
        if self._losses:  # nothing else may be sent before its end
            self._test = sent

    def on_answer(self, sent: Place, now: float) -> None:
        """Note an answer of any kind but a refusal: it was admitted."""
        self._out.discard(sent)
        self._answered.append((sent.at, now))
        while self._answered[0][1] <= now - 2 * self.quiet:
            self._answered.popleft()
        if sent in self._probes:
            self._won(sent, now)
        self.lag *= LAG_KEPT
        if self.lag > 0.02:
            self._freed.append(now)

    def on_withdrawn(self, sent: Place) -> None:
        """Forget a request that never reached the service."""
        self.ignore(sent)
        if self._test is sent:
            self._test = None

    def ignore(self, sent: Place) -> None:
        """Drop a request that proves nothing about the places."""
        self._out.discard(sent)
        if sent in self._probes:
            self._probes.remove(sent)

    def pause(self, until: float) -> None:
        """Send nothing before then; what runs goes on."""
        self._not_before = max(self._not_before, until)

    def on_refused(self, sent: Place, now: float, in_flight: int) -> None:
        """Learn from a refusal; `in_flight` is without the refused request."""
        self._out.discard(sent)
        if self._test is sent:
            self._test = None
        # Silence must outlast the slowest refusal, or it proves nothing.
        self.quiet = max(QUIET, 0.9 * self.quiet, 1.5 * (now - sent.at))
        if self._probes:
            self._probe_refused(sent, now)
        else:
            self._place_lost(sent, now, in_flight)

    def _hear_silence(self, now: float) -> None:
        while self._probes and now >= self._probes[0].at + self.quiet:
            self._won(self._probes[0], now)
        if self._test is not None and now >= self._test.at + self.quiet:
            self._losses, self._test = 0, None

    def _won(self, probe: Place, now: float) -> None:
        self._probes.remove(probe)
        self.places += 1
        if probe.at < self._told_at:
            return  # older than the last refusal: no news about the limit
        self._calm = 1.0
        self._gap = min(self._gap, 2.0) / 2  # 1, 1/2, 1/4 s .. to the ramp's own
        self._next_probe = min(self._next_probe, now)
        if self._maybe_late:  # what was lost has come back: it had been freed late
            self.lag = min(2 * LAG_STEP, self.lag + LAG_STEP)
            self._maybe_late = False

    def _probe_refused(self, sent: Place, now: float) -> None:
        probe = sent if sent in self._probes else self._probes[-1]
        self._probes.remove(probe)
        if sent.at < self._told_at:
            return
        self._told_at = now
        self._maybe_late = False
        self._gap = INTERVAL / math.sqrt(self.places + len(self._probes)) * self._calm
        self._calm = min(CALMEST, self._calm * CALMER)
        self._next_probe = now + self._gap

    def _place_lost(self, sent: Place, now: float, in_flight: int) -> None:
        if sent.at < self._lost_at:  # of the same episode: it only sharpens the number
            self.places = min(self.places, max(1, self._held_when(sent.at)))
            return
        held = max(1, self.held(now, in_flight))
        # Alone or shared, a loss is one place; only a limit that really fell refuses
        # the test after it too.
        again = max(1, held // 2) if self._losses else held
        self.places = min(self.places, again)
        self._losses += 1
        self._lost_at = now
        self._maybe_late = self._losses == 1
        self._calm = 1.0
        self._gap = SOON
        self._next_probe = now + SOON
        if not in_flight:  # nothing of ours will free a place: only here a timer is due
            wait = min(ALONE, 0.8 + self._losses / 10)
            self.pause(now + random.uniform(0.5, 1.0) * wait)
