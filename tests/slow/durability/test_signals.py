"""SIGINT and SIGTERM: what runs is drained, and each picture is billed exactly once."""

import random
import signal
import time

import pytest
from support.judge.client import AT_ONCE, send, side_by_side
from support.judge.trial import Trial

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def pytest_generate_tests(metafunc):
    if "first" in metafunc.fixturenames:
        signals = metafunc.config.getoption("--signals")
        metafunc.parametrize("first", range(0, signals, AT_ONCE))


def begun(trial):
    """Wait until the first request has been sent, so that there is a job to stop."""
    ends = time.monotonic() + 20
    while not trial.case.bill().entries:
        assert time.monotonic() < ends, "nothing was sent"
        time.sleep(0.005)


@pytest.mark.tried("signals at random moments")
def test_a_signal_drains_what_runs_and_the_line_it_prints_resumes(
    first, client, paid_service, tmp_path, record_property
):
    def one(seed):
        dice = random.Random(seed)
        which = dice.choice([signal.SIGINT, signal.SIGTERM])
        place = tmp_path / f"{seed}" / "run"
        trial = Trial.begin(client, paid_service, place, items=14, delay=(0.03, 0.15))
        stopped_and_resumed(trial, which, dice.uniform(0, 0.7))

    record_property("cases", side_by_side(one, range(first, first + AT_ONCE)))


def stopped_and_resumed(trial, which, wait):
    def meanwhile(pid):
        begun(trial)
        time.sleep(wait)
        send(pid, which)

    ran = trial.batch(meanwhile=meanwhile)

    bill = trial.check_bill()
    states = trial.by_state()
    all_saved = len(states["saved"]) == 14
    # One that comes after the summary finds a program that is about to be gone.
    late = (0, -which) if all_saved else ()
    assert ran.code in (CODES[which], *late), ran
    assert not states["unknown"] + states["sent"] + states["answered"], states
    assert bill.in_flight == 0  # it waited for what ran
    if not all_saved:
        (line,) = [x for x in ran.err.splitlines() if "zai-images batch p.txt" in x]
        assert "--out deep/out" in line
    trial.check_resumed(trial.batch())
    assert trial.case.bill().billed == trial.wanted
    trial.finish()


@pytest.mark.tried("second signals")
@pytest.mark.parametrize("which", CODES)
def test_the_second_signal_ends_at_once_and_loses_nothing(
    which, client, paid_service, tmp_path
):
    trial = Trial.begin(client, paid_service, tmp_path / "run", delay=(5, 5))
    times = []

    def meanwhile(pid):
        begun(trial)
        for pause in (0.0, 0.3):
            time.sleep(pause)
            send(pid, which)
        times.append(time.monotonic())

    ran = trial.batch(meanwhile=meanwhile)

    assert time.monotonic() - times[0] < 3
    assert ran.code == CODES[which]
    trial.check_bill()
    trial.case.tell(delay=(0.01, 0.02))
    unknown = trial.check_resumed(trial.batch())
    assert unknown >= 1
    trial.finish()
