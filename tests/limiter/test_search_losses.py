"""
The limit that finds itself: lost places, bursts of refusals, places freed late.

Each test is one trap of the search, told as a short story.
"""

import math

import pytest
from support.limits import Story, come_back, lose_a_place, lost_place, pass_the_test

from zai_images._limiter.search import INTERVAL, SOON


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


def test_after_a_lost_place_it_asks_again_when_the_test_has_been_silent():
    story = lost_place()
    assert story.limit._next_probe == pytest.approx(story.lost_at + 8)
    story.answer(story.flight[0])
    story.answer(story.flight[0])
    test = story.send()

    assert story.limit.may_send(story.now, 8) == (False, test.at + story.limit.quiet)


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
