"""The two bounds beside the places: how often may be sent, how long answers take."""

import pytest
from support.limits import WINDOWS, adaptive, answered, queued, refusal, sent_at

from zai_images._limiter.bounds import LatencyBound, RateBound
from zai_images._limiter.search import Place


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
