"""A full or a broken disk: nothing paid is lost, and the program says so in words."""

import contextlib
import os
import random
import subprocess
from collections import Counter

import pytest
from support.judge.client import side_by_side
from support.judge.shim import FAILURES, FILE_CALLS, Rule, events, point
from support.judge.trial import DISK, DONE, SOME_FAILED, Trial

# Which error a call may meet; ENOSPC and EDQUOT last until room is made, EIO and EMFILE
# may pass or last.
MEETS = {
    "open": ("EMFILE", "ENOSPC", "EIO"),
    "write": ("ENOSPC", "EIO", "EDQUOT"),
    "sync": ("EIO", "ENOSPC", "EDQUOT"),
    "truncate": ("EIO",),
    "allocate": ("ENOSPC", "EDQUOT"),
    "rename": ("EIO", "ENOSPC"),
    "unlink": ("EIO",),
    "mkdir": ("ENOSPC", "EDQUOT", "EIO"),
    "link": ("ENOSPC",),
}
SENT_AFTERWARDS = 8  # at most what was in flight when the disk failed
ITEMS = 6
PARTS = 16  # tests, so that one that fails leaves the others standing


@pytest.fixture(scope="session")
def calls(client, paid_service, tmp_path_factory):
    """List the file calls of an undisturbed run below its folder, by name and order."""
    place = tmp_path_factory.mktemp("undisturbed") / "run"
    trial = Trial.begin(client, paid_service, place, items=ITEMS)
    assert trial.batch(log=place.parent / "log").code == DONE
    return [
        where
        for where in map(point, events(place.parent / "log"))
        if where[0] in FILE_CALLS and where != ("open", "*/p.txt")
    ]


def faults(calls, most):
    """
    Choose (which call, its number, error, how many times).

    Each call of ours in turn fails once or from then on, and each point, SQLite's too,
    with each error that it may meet. Then others, until there are `most`.
    """
    dice = random.Random(1)
    found, more = [], []
    seen = Counter()
    for where in calls:
        seen[where] += 1
        errors = MEETS[where[0]]
        if "job.sqlite" not in where[1]:
            error = errors[len(found) % len(errors)]
            found.append((where, seen[where], error, dice.choice((1, -1))))
        more += [(where, seen[where], error, n) for error in errors for n in (1, -1)]
    found += [
        (where, (count + 1) // 2, error, dice.choice((1, -1)))
        for where, count in seen.items()
        for error in MEETS[where[0]]
    ]
    found = list(dict.fromkeys(found))
    more = list(set(more) - set(found))
    dice.shuffle(more)
    return found + more[: max(0, most - len(found))]


@pytest.mark.tried("disk faults at file calls")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_file_call_that_fails_loses_nothing(  # noqa: PLR0917 - fixtures
    part, calls, client, paid_service, tmp_path, pytestconfig, record_property
):
    chosen = faults(calls, pytestconfig.getoption("--faults"))[part::PARTS]
    met = []

    def one(numbered):
        number, fault = numbered
        place = tmp_path / f"{number}" / "run"
        trial = Trial.begin(client, paid_service, place, items=ITEMS)
        met.append(meets(trial, *fault))

    side_by_side(one, enumerate(chosen))

    record_property("cases", sum(met))
    assert sum(met) >= 0.8 * len(met)  # a second picture may be stored with the first


def meets(trial, where, nth, error, times):
    """Let a run meet a fault; returns whether it came to that call at all."""
    rule = Rule(
        calls=(where[0],), path=where[1], nth=nth, error=FAILURES[error], times=times
    )
    log = trial.place.parent / "log"

    ran = trial.batch(rule=rule, log=log)

    what = (where, nth, error, times, ran.code, ran.err)
    assert ran.code in (DONE, SOME_FAILED, DISK), what
    done = [event.call for event in events(log)]
    if "failed" in done and times == -1 and ran.code == DISK:
        after = list(events(log))[done.index("failed") :]
        sent = sum(event.call == "send" and event.path == "POST" for event in after)
        assert sent <= SENT_AFTERWARDS, what
    if ran.code == DISK:
        # SQLite keeps the system's own word from us; its file is named then.
        named = (os.strerror(FAILURES[error]), "job.sqlite", "journal")
        assert any(word in ran.err for word in named), what
    trial.check_bill()
    trial.check_resumed(trial.batch())
    trial.finish()
    return "failed" in done


@contextlib.contextmanager
def small_disk(folder, size):
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if (
        os.geteuid()
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("mounting a small disk needs to be root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607 - of the system


@pytest.mark.tried("a full disk")
@pytest.mark.parametrize("size", [12_000, 60_000, 150_000])
def test_on_a_disk_of_a_mebibyte_nothing_is_lost_and_it_goes_on_with_more_room(
    size, client, paid_service, tmp_path
):
    with small_disk(tmp_path / "run", "1m"):
        place = tmp_path / "run"
        trial = Trial.begin(
            client, paid_service, place, items=90 if size == 12_000 else 30, size=size
        )

        ran = trial.batch()

        assert ran.code == DISK, ran.err
        assert "No space left" in ran.err or "is full" in ran.err
        bill = trial.check_bill()
        states = trial.by_state()
        assert not states["unknown"] + states["sent"], (states, ran.err)
        assert bill.billed.total() == len(states["saved"] + states["answered"])
        remount = ["mount", "-o", "remount,size=16m", str(tmp_path / "run")]
        subprocess.run(remount, check=True)
        trial.check_resumed(trial.batch())
        assert trial.case.bill().billed == trial.wanted
        trial.finish()


@pytest.mark.tried("a journal that may not grow")
def test_a_journal_that_may_not_grow_stops_the_job_and_loses_nothing(
    client, paid_service, tmp_path, record_property
):
    """`max_page_count` lets SQLite itself say that the disk is full, at each size."""
    ended = []
    for pages in range(2, 40):
        trial = Trial.begin(client, paid_service, tmp_path / f"{pages}", items=20)

        ran = trial.batch(pages=pages)

        assert ran.code in (DISK, DONE), (pages, ran.code, ran.err)
        assert ran.code == DONE or "full" in ran.err, (pages, ran.err)
        trial.check_bill()
        states = trial.by_state()
        assert not states["unknown"] + states["sent"], (pages, states)
        trial.check_resumed(trial.batch())
        assert trial.case.bill().billed == trial.wanted
        trial.finish()
        ended.append(ran.code)
        if ran.code == DONE:
            break
    record_property("cases", len(ended))
    assert ended[-1] == DONE
    assert ended.count(DISK) >= 5
