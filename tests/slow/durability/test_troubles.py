"""Jobs that live several times, with a trouble of every kind, drawn by a seed."""

from collections import Counter, defaultdict

import pytest
from support.judge.client import Client
from support.judge.rounds import Round
from support.judge.troubles import KINDS, drawn

SIDE_BY_SIDE = 2
MET = defaultdict(Counter)


@pytest.fixture(scope="session")
def clients(shim):
    """Fork more runs at once than rounds are played, for some are met by a second."""
    with Client(shim, at_once=2) as client:
        yield client


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        one = metafunc.config.getoption("--round")
        rounds = metafunc.config.getoption("--rounds")
        metafunc.parametrize("seed", range(rounds) if one is None else [one])


@pytest.mark.tried("rounds of troubles")
@pytest.mark.timeout(600)
def test_whatever_befalls_a_job_nothing_is_lost_or_paid_twice_and_status_is_the_ledger(
    seed, clients, paid_service, tmp_path
):
    game = Round.begin(clients, paid_service, tmp_path / "run", seed=seed)

    game.play(drawn)

    for kind, sibling in game.met:
        MET[kind][sibling] += 1


def test_every_kind_of_trouble_has_siblings_and_was_met(pytestconfig):
    assert all(len(siblings) >= 5 for _, siblings, _ in KINDS.values())
    for kind, siblings in MET.items():
        print(f"{kind}: met {siblings.total()} times in {len(siblings)} ways")  # noqa: T201
    if pytestconfig.getoption("--rounds") >= 40 and sum(map(len, MET.values())) > 99:
        assert set(MET) == set(KINDS)
