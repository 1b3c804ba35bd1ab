"""Two bounds besides the places: the send rate, if refusals name one, and latency."""

import math
from collections import deque
from collections.abc import Mapping

from zai_images._limiter.search import Place

FIRST_CEILING = 56
LOOK_BACK = 10.0  # seconds over which a rate is measured
SLOWEST = 0.1  # sends a second
GROWTH = 1e-4
# Enough to measure 1,000 a second, or as many places; an instant test server is faster.
_REMEMBERED = 10_000


class RateBound:
    """
    A bound on the sends a second, learned from "too often" (1303).

    Such a refusal changes nothing else. The rate is cut once per episode, to one send
    in ten seconds at the lowest. It grows back by itself, slowly at first.
    """

    def __init__(self) -> None:
        self.next = 0.0
        self._cut_to = math.inf  # sends a second
        self._cut_at = 0.0
        self._sends: deque[float] = deque(maxlen=_REMEMBERED)

    def rate(self, now: float) -> float:
        """Return how many sends a second are allowed now."""
        # A quarter higher after 47 s, and no bound at all after a few minutes.
        return self._cut_to * math.exp(min(GROWTH * (now - self._cut_at) ** 2, 100.0))

    def on_send(self, now: float) -> None:
        """Count a send, and set when the next may follow."""
        self._sends.append(now)
        while self._sends[0] < now - LOOK_BACK:
            self._sends.popleft()
        self.next = max(now, self.next) + 1 / self.rate(now)

    def on_refused(self, sent: Place, now: float) -> None:
        """Slow down to four fifths of the rate that was just tried."""
        if sent.at < self._cut_at:
            return
        tried = min(self.rate(now), len(self._sends) / LOOK_BACK)
        self._cut_to = max(SLOWEST, 0.8 * tried)
        self._cut_at = now
        self.next = now + 1 / self._cut_to


class LatencyBound:
    """
    A bound that keeps pictures inside their latency window where a service queues.

    Behind a real limit this never acts: the service refuses instead of queueing. Where
    latency still grows with the load, Little's law gives the number of places: the
    answers that come in one normal latency. `windows` are the documented seconds in
    service of each quality, low and high.
    """

    def __init__(
        self, windows: Mapping[str, tuple[float, float]], known: int | None = None
    ) -> None:
        self.ceiling = max(FIRST_CEILING, 2 * (known or 0))
        self._windows = windows
        self._load = 1.0
        self._fastest: dict[str, float] = {}
        self._answers: deque[float] = deque(maxlen=_REMEMBERED)
        self._cut_at: float | None = None
        self._next_growth = 0.0

    @property
    def acted(self) -> bool:
        """Whether latency, not a refusal, sets the limit."""
        return self._cut_at is not None

    def on_answer(self, sent: Place, now: float) -> None:
        """Compare a latency with what is normal for its quality."""
        normal = self._normal(sent.quality, now - sent.at)
        if normal is None:
            return
        self._answers.append(now)
        while self._answers[0] < now - normal:
            self._answers.popleft()
        if self._cut_at is not None and sent.at < self._cut_at:
            return  # old news
        self._load += ((now - sent.at) / normal - self._load) / 8
        if self._load > 1.35:
            self.ceiling = max(1, len(self._answers))
            self._load = 1.0
            self._cut_at = now
            self._next_growth = now + normal
        elif self._load < 1.15:
            self._grow(sent, now, normal)

    def _grow(self, sent: Place, now: float, normal: float) -> None:
        if self._cut_at is None:
            self.ceiling = max(self.ceiling, 2 * (sent.others + 1))
        elif now > self._next_growth:
            self.ceiling += max(1, self.ceiling // 20)
            self._next_growth = now + normal

    def _normal(self, quality: str, latency: float) -> float | None:
        """
        Return the middle of a quality's window, scaled to the speed of this service.

        Never below the window's own low end: a fast test server is no queue.
        """
        window = self._windows.get(quality)
        if window is None:
            return None
        low, high = window
        fastest = max(low, min(latency, self._fastest.get(quality, math.inf)))
        self._fastest[quality] = fastest
        return fastest * (1 + high / low) / 2
