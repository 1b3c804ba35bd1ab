"""A limit as tests speak of it: stories of sends and answers, and short names."""

import math

from zai_images import RateLimitedError
from zai_images._api.models import MODELS
from zai_images._limiter.bounds import LatencyBound
from zai_images._limiter.policy import AdaptivePolicy, Cooldown
from zai_images._limiter.search import SOON, Limit, Place

WINDOWS = {str(k): v for k, v in MODELS["cogview-4-250304"].windows.items()}


class Story:
    """Tell a limit what happens, and keep the clock and what is in flight."""

    def __init__(self, known: int | None = None) -> None:
        self.limit = Limit(known)
        self.now = 100.0
        self.flight: list[Place] = []

    def ready(self) -> bool:
        return self.limit.may_send(self.now, len(self.flight))[0]

    def send(self) -> Place:
        assert self.ready()
        sent = Place(quality="standard", others=len(self.flight))
        self.limit.on_send(sent, self.now)
        sent.at = self.now
        self.flight.append(sent)
        return sent

    def send_all(self) -> list[Place]:
        """Send as long as that is allowed at this moment."""
        sends = []
        while self.ready():
            sends.append(self.send())
        return sends

    def ramp(self, places: int) -> None:
        """Let a silent service admit requests until so many places are believed in."""
        while self.limit.places < places:
            self.send_all()
            self.wait(0.05)
        while self.limit._probes:
            self.wait(0.1)
            self.ready()

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def refuse(self, sent: Place) -> None:
        self.flight.remove(sent)
        self.limit.on_refused(sent, self.now, len(self.flight))

    def answer(self, sent: Place) -> None:
        self.flight.remove(sent)
        self.limit.on_answer(sent, self.now)


def lose_a_place(story: Story) -> None:
    """Tell how the refill of a place was refused."""
    story.wait(5)
    story.limit._next_probe = math.inf
    while len(story.flight) >= story.limit.places:
        story.answer(story.flight[0])
    story.wait(1)  # longer than any lag
    refill = story.send_all()[-1]
    story.wait(0.2)
    story.refuse(refill)


def pass_the_test(story: Story) -> None:
    """Tell how, after a lost place, a refill was admitted: the limit has not fallen."""
    story.answer(story.flight[0])
    story.wait(1)
    story.send_all()
    story.wait(1.1)
    assert story.ready() is False


def come_back(story: Story) -> None:
    """Tell how a lost place was there again when it was probed for."""
    places = story.limit.places
    pass_the_test(story)
    story.wait(SOON)
    story.send_all()
    story.wait(1.1)
    story.ready()
    assert story.limit.places == places + 1


def lost_place() -> Story:
    """Tell how a steady ten places became nine."""
    story = Story()
    story.ramp(10)
    story.wait(5)
    story.limit._next_probe = math.inf
    while len(story.flight) >= story.limit.places:
        story.answer(story.flight[0])
    refill = story.send()
    story.wait(0.2)
    story.refuse(refill)
    story.lost_at = story.now
    return story


def answered(guard: LatencyBound, now: float, *, took: float, others: int = 0) -> None:
    guard.on_answer(Place(quality="standard", others=others, at=now - took), now)


def queued() -> LatencyBound:
    """Tell how latency rose to four times the normal, and was noticed at 102 s."""
    guard = LatencyBound(WINDOWS)
    answered(guard, 100.0, took=5.0)
    answered(guard, 101.0, took=30.0)
    answered(guard, 102.0, took=30.0)
    return guard


def adaptive(**settings: object) -> AdaptivePolicy:
    defaults = {"known": None, "ceiling": (1000, "max_in_flight")}
    return AdaptivePolicy(WINDOWS, cooldown=Cooldown(5, 120), **(defaults | settings))


def refusal(code: str, retry_after: float | None = None) -> RateLimitedError:
    return RateLimitedError("busy", code=code, status=429, retry_after=retry_after)


def sent_at(limit: AdaptivePolicy, now: float) -> Place:
    sent = Place(quality="standard", others=0)
    limit.on_send(sent, now)
    sent.at = now
    return sent
