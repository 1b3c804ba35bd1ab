"""What a session counts: money by attempts, latencies by model and quality."""

import pytest

from zai_images._session.stats import Counters

COGVIEW = "cogview-4-250304"


def test_only_what_may_be_billed_counts_and_a_picture_counts_with_its_price():
    tally = Counters()
    tally.settled("no", 0.01)
    tally.settled("maybe", 0.01)
    for _ in range(2):
        tally.settled("yes", 0.01)
    stats = tally.stats({})

    assert (stats.pictures, stats.billed, stats.maybe_billed) == (2, 2, 1)
    assert stats.cost == pytest.approx(0.02)


def test_one_picture_of_unknown_price_makes_the_sum_unknown_for_good():
    tally = Counters()
    for price in (0.01, None, 0.01):
        tally.settled("yes", price)

    assert tally.stats({}).cost is None
    assert tally.stats({}).pictures == 3


def test_latencies_are_summed_up_for_each_model_and_quality_beside_the_pages_window():
    tally = Counters()
    for seconds in range(1, 101):
        tally.took(COGVIEW, "standard", float(seconds))
    tally.took(COGVIEW, "hd", 18.0)
    tally.took("someone-elses", "standard", 3.0)
    found = tally.latency(COGVIEW)

    assert set(found) == {"standard", "hd"}
    assert found["standard"].median == 50.5
    assert found["standard"].p95 == pytest.approx(95, abs=0.5)
    assert found["standard"].window == (5.0, 10.0)
    assert (found["hd"].median, found["hd"].p95) == (18.0, 18.0)


def test_nobody_says_what_a_model_takes_that_is_not_on_the_page():
    tally = Counters()
    tally.took("someone-elses", "standard", 3.0)

    assert tally.latency("someone-elses")["standard"].window is None
    assert tally.latency("never asked for") == {}


def test_the_last_thousand_latencies_are_remembered():
    tally = Counters()
    for seconds in [*[100.0] * 5000, *[1.0] * 1000]:
        tally.took(COGVIEW, "standard", seconds)

    assert tally.latency(COGVIEW)["standard"].p95 == 1.0


def test_what_was_handed_out_does_not_change_any_more():
    tally = Counters()
    before = tally.stats({})
    tally.refusals += 1
    tally.settled("yes", 0.01)

    assert (before.refusals, before.pictures, before.cost) == (0, 0, 0.0)
