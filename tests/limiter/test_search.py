"""
The limit that finds itself, one situation at a time.

Each test is one trap of the search: a short story of sends, silence, refusals and
answers, and what is believed afterwards.
"""

import math

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from zai_images import RateLimitedError, RetryPolicy
from zai_images._api.models import MODELS
from zai_images._limiter.bounds import LatencyBound, RateBound
from zai_images._limiter.policy import AdaptivePolicy, Cooldown, FixedPolicy
from zai_images._limiter.search import INTERVAL, SOON, Limit, Place

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


def test_it_starts_with_one_place_and_probes_for_more_at_once():
    story = Story()

    assert len(story.send_all()) == 2  # the place, and a probe
    assert not story.ready()
    assert story.limit.places == 1


def test_a_second_of_silence_proves_a_place():
    story = Story()
    story.send_all()
    story.wait(0.99)
    story.ready()
    assert story.limit.places == 1
    story.wait(0.02)
    story.ready()

    assert story.limit.places == 2


def test_a_cold_ramp_runs_on_network_time_and_not_on_pictures():
    """Twenty places in less time than a picture takes."""
    story = Story()
    begun = story.now
    story.ramp(20)

    assert story.now - begun < 6


def test_an_answer_proves_a_place_without_any_silence():
    """A fast server, a sandbox: thirty pictures, and the clock stands still."""
    story = Story()
    for _ in range(30):
        for sent in story.send_all():
            story.answer(sent)

    assert story.limit.places > 10


def test_a_refused_probe_leaves_the_places_as_they_were():
    story = Story()
    story.ramp(5)
    story.wait(10)
    probe = story.send_all()[-1]
    places = story.limit.places
    story.wait(0.2)
    story.refuse(probe)

    assert story.limit.places == places
    assert not story.ready()


def test_a_refusal_while_a_probe_is_out_is_the_probes_answer_whoever_was_refused():
    """Two sends can swap on the wire: the probe took the place of the other."""
    story = Story()
    story.ramp(5)
    story.wait(10)
    probe = story.send_all()[-1]
    places = story.limit.places
    story.wait(0.2)
    story.refuse(story.flight[0])

    assert story.limit.places == places
    assert probe not in story.limit._probes


@pytest.mark.parametrize(("places", "seconds"), [(1, 80), (3, 46), (8, 28), (50, 11)])
def test_the_interval_between_probes_shrinks_with_the_root_of_the_places(
    places, seconds
):
    story = Story()
    story.limit.places = places
    probe = [story.send() for _ in range(places + 1)][-1]
    story.wait(0.2)
    story.refuse(probe)
    _, ask_again = story.limit.may_send(story.now, len(story.flight))

    assert ask_again - story.now == pytest.approx(seconds, abs=1)
    assert ask_again - story.now == pytest.approx(INTERVAL / math.sqrt(places))


def test_a_limit_that_stays_is_asked_ever_less_often_but_at_most_four_times_less():
    story = Story()
    gaps = []
    for _ in range(200):
        probe = story.send_all()[-1]
        story.wait(0.2)
        story.refuse(probe)
        for sent in story.flight.copy():
            story.answer(sent)
        story.send()
        _, ask_again = story.limit.may_send(story.now, len(story.flight))
        gaps.append(ask_again - story.now)
        story.wait(gaps[-1])

    assert gaps[1] == pytest.approx(gaps[0] * 1.03, rel=0.01)
    assert gaps[-1] == pytest.approx(4 * gaps[0], rel=0.01)


def test_a_refused_refill_tells_the_exact_number_of_places():
    story = Story()
    story.ramp(10)
    while len(story.flight) > 7:
        story.answer(story.flight[0])
    refill = story.send()
    story.wait(0.2)
    story.refuse(refill)

    assert story.limit.places == 7


def test_after_a_lost_place_one_request_at_a_time_tests_what_is_left():
    story = lost_place()
    story.answer(story.flight[0])
    story.answer(story.flight[0])
    story.send()

    assert not story.ready()
    story.wait(1.01)
    assert story.ready()


def test_a_second_loss_in_a_row_halves_what_is_believed():
    """Alone or shared a loss is one place; only a limit that fell refuses the test."""
    story = lost_place()
    before = story.limit.places
    story.answer(story.flight[0])
    story.wait(2)
    test = story.send()
    story.wait(0.2)
    story.refuse(test)

    assert story.limit.places == (before - 1) // 2


def test_a_burst_of_refusals_is_one_episode_that_only_sharpens_the_number():
    """A burst is refused in any order; what was sent before the loss is old news."""
    story = Story()
    story.ramp(20)
    burst = story.flight[-6:]
    for sent in burst:
        story.wait(0.01)
        story.refuse(sent)

    assert story.limit.places == len(story.flight)


def test_late_refusals_of_a_burst_do_not_count_what_was_answered_meanwhile_as_lost():
    """When they come, fewer are out than when they were refused."""
    story = Story()
    story.ramp(20)
    early, late = story.flight[-2:]
    admitted = len(story.flight) - 2
    story.wait(0.1)
    story.refuse(early)
    for sent in story.flight[:6]:
        story.wait(0.1)
        story.answer(sent)
    story.refuse(late)

    assert len(story.flight) == admitted - 6
    assert story.limit.places == admitted


def test_what_was_answered_long_ago_is_forgotten():
    story = Story(known=40)
    for _ in range(500):
        story.send_all()
        story.wait(1.0)
        story.answer(story.flight[0])

    assert len(story.limit._answered) == 2  # of two quiet times, one each second
    assert len(story.limit._out) == len(story.flight)


def test_a_lost_place_is_looked_for_soon_for_somebody_may_have_taken_it():
    story = lost_place()
    while story.flight:
        story.answer(story.flight[0])
        story.send()
        story.wait(1.1)
        if story.now > story.lost_at + SOON:
            break
    places = story.limit.places

    assert len(story.send_all()) >= 1
    assert story.limit.places == places  # a probe, not a belief


def test_a_place_that_comes_back_was_only_freed_late():
    """Answers then count as places for a while longer: no refill is sent too early."""
    story = lost_place()
    story.answer(story.flight[0])
    story.wait(2)
    story.send()
    story.wait(SOON)
    story.send_all()
    story.wait(1.1)
    story.ready()
    assert story.limit.lag == pytest.approx(0.3, abs=0.01)

    story.limit._next_probe = math.inf
    story.send_all()
    story.answer(story.flight[0])
    assert not story.ready()
    story.wait(0.31)
    assert story.ready()


def test_a_silence_shorter_than_the_slowest_refusal_proves_nothing():
    story = Story()
    story.ramp(5)
    story.wait(10)
    probe = story.send_all()[-1]
    story.wait(0.9)
    story.limit.on_refused(probe, story.now + 2, len(story.flight))

    assert story.limit.quiet == pytest.approx(1.5 * 2.9)


def test_an_old_probe_admitted_after_a_refusal_is_no_news_about_the_limit():
    story = Story()
    story.ramp(5)
    story.wait(10)
    first = story.send()
    story.limit._next_probe = story.now
    second = story.send()
    story.wait(0.2)
    story.refuse(second)
    told = story.limit._next_probe
    story.answer(first)

    assert story.limit._next_probe == told


def test_with_nothing_of_ours_in_flight_a_lone_request_waits_for_a_timer():
    story = Story()
    story.limit._next_probe = math.inf
    story.refuse(story.send())

    assert not story.ready()
    _, ask_again = story.limit.may_send(story.now, 0)
    assert 0.4 <= ask_again - story.now <= 4
    story.now = ask_again
    assert story.ready()


def test_a_remembered_limit_is_believed_by_half_and_quickly_regained():
    story = Story(known=50)
    begun = story.now

    assert story.limit.places == 25
    story.ramp(50)
    assert story.now - begun < 7


def test_what_never_left_is_neither_admitted_nor_refused():
    story = Story()
    story.send()
    probe = story.send()
    probe.at = math.inf  # still connecting
    story.wait(60)
    story.ready()
    assert story.limit.places == 1
    story.flight.remove(probe)
    story.limit.on_withdrawn(probe)

    assert story.limit._probes == []


def test_it_says_when_to_ask_again_at_the_soonest_of_what_may_change():
    """The next probe, the silence after the last one, or a place that is freed late."""
    story = Story()
    story.send_all()
    assert story.limit.may_send(100.0, 2) == (False, pytest.approx(100 + 1 / 6))

    story.limit._next_probe = math.inf
    assert story.limit.may_send(100.0, 2) == (False, 101.0)

    story.limit.lag = 0.3
    story.answer(story.flight[0])
    _, ask_again = story.limit.may_send(100.0, 2)
    assert ask_again == pytest.approx(100.3, abs=0.001)


def test_above_48_places_the_ramp_grows_with_the_places():
    story = Story()
    story.limit.places = 96
    for _ in range(97):
        story.send()

    assert story.limit.may_send(100.0, 97) == (False, pytest.approx(100 + 1 / 12))


def test_a_refill_while_probes_are_out_is_no_probe():
    story = Story()
    place = story.send()
    story.send()
    story.limit._next_probe = story.now
    probes = story.limit._probes + [story.send()]
    story.limit._next_probe = math.inf
    assert not story.ready()
    story.answer(place)
    story.send()

    assert story.limit._probes == probes[:2]
    assert not story.ready()


def test_after_a_lost_place_it_asks_again_when_the_test_has_been_silent():
    story = lost_place()
    assert story.limit._next_probe == pytest.approx(story.lost_at + 8)
    story.answer(story.flight[0])
    story.answer(story.flight[0])
    test = story.send()

    assert story.limit.may_send(story.now, 8) == (False, test.at + story.limit.quiet)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_lone_request_is_tried_again_ever_later_up_to_four_seconds(
    monkeypatch, share
):
    """Up to half of a wait is left to chance, so that clients come one by one."""
    chance = {0.5: min, 1.0: max}[share]
    monkeypatch.setattr("random.uniform", chance)
    story = Story()
    story.limit._next_probe = math.inf
    waits = []
    for _ in range(40):
        story.refuse(story.send())
        _, ask_again = story.limit.may_send(story.now, 0)
        waits.append(ask_again - story.now)
        story.now = ask_again

    assert waits[:2] == pytest.approx([0.9 * share, 1.0 * share])
    assert waits[-1] == pytest.approx(4 * share)


def test_a_lag_is_forgotten_slowly_and_places_are_freed_in_their_order():
    story = Story()
    story.limit.places = 5
    story.limit.lag = 0.3
    story.limit._next_probe = math.inf
    sends = story.send_all()
    story.answer(sends[0])
    story.wait(0.2)
    story.answer(sends[1])
    assert story.limit.lag == pytest.approx(0.3 * 0.998**2)
    story.wait(0.15)

    assert story.limit.held(story.now, len(story.flight)) == 4
    story.wait(0.2)
    assert story.limit.held(story.now, len(story.flight)) == 3


def test_only_the_end_of_the_test_itself_frees_the_way_for_the_next():
    for end in ("withdrawn", "refused"):
        story = lost_place()
        for _ in range(3):
            story.answer(story.flight[0])
        test, other = story.send(), story.flight[0]
        assert not story.ready()
        story.flight.remove(other)
        story.limit.on_withdrawn(other)
        assert not story.ready()
        if end == "refused":
            story.refuse(test)
            while len(story.flight) >= story.limit.places:
                story.answer(story.flight[0])
        else:
            story.flight.remove(test)
            story.limit.on_withdrawn(test)
        assert story.ready()
        assert test not in story.limit._out
        assert other not in story.limit._out


def test_the_silence_that_is_needed_shrinks_again_by_a_tenth_a_refusal():
    story = Story()
    story.limit.quiet = 4.0
    story.limit.on_refused(story.send(), story.now + 0.2, 0)

    assert story.limit.quiet == pytest.approx(3.6)


def test_a_rise_is_followed_at_once_and_then_ever_faster():
    """Each place won halves the wait: 1, 1/2, 1/4 s, and then as in a ramp."""
    story = Story()
    story.limit.places = 4
    story.limit._gap, story.limit._calm = 40.0, 4.0
    story.limit._next_probe = story.now
    gaps = []
    for _ in range(4):
        probe = story.send_all()[-1]
        story.answer(probe)
        assert story.limit._next_probe == story.now
        story.send_all()
        gaps.append(story.limit._next_probe - story.now)
        story.limit.on_answer(story.flight.pop(), story.now)

    assert gaps == pytest.approx([1, 0.25, 1 / 6, 1 / 6])
    probe = story.send_all()[-1]
    story.refuse(probe)
    assert story.limit._gap == pytest.approx(INTERVAL / math.sqrt(story.limit.places))


def test_after_a_loss_probes_come_as_soon_and_as_often_as_at_first():
    story = lost_place()
    story.limit._losses = 0

    assert story.limit._gap == SOON == 8
    story.limit.may_send(story.now + 100, len(story.flight))
    story.wait(100)
    story.limit._next_probe = story.now
    probe = story.send_all()[-1]
    story.refuse(probe)
    assert story.limit._gap == pytest.approx(INTERVAL / math.sqrt(story.limit.places))


def test_what_was_answered_just_before_may_still_have_held_its_place_at_a_refusal():
    """Else a late refusal would tell of one place less than there was."""
    story = Story(known=20)
    story.limit.lag = 0.3
    story.limit._next_probe = math.inf
    sends = story.send_all()
    story.wait(5)
    story.answer(sends[0])
    story.wait(0.1)
    story.limit._next_probe = story.now
    late = story.send()  # a probe that silence lets pass
    story.limit._next_probe = math.inf
    story.wait(1.1)
    refill = story.send()
    story.wait(0.1)
    story.refuse(refill)
    story.refuse(late)

    assert len(story.flight) == 9
    assert story.limit.places == 10


def test_what_was_answered_up_to_two_quiet_times_ago_counts_at_a_late_refusal():
    story = Story(known=40)
    story.limit.quiet = 2.0
    story.limit._next_probe = math.inf
    while story.ready():
        story.send()
        story.wait(0.001)
    early, late = story.flight[-2:]
    story.refuse(early)
    story.wait(0.1)
    story.answer(story.flight[0])
    story.wait(2.9)
    story.answer(story.flight[0])
    story.refuse(late)

    assert len(story.flight) == 16
    assert story.limit.places == 18


def test_a_refill_takes_the_place_of_what_was_answered_at_the_same_moment():
    """Else a late refusal would tell of one place more than there was."""
    story = Story(known=20)
    story.limit._next_probe = math.inf
    sends = story.send_all()
    story.wait(5)
    story.answer(sends[0])
    late = story.send()
    story.wait(0.1)
    story.refuse(sends[1])
    story.refuse(late)

    assert story.limit.places == len(story.flight) == 8


@pytest.mark.parametrize(("lag", "freed"), [(0.015, "at once"), (0.025, "later")])
def test_a_lag_below_a_fiftieth_of_a_second_is_none(lag, freed):
    story = Story(known=20)
    story.limit._next_probe = math.inf
    story.send_all()
    story.limit.lag = lag
    story.answer(story.flight[0])

    assert story.ready() is (freed == "at once")


def test_another_refusal_while_the_test_is_out_does_not_free_the_way():
    """What was refused was sent before the loss: it says nothing of the test."""
    story = lost_place()
    other = story.flight[-1]
    for _ in range(3):
        story.answer(story.flight[0])
    story.send()
    story.refuse(other)

    assert len(story.flight) < story.limit.places
    assert not story.ready()


def test_asked_at_the_very_moment_it_named_it_has_something_new_to_say():
    story = Story()
    probe = story.send_all()[-1]
    story.limit._next_probe = math.inf
    _, story.now = story.limit.may_send(story.now, len(story.flight))
    story.ready()
    assert story.now == probe.at + story.limit.quiet
    assert story.limit.places == 2

    story = lost_place()
    for _ in range(3):
        story.answer(story.flight[0])
    story.send()
    _, story.now = story.limit.may_send(story.now, len(story.flight))
    assert story.ready()

    story = Story(known=20)
    story.limit._next_probe = math.inf
    story.send_all()
    story.limit.lag = 0.3
    story.answer(story.flight[0])
    story.limit.lag = 0.25
    _, story.now = story.limit.may_send(story.now, len(story.flight))
    assert story.now == 100.25
    assert story.ready()


def test_once_the_test_has_been_silent_all_free_places_are_filled_at_once():
    """And another loss is the first again: one place, not half of them."""
    story = lost_place()
    before = story.limit.places
    for _ in range(4):
        story.answer(story.flight[0])
    story.send()
    story.wait(1.1)
    story.limit._next_probe = math.inf
    refills = story.send_all()
    story.wait(0.2)
    story.refuse(refills[-1])

    assert len(refills) == 3
    assert story.limit.places == before - 1


def test_a_lag_is_learned_once_for_each_place_that_came_back_up_to_two_steps():
    story = lost_place()
    lags = []
    for _ in range(3):
        come_back(story)
        learned = story.limit.lag
        story.limit._next_probe = story.now
        story.send_all()
        story.wait(1.1)
        story.ready()  # one more place: nothing that had been lost
        assert story.limit.lag == learned
        lags.append(learned)
        lose_a_place(story)

    assert lags == pytest.approx([0.3, 0.6, 0.6], abs=0.02)


def test_a_place_whose_probe_was_refused_was_really_gone_and_taught_no_lag():
    story = lost_place()
    left = story.limit.places
    pass_the_test(story)
    story.wait(SOON)
    story.refuse(story.send_all()[-1])
    story.wait(INTERVAL)
    story.send_all()
    story.wait(1.1)
    story.ready()

    assert story.limit.places == left + 1
    assert story.limit.lag == 0


def test_a_refused_probe_proves_nothing_later_and_the_one_after_it_still_may():
    story = Story(known=8)
    first = story.send_all()[-1]
    story.wait(0.5)
    story.send_all()
    story.refuse(first)
    story.wait(0.6)
    story.ready()
    assert story.limit.places == 4

    story.wait(0.5)
    story.ready()
    assert story.limit.places == 5


def test_refusals_of_a_burst_of_probes_are_one_answer():
    """The first says when to probe again, by the places and what still probes."""
    story = Story(known=8)
    story.send_all()
    for _ in range(2):
        story.wait(0.2)
        story.send_all()
    probes = story.limit._probes.copy()
    assert len(probes) == 3
    begun = story.now
    for probe in probes:
        story.wait(0.01)
        story.refuse(probe)

    assert story.limit.places == 4
    _, ask_again = story.limit.may_send(story.now, len(story.flight))
    assert ask_again - begun == pytest.approx(0.01 + INTERVAL / math.sqrt(4 + 2))


def test_however_few_are_left_it_believes_in_one_place_and_in_no_more():
    story = Story(known=8)
    story.refuse(story.send())  # the only one
    assert story.limit.places == 1

    story = Story(known=20)
    story.limit._next_probe = math.inf
    for _ in range(3):
        story.send()
        story.wait(0.01)
    for sent in reversed(story.flight[1:]):  # a burst
        story.refuse(sent)
    story.refuse(story.flight[0])
    assert story.limit.places == 1

    story = Story(known=20)
    story.limit._next_probe = math.inf
    for _ in range(3):
        story.send()
    story.refuse(story.flight[-1])
    assert story.limit.places == 2
    story.answer(story.flight[0])
    story.wait(1)
    story.refuse(story.send())  # the test after it
    assert story.limit.places == 1


def test_a_loss_ends_the_calm_of_a_limit_that_stayed():
    story = Story(known=20)
    story.limit._calm = 4.0
    story.limit._next_probe = math.inf
    story.send_all()
    story.refuse(story.flight[-1])
    pass_the_test(story)
    story.wait(SOON)
    story.refuse(story.send_all()[-1])

    assert story.limit._gap == pytest.approx(INTERVAL / math.sqrt(story.limit.places))


def test_the_clock_may_begin_at_zero():
    story = Story()
    story.now = 0.0
    probe = story.send_all()[-1]
    story.answer(probe)

    assert len(story.send_all()) == 2  # the place that was won, and a probe


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


class TestPace:
    def test_too_often_touches_only_the_rate(self):
        limit = adaptive()
        sends = [sent_at(limit, now) for now in (1.0, 2.0, 3.0)]
        places = limit._places.places
        limit.on_refused(sends[-1], 3.2, 2, refusal("1303"))

        assert limit._places.places == places
        assert limit.may_send(3.3, 2)[0] is False
        assert limit._rate_bound.rate(3.2) == pytest.approx(0.24)

    def test_the_rate_is_cut_once_an_episode_and_grows_back(self):
        pace = RateBound()
        for now in range(10):
            pace.on_send(float(now))
        early = Place(quality="standard", others=0, at=9.0)
        pace.on_refused(early, 10.0)
        pace.on_refused(early, 10.1)
        assert pace.rate(10.0) == pytest.approx(0.8)
        assert pace.rate(57.0) == pytest.approx(1.0, abs=0.01)
        assert pace.rate(300.0) > 100

    def test_a_long_spell_of_too_often_is_over_soon_after_its_end(self):
        """However long it lasted: one in ten seconds, and minutes later all of it."""
        pace = RateBound()
        now = 0.0
        for _ in range(1000):
            pace.on_send(now)
            pace.on_refused(Place(quality="standard", others=0, at=now), now + 0.1)
            now = pace.next
        assert pace.next - now <= 10
        assert pace.rate(now + 300) > 10

    def test_a_send_waits_for_its_turn_at_the_rate(self):
        pace = RateBound()
        for now in range(10):
            pace.on_send(float(now))
        pace.on_refused(Place(quality="standard", others=0, at=9.0), 10.0)
        assert pace.next == pytest.approx(10 + 1 / 0.8)
        pace.on_send(pace.next)
        assert pace.next == pytest.approx(10 + 2 / 0.8, rel=1e-3)
        pace.on_send(20.0)
        assert pace.next == pytest.approx(20 + 1 / pace.rate(20.0))

    def test_only_the_last_ten_seconds_tell_what_was_tried(self):
        pace = RateBound()
        for now in (0.0, 0.1, 0.2, 0.3, 50.0, 52.0):
            pace.on_send(now)
        pace.on_refused(Place(quality="standard", others=0, at=52.0), 53.0)

        assert pace.rate(53.0) == pytest.approx(0.8 * 0.2)

    def test_the_rate_falls_no_lower_than_one_in_ten_seconds(self):
        pace = RateBound()
        pace.on_send(0.0)
        pace.on_refused(Place(quality="standard", others=0, at=0.0), 1.0)

        assert pace.rate(1.0) == pytest.approx(0.1)
        assert pace.next == pytest.approx(11.0)


class TestGuard:
    def test_a_silent_queue_shows_in_the_latency_and_shrinks_the_ceiling(self):
        guard = LatencyBound(WINDOWS)
        now = 0.0
        for n in range(200):
            now += 0.5  # four places of 7.5 s each, and a queue before them
            sent = Place(quality="standard", others=55, at=now - min(10 + n, 60))
            guard.on_answer(sent, now)

        assert guard.acted
        assert guard.ceiling <= 40

    def test_latencies_inside_the_window_never_shrink_it(self):
        guard = LatencyBound(WINDOWS)
        for n in range(500):
            quality, low, high = (("standard", 5, 10), ("hd", 17, 20))[n % 2]
            took = low + (high - low) * (n * 7 % 10) / 10
            guard.on_answer(Place(quality=quality, others=50, at=n - took), float(n))

        assert not guard.acted
        assert guard.ceiling >= 100

    def test_a_fast_server_is_no_queue_and_an_unknown_quality_proves_nothing(self):
        guard = LatencyBound(WINDOWS)
        for n in range(100):
            took = 0.01 if n < 50 else 4.0
            guard.on_answer(Place(quality="standard", others=9, at=n - took), float(n))
            guard.on_answer(Place(quality="ultra", others=9, at=n - 900.0), float(n))

        assert not guard.acted

    def test_the_ceiling_begins_at_56_or_at_twice_what_is_remembered(self):
        assert LatencyBound(WINDOWS).ceiling == 56
        assert LatencyBound(WINDOWS, known=20).ceiling == 56
        assert LatencyBound(WINDOWS, known=40).ceiling == 80

    def test_while_latency_is_normal_the_ceiling_is_twice_what_was_in_flight(self):
        guard = LatencyBound(WINDOWS)
        answered(guard, 100.0, took=7.5, others=27)
        assert guard.ceiling == 56
        answered(guard, 101.0, took=7.5, others=39)
        assert guard.ceiling == 80

    def test_a_latency_that_has_grown_a_little_moves_nothing(self):
        guard = LatencyBound(WINDOWS)
        answered(guard, 100.0, took=5.0)  # a normal latency is now 7.5 s
        for n in range(60):
            answered(guard, 101.0 + n, took=1.25 * 7.5)
        for n in range(60):
            answered(guard, 161.0 + n, took=1.25 * 7.5, others=99)

        assert not guard.acted
        assert guard.ceiling == 56

    def test_what_latency_took_comes_back_one_place_in_each_normal_latency(self):
        guard = queued()
        assert (guard.acted, guard.ceiling) == (True, 3)
        answered(guard, 103.0, took=60.0)  # sent before the cut: old news
        seen = []
        for now in (107.5, 109.4, 109.6, 110.0, 117.0, 117.2):
            answered(guard, now, took=5.0, others=99)
            seen.append(guard.ceiling)

        assert seen == [3, 3, 4, 4, 4, 5]

    def test_a_high_ceiling_comes_back_by_a_twentieth(self):
        guard = queued()
        guard.ceiling = 100
        answered(guard, 110.0, took=5.0)

        assert guard.ceiling == 105

    def test_a_queue_that_stays_is_cut_again_by_what_was_sent_after_the_cut(self):
        guard = queued()
        for n in range(8):
            answered(guard, 140.0 + 8 * n, took=30.0)

        assert guard.ceiling == 1


class TestPauses:
    def test_an_overload_stops_all_sending_for_ever_longer(self, no_jitter):
        limit = adaptive()
        now = 0.0
        waits = []
        for _ in range(7):
            sent = sent_at(limit, now)
            limit.on_refused(sent, now + 0.1, 0, refusal("1305"))
            _, again = limit.may_send(now + 0.2, 0)
            waits.append(round(again - now - 0.1))
            now = again

        assert waits == [5, 10, 20, 40, 80, 120, 120]

    def test_a_burst_of_overloads_is_one(self, no_jitter):
        limit = adaptive()
        sends = [sent_at(limit, 0.0) for _ in range(2)]
        for sent in sends:
            limit.on_refused(sent, 0.5, 1, refusal("1305"))
        _, again = limit.may_send(1.0, 0)

        assert again == pytest.approx(5.5)

    def test_a_retry_after_is_kept_and_capped_and_a_picture_ends_an_overload(
        self, no_jitter
    ):
        pauses = Cooldown(5, 120)
        sent = Place(quality="standard", others=0, at=0.0)

        assert pauses.seconds(refusal("1302", 7.0), sent, 1.0) == 7
        assert pauses.seconds(refusal("1302", 9999.0), sent, 1.0) == 120
        assert pauses.seconds(refusal("1302"), sent, 1.0) == 0
        assert pauses.seconds(refusal("1305"), sent, 1.0) == 5
        late = Place(quality="standard", others=0, at=2.0)
        assert pauses.seconds(refusal("1305"), late, 3.0) == 10
        pauses.over()
        late.at = 4.0
        assert pauses.seconds(refusal("1312"), late, 5.0) == 5

    @pytest.mark.parametrize("chance", [0.0, 1.0])
    def test_a_pause_is_drawn_out_by_up_to_a_quarter_and_never_shortened(
        self, monkeypatch, chance
    ):
        """Many clients that were refused together must not come back together."""
        monkeypatch.setattr(
            "random.uniform", lambda low, high: low + chance * (high - low)
        )
        longer = 1 + chance / 4
        sent = Place(quality="standard", others=0, at=0.0)
        fixed = FixedPolicy(3, Cooldown(5, 120), RetryPolicy(first_pause=2))
        fixed.on_refused(sent, 0.0, 0, refusal("1302"))

        assert Cooldown(5, 120).seconds(refusal("1305"), sent, 1.0) == 5 * longer
        assert Cooldown(5, 120).seconds(refusal("1302", 8.0), sent, 1.0) == 8 * longer
        assert fixed.may_send(0.0, 0)[1] == 2 * longer


class TestFixed:
    def test_it_keeps_exactly_its_places_and_only_learns_to_pause(self, no_jitter):
        fixed = FixedPolicy(3, Cooldown(5, 120), RetryPolicy())
        assert fixed.may_send(0.0, 2)[0]
        assert fixed.may_send(0.0, 3) == (False, None)
        sent = Place(quality="standard", others=2, at=0.0)
        fixed.on_refused(sent, 1.0, 2, refusal("1302"))
        assert fixed.may_send(1.4, 2) == (False, 1.5)
        fixed.on_answer(sent, 2.0, picture=True)
        fixed.on_withdrawn(sent)

        assert fixed.may_send(2.0, 2)[0]
        assert (fixed.limit, fixed.reason) == (3, "fixed")

    def test_its_pauses_are_those_of_the_retry_policy(self, no_jitter):
        policy = RetryPolicy(first_pause=0.01, max_pause=0.04)
        fixed = FixedPolicy(3, Cooldown(5, 120), policy)
        sent = Place(quality="standard", others=0, at=0.0)
        pauses = []
        for now in range(5):
            fixed.on_refused(sent, now, 0, refusal("1302"))
            pauses.append(round(fixed.may_send(now, 0)[1] - now, 3))

        assert pauses == [0.01, 0.02, 0.04, 0.04, 0.04]

    def test_a_picture_sets_its_pauses_back_and_another_answer_does_not(
        self, no_jitter
    ):
        policy = RetryPolicy(first_pause=1, max_pause=100)
        for picture, seconds in ((True, 1), (False, 4)):
            fixed = FixedPolicy(3, Cooldown(5, 120), policy)
            sent = Place(quality="standard", others=0, at=0.0)
            for now in (0.0, 10.0):
                fixed.on_refused(sent, now, 0, refusal("1302"))
            fixed.on_answer(sent, 20.0, picture=picture)
            fixed.on_refused(sent, 30.0, 0, refusal("1302"))
            assert fixed.may_send(30.0, 0) == (False, 30.0 + seconds)

    def test_a_picture_ends_an_overload_for_it_too(self, no_jitter):
        for picture, seconds in ((True, 5), (False, 10)):
            fixed = FixedPolicy(3, Cooldown(5, 120), RetryPolicy())
            for now in (0.0, 20.0):
                sent = Place(quality="standard", others=0, at=now)
                fixed.on_refused(sent, now, 0, refusal("1305"))
                if now == 0.0:
                    fixed.on_answer(sent, 10.0, picture=picture)
            assert fixed.may_send(20.0, 0) == (False, 20.0 + seconds)

    def test_it_waits_as_long_as_it_is_told(self, no_jitter):
        fixed = FixedPolicy(3, Cooldown(5, 120), RetryPolicy())
        sent = Place(quality="standard", others=0, at=0.0)
        fixed.on_refused(sent, 0.0, 0, refusal("1302", 30.0))

        assert fixed.may_send(0.0, 0) == (False, 30.0)


class TestAdaptive:
    """The user's ceiling, the latency, the rate and the places: the least of them."""

    def test_nothing_goes_out_at_the_ceiling_and_the_next_answer_asks_again(self):
        limit = adaptive(known=40, ceiling=(3, "max_in_flight"))

        assert limit.may_send(0.0, 2) == (True, None)
        assert limit.may_send(0.0, 3) == (False, None)

    def test_nothing_goes_out_at_the_ceiling_that_latency_has_set(self):
        limit = adaptive(known=40)
        limit._latency_bound.ceiling = 2

        assert limit.may_send(0.0, 1) == (True, None)
        assert limit.may_send(0.0, 2) == (False, None)

    def test_latency_is_named_only_where_it_acted_and_bounds(self):
        limit = adaptive(known=40)  # 20 places
        limit._latency_bound.ceiling = 5
        assert limit.reason == "known"
        limit._latency_bound._cut_at = 1.0
        assert limit.reason == "latency"
        limit._latency_bound.ceiling = 21
        assert limit.reason == "known"

    def test_only_a_refusal_for_want_of_a_place_says_how_many_there_are(self):
        lost = adaptive(known=40)
        sends = [sent_at(lost, 0.0) for _ in range(3)]
        lost.on_refused(sends[0], 0.2, 2, refusal("1302"))
        assert lost.limit == 2
        for code in ("1303", "1305", "7777"):
            kept = adaptive(known=40)
            sends = [sent_at(kept, 0.0) for _ in range(3)]
            kept.on_refused(sends[0], 0.2, 2, refusal(code))
            assert (kept.limit, kept.reason) == (20, "known")

    def test_what_was_refused_for_another_reason_is_no_probe_any_more(self):
        """Else its silence would prove a place."""
        for end in ("1303", "withdrawn"):
            limit = adaptive()
            sent_at(limit, 0.0)
            probe = Place(quality="standard", others=1)
            limit.on_send(probe, 0.0)
            probe.at = 0.0
            if end == "withdrawn":
                limit.on_withdrawn(probe)
            else:
                limit.on_refused(probe, 0.2, 1, refusal(end))
            limit.may_send(60.0, 1)
            assert limit.limit == 1

    def test_an_answered_probe_is_a_place(self):
        limit = adaptive()
        sent_at(limit, 0.0)
        probe = Place(quality="standard", others=1)
        limit.on_send(probe, 0.0)
        probe.at = 0.0
        limit.on_answer(probe, 0.1, picture=False)

        assert limit.limit == 2

    def test_a_refusal_without_a_pause_stops_nothing_by_itself(self):
        limit = adaptive(known=40)
        sent = sent_at(limit, 0.0)
        limit.on_refused(sent, 1.0, 3, refusal("7777"))

        assert limit.may_send(0.9, 3) == (True, None)

    def test_a_picture_ends_an_overload_and_another_answer_does_not(self, no_jitter):
        for picture, seconds in ((True, 5), (False, 10)):
            limit = adaptive(known=40)
            limit.on_refused(sent_at(limit, 0.0), 1.0, 0, refusal("1305"))
            limit.on_answer(sent_at(limit, 7.0), 8.0, picture=picture)
            limit.on_refused(sent_at(limit, 9.0), 10.0, 0, refusal("1305"))
            assert limit.may_send(10.1, 0) == (False, 10.0 + seconds)

    def test_latency_counts_only_where_a_picture_came(self):
        for picture in (True, False):
            limit = adaptive(known=40)
            for n in range(200):
                sent = sent_at(limit, n - min(10.0 + n, 60.0))
                limit.on_answer(sent, float(n), picture=picture)
            assert limit._latency_bound.acted is picture


class TestReasons:
    def test_the_reason_says_what_the_number_rests_on(self):
        assert adaptive().reason == "growing"
        assert adaptive(known=8).reason == "known"
        bounded = adaptive(ceiling=(1, "open files"))
        assert (bounded.limit, bounded.reason) == (1, "open files")
        refused = adaptive()
        sent = sent_at(refused, 0.0)
        refused.on_refused(sent, 0.2, 0, refusal("1302"))
        assert refused.reason == "refused"
        slow = adaptive()
        slow._latency_bound.ceiling, slow._latency_bound._cut_at = 1, 1.0
        assert slow.reason == "latency"


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


class AnyService(RuleBasedStateMachine):
    """Whatever the service does, the gate keeps its word and is never stuck."""

    @initialize(ceiling=st.integers(1, 12), known=st.none() | st.integers(1, 40))
    def begin(self, ceiling: int, known: int | None) -> None:
        self.ceiling = ceiling
        self.decision = adaptive(known=known, ceiling=(ceiling, "max_in_flight"))
        self.now = 0.0
        self.flight: list[Place] = []

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(most=st.integers(1, 20), leaves=st.booleans())
    def send(self, most: int, *, leaves: bool) -> None:
        for _ in range(most):
            if not self.decision.may_send(self.now, len(self.flight))[0]:
                return
            sent = Place(quality="standard", others=len(self.flight))
            self.decision.on_send(sent, self.now)
            if leaves:
                sent.at = self.now
            self.flight.append(sent)

    @precondition(lambda self: self.flight)
    @rule(
        data=st.data(),
        end=st.sampled_from(["picture", "error", "unsent"])
        | st.sampled_from(["1302", "1303", "1305", "7777"]),
        retry_after=st.none() | st.floats(0, 500),
    )
    def end(self, data, end: str, retry_after: float | None) -> None:
        sent = self.flight.pop(data.draw(st.integers(0, len(self.flight) - 1)))
        sent.at = min(sent.at, self.now)
        if end == "unsent":
            self.decision.on_withdrawn(sent)
        elif end in ("picture", "error"):
            self.decision.on_answer(sent, self.now, picture=end == "picture")
        else:
            error = refusal(end, retry_after)
            self.decision.on_refused(sent, self.now, len(self.flight), error)

    @invariant()
    def never_above_the_users_ceiling(self) -> None:
        if hasattr(self, "flight"):
            assert len(self.flight) <= self.ceiling
            assert 1 <= self.decision.limit <= self.ceiling

    @invariant()
    def never_stuck(self) -> None:
        """With nothing in flight, waiting as told leads to a send."""
        if not hasattr(self, "flight") or self.flight:
            return
        now = self.now
        for _ in range(50):
            yes, again = self.decision.may_send(now, 0)
            if yes:
                return
            assert again is not None
            assert again < math.inf
            now = max(again, now + 1e-4)
        raise AssertionError(f"still waiting after {now - self.now:.0f} s")


TestAnyService = AnyService.TestCase
TestAnyService.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)
