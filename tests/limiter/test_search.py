"""
The limit that finds itself: how it grows, and how often it asks for more.

Each test is one trap of the search: a short story of sends, silence, refusals and
answers, and what is believed afterwards.
"""

import math

import pytest
from support.limits import Story

from zai_images._limiter.search import INTERVAL


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


def test_what_was_answered_long_ago_is_forgotten():
    story = Story(known=40)
    for _ in range(500):
        story.send_all()
        story.wait(1.0)
        story.answer(story.flight[0])

    assert len(story.limit._answered) == 2  # of two quiet times, one each second
    assert len(story.limit._out) == len(story.flight)


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


def test_the_clock_may_begin_at_zero():
    story = Story()
    story.now = 0.0
    probe = story.send_all()[-1]
    story.answer(probe)

    assert len(story.send_all()) == 2  # the place that was won, and a probe
