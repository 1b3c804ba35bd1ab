"""Jobs that live several times, with a trouble of every kind, drawn by a seed."""

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.judge.client import Client
from support.judge.rounds import Round
from support.judge.troubles import KINDS, drawn

SIDE_BY_SIDE = 4  # rounds: most of one is waiting
MET = defaultdict(Counter)


@pytest.fixture(scope="session")
def clients(shim):
    """Fork more runs at once than rounds are played, for some are met by a second."""
    with Client(shim, at_once=2 * SIDE_BY_SIDE) as client:
        yield client


def pytest_generate_tests(metafunc):
    if "seeds" in metafunc.fixturenames:
        one = metafunc.config.getoption("--round")
        every = list(range(metafunc.config.getoption("--rounds")))
        if one is not None:
            every = [one]
        blocks = [
            every[n : n + SIDE_BY_SIDE] for n in range(0, len(every), SIDE_BY_SIDE)
        ]
        metafunc.parametrize("seeds", blocks, ids=lambda seeds: f"from {seeds[0]}")


@pytest.mark.tried("rounds of troubles")
@pytest.mark.timeout(900)
def test_whatever_befalls_a_job_nothing_is_lost_or_paid_twice_and_status_is_the_ledger(
    seeds, clients, paid_service, tmp_path, record_property
):
    def one(seed):
        place = tmp_path / f"{seed}" / "run"
        game = Round.begin(clients, paid_service, place, seed=seed)
        game.play(drawn)
        for kind, sibling in game.met:
            MET[kind][sibling] += 1

    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        record_property("cases", len(list(threads.map(one, seeds))))


def test_every_kind_of_trouble_has_five_siblings():
    assert min(len(siblings) for _, siblings, _ in KINDS.values()) >= 5


def test_every_kind_of_trouble_was_met(pytestconfig):
    for kind, siblings in MET.items():
        print(f"{kind}: met {siblings.total()} times in {len(siblings)} ways")  # noqa: T201 - shown with -s
    whole = pytestconfig.getoption("--rounds") >= 40
    if whole and MET and pytestconfig.getoption("--round") is None:
        assert set(MET) == set(KINDS)
