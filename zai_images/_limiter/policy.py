"""The policies that tell the gate when to send, and learn from each answer."""

import math
import random
from collections.abc import Mapping

from zai_images._api.codes import OVERLOADED, TOO_MANY_IN_FLIGHT, TOO_OFTEN
from zai_images._api.errors import RateLimitedError
from zai_images._config import RetryPolicy
from zai_images._limiter.bounds import LatencyBound, RateBound
from zai_images._limiter.search import Limit, Place


class Cooldown:
    """
    The pause in all sending after a refusal; what is in flight goes on.

    It lasts `first` seconds at the first overload (1305, 1312) and doubles at each, up
    to `most`, which also caps a Retry-After.
    """

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._overloads = 0
        self._begun = -math.inf

    def seconds(self, error: RateLimitedError, sent: Place, now: float) -> float:
        """Return the seconds to wait after a refusal; 0 where the limit decides."""
        jitter = random.uniform(1.0, 1.25)
        if error.retry_after is not None:
            return min(error.retry_after, self._most) * jitter
        if error.code not in OVERLOADED or sent.at < self._begun:
            return 0.0
        pause = min(self._first * 2.0 ** min(self._overloads, 30), self._most)
        self._overloads += 1
        self._begun = now
        return pause * jitter

    def over(self) -> None:
        """Note that a picture came, so the overload has passed."""
        self._overloads = 0


class AdaptivePolicy:
    """
    The policy that finds the limit, under the user's own ceiling.

    `windows` are the documented seconds in service by quality; `ceiling` is the most
    that may be in flight, and what that rests on.
    """

    def __init__(
        self,
        windows: Mapping[str, tuple[float, float]],
        *,
        known: int | None,
        ceiling: tuple[int, str],
        cooldown: Cooldown,
    ) -> None:
        self._places = Limit(known)
        self._latency_bound = LatencyBound(windows, known)
        self._rate_bound = RateBound()
        self._ceiling, self._bound = ceiling
        self._cooldown = cooldown
        self._known = known
        self._refused = False

    @property
    def limit(self) -> int:
        """The number of places, as far as it is known."""
        return min(self._places.places, self._latency_bound.ceiling, self._ceiling)

    @property
    def reason(self) -> str:
        """What that number rests on."""
        if self._places.places >= self._ceiling:
            return self._bound
        if (
            self._latency_bound.acted
            and self._latency_bound.ceiling <= self._places.places
        ):
            return "latency"
        if self._refused:
            return "refused"
        return "known" if self._known else "growing"

    def may_send(self, now: float, in_flight: int) -> tuple[bool, float | None]:
        """Tell whether one more may be sent, or when to ask again."""
        if in_flight >= min(self._ceiling, self._latency_bound.ceiling):
            return False, None  # the next answer asks again
        if now < self._rate_bound.next:
            return False, self._rate_bound.next
        return self._places.may_send(now, in_flight)

    def on_send(self, sent: Place, now: float) -> None:
        """Note a request that goes out."""
        self._places.on_send(sent, now)
        self._rate_bound.on_send(now)

    def on_refused(
        self, sent: Place, now: float, in_flight: int, error: RateLimitedError
    ) -> None:
        """Learn from a refusal: a rate, an overload, or the number of places."""
        pause = self._cooldown.seconds(error, sent, now)
        if pause:
            self._places.pause(now + pause)
        if error.code == TOO_MANY_IN_FLIGHT:
            self._refused = True
            self._places.on_refused(sent, now, in_flight)
            return
        self._places.on_withdrawn(sent)  # it says nothing about the places
        if error.code == TOO_OFTEN:
            self._rate_bound.on_refused(sent, now)

    def on_answer(self, sent: Place, now: float, *, picture: bool) -> None:
        """Learn from an answer; a latency counts only where a picture came."""
        self._places.on_answer(sent, now)
        if picture:
            self._latency_bound.on_answer(sent, now)
            self._cooldown.over()

    def on_withdrawn(self, sent: Place) -> None:
        """Note that a request did not reach the service."""
        self._places.on_withdrawn(sent)


class FixedPolicy:
    """The policy of a given limit (`adaptive=False`): only pauses are learned."""

    reason = "fixed"

    def __init__(self, limit: int, cooldown: Cooldown, policy: RetryPolicy) -> None:
        self.limit = limit
        self._cooldown = cooldown
        self._policy = policy
        self._refusals = 0
        self._not_before = 0.0

    def may_send(self, now: float, in_flight: int) -> tuple[bool, float | None]:
        """Tell whether one more may be sent, or when to ask again."""
        if in_flight >= self.limit:
            return False, None
        return now >= self._not_before, self._not_before

    def on_send(self, sent: Place, now: float) -> None:
        """Learn nothing."""

    def on_refused(
        self, sent: Place, now: float, in_flight: int, error: RateLimitedError
    ) -> None:
        """Pause all sending, longer after each refusal."""
        del in_flight
        doubled = self._policy.first_pause * 2.0 ** min(self._refusals, 30)
        doubled = min(doubled, self._policy.max_pause) * random.uniform(1.0, 1.25)
        self._refusals += 1
        pause = self._cooldown.seconds(error, sent, now) or doubled
        self._not_before = max(self._not_before, now + pause)

    def on_answer(self, sent: Place, now: float, *, picture: bool) -> None:
        """Forget the refusals when a picture comes."""
        del sent, now
        if picture:
            self._refusals = 0
            self._cooldown.over()

    def on_withdrawn(self, sent: Place) -> None:
        """Learn nothing."""


LimitPolicy = AdaptivePolicy | FixedPolicy
