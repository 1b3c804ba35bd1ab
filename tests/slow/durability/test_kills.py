"""
kill -9 at every named point and at random: nothing lost, nothing paid twice.

A thousand at random instead of forty:

    pytest tests/slow/durability/test_kills.py --kills 1000
"""

import random
import signal
import time
from collections import Counter

import pytest
from support.judge.client import AT_ONCE, send, side_by_side
from support.judge.shim import Rule, events, point
from support.judge.trial import Trial

# Each point is a place in the program where dying might lose or repeat something; the
# column says what only a kill there can show. A test below holds the list complete.
POINTS = {
    ("mkdir", "*/deep"): "a folder above a job",
    ("open", "*/deep"): "a job whose name is not synced",
    ("sync", "*/deep"): "a job whose name is synced",
    ("mkdir", "*/out"): "a folder of a job that is no job yet",
    ("mkdir", "*/pictures"): "a folder of pictures without a journal",
    ("mkdir", "*/pictures/*"): "an empty shard",
    ("open", "*/out"): "before the folder is synced",
    ("open", "*/pictures"): "before the shard's name is synced",
    ("open", "*/pictures/*"): "a picture's name before its sync",
    ("open", "*/p.txt"): "while the input is read",
    ("open", "*/.lock"): "a lock whose owner died",
    ("open", "*/.reserve"): "a reserve of no size",
    ("allocate", "*/.reserve"): "a reserve of half a size",
    ("open", "*/job.sqlite"): "an empty journal",
    ("write", "*/job.sqlite"): "half a checkpoint",
    ("sync", "*/job.sqlite"): "a checkpoint before its sync",
    ("truncate", "*/job.sqlite"): "a journal as long as it was once",
    ("open", "*/job.sqlite-journal"): "an empty undo log",
    ("write", "*/job.sqlite-journal"): "half an undo log",
    ("sync", "*/job.sqlite-journal"): "an undo log of a change that may be half",
    ("unlink", "*/job.sqlite-journal"): "an undo log of a change that is whole",
    ("open", "*/job.sqlite-wal"): "an empty log",
    ("write", "*/job.sqlite-wal"): "half a commit",
    ("sync", "*/job.sqlite-wal"): "a commit nobody was told of",
    ("unlink", "*/job.sqlite-wal"): "the last process closing the journal",
    ("open", "*/job.sqlite-shm"): "an index that is no index yet",
    ("truncate", "*/job.sqlite-shm"): "an index of nobody",
    ("write", "*/job.sqlite-shm"): "an index of half a size",
    ("unlink", "*/job.sqlite-shm"): "a journal without its index",
    ("open", "*/run"): "a folder above a job whose name is not synced",
    ("sync", "*/run"): "a folder above a job whose name is synced",
    ("connect", "socket"): "an intent that was never sent",
    ("send", "POST"): "a request paid for, or not",
    ("recv", "POST"): "an answer read and not kept",
    ("send", "GET"): "an answer kept and not fetched",
    ("recv", "GET"): "a picture half fetched",
    ("open", "*.part"): "an empty .part file",
    ("write", "*.part"): "half a picture in a .part file",
    ("sync", "*.part"): "a whole picture under a name that is none",
    ("link", "*.png"): "a picture under two names, and nowhere recorded",
    ("unlink", "*.part"): "a picture that is nowhere recorded",
    ("sync", "*/pictures/*"): "a recorded name, or not yet",
    ("sync", "*/pictures"): "a shard whose name is synced",
    ("sync", "*/out"): "a job whose name is synced",
}
PLAN = {"prompt 3": ["refuse"]}
MORE = {"prompt 6": ["error"], "prompt 7": ["lose"]}  # these wait, so not always


@pytest.fixture(scope="session")
def seen(client, paid_service, tmp_path_factory):
    """Count the events of an undisturbed run by their points; and time it."""
    place = tmp_path_factory.mktemp("undisturbed") / "run"
    trial = Trial.begin(client, paid_service, place, plan=PLAN)
    began = time.monotonic()
    assert trial.batch(log=place.parent / "log").code == 0
    took = time.monotonic() - began
    return Counter(map(point, events(place.parent / "log"))), took


def killed(trial, dice, rule=None, meanwhile=None):
    """Kill a run, maybe its resume too, then let it resume and finish."""
    ran = trial.batch(rule=rule, meanwhile=meanwhile)
    trial.check_bill()
    if dice.random() < 0.3:
        trial.batch(rule=Rule(nth=dice.randint(1, 60), after=dice.random() < 0.5))
        trial.check_bill()
    trial.check_resumed(trial.batch())
    trial.check_resumed(trial.batch())  # and again: it changes nothing
    trial.finish()
    return ran


@pytest.mark.tried("kills at named points")
@pytest.mark.parametrize("where", POINTS, ids=" ".join)
def test_killed_at_a_named_point_nothing_is_lost_or_paid_twice(  # noqa: PLR0917 - fixtures
    where, seen, client, paid_service, tmp_path, record_property
):
    call, path = where
    count = seen[0][where]

    def one(after):
        place = tmp_path / ("after" if after else "before") / "run"
        trial = Trial.begin(client, paid_service, place, plan=PLAN)
        rule = Rule(calls=(call,), path=path, nth=(count + 1) // 2, after=after)

        ran = killed(trial, random.Random(f"{where}{after}"), rule)

        assert ran.killed, (after, count, ran.err)

    record_property("cases", side_by_side(one, [False, True]))


def test_the_list_of_points_is_complete(seen):
    assert set(seen[0]) - set(POINTS) == set()
    assert set(POINTS) - set(seen[0]) == set()


def pytest_generate_tests(metafunc):
    if "first" in metafunc.fixturenames:
        kills = metafunc.config.getoption("--kills")
        metafunc.parametrize("first", range(0, kills, AT_ONCE))


@pytest.mark.tried("kills at random moments")
def test_killed_at_random_nothing_is_lost_or_paid_twice(  # noqa: PLR0917 - fixtures
    first, seen, client, paid_service, tmp_path, record_property
):
    counts, took = seen

    def one(seed):
        dice = random.Random(seed)
        plan = PLAN | MORE if seed % 4 == 0 else PLAN
        place = tmp_path / f"{seed}" / "run"
        trial = Trial.begin(client, paid_service, place, plan=plan)
        # By the clock, or by a number of events, for the clock favours waits.
        if seed % 2:
            wait = dice.uniform(0, took)

            def meanwhile(pid):
                time.sleep(wait)
                send(pid, signal.SIGKILL)

            killed(trial, dice, meanwhile=meanwhile)
        else:
            nth = dice.randint(1, counts.total())
            killed(trial, dice, Rule(nth=nth, after=dice.random() < 0.5))

    record_property("cases", side_by_side(one, range(first, first + AT_ONCE)))
