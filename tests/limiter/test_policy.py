"""Who may send, decided from the places, the rate, the latency and the pauses."""

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
from support.limits import adaptive, refusal, sent_at

from zai_images import RetryPolicy
from zai_images._limiter.policy import Cooldown, FixedPolicy
from zai_images._limiter.search import Place


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
