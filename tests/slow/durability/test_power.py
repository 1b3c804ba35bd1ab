"""Power loss: whatever the disk kept, every journalled answer is still there."""

import shutil
from collections import defaultdict

import pytest
from support.judge.client import side_by_side
from support.judge.crash import Disk
from support.judge.power import Recording, check_state, disks
from support.judge.shim import Event, Rule
from support.judge.trial import Trial

PARTS = 8  # tests, so that one that fails leaves the others standing
# Each half has a recording, and an account, of its own.
HALVES = (("dropped", "kept", "torn"), ("names", "data", "mixed"))


@pytest.fixture(scope="session")
def recordings(client, paid_service, tmp_path_factory):
    """Record runs with a refusal, a failure for free and a lost answer."""
    plan = {"prompt 3": ["refuse"], "prompt 5": ["lose"], "prompt 6": ["error"]}
    found = []
    for modes in HALVES:
        place = tmp_path_factory.mktemp("recorded") / "run"
        trial = Trial.begin(client, paid_service, place, plan=plan)
        found.append((Recording.of(trial), modes))
    return found


@pytest.mark.tried("power loss")
@pytest.mark.timeout(500)
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_the_disk_kept_no_answer_is_lost_and_nothing_paid_twice(
    part, recordings, tmp_path, record_property, pytestconfig
):
    most = pytestconfig.getoption("--power-states") // len(HALVES)
    tried = []

    def one(recorded):
        recording, kinds = recorded
        modes = defaultdict(list)
        for cut, mode in recording.states(most, kinds)[part::PARTS]:
            modes[cut].append(mode)
        for cut, disk in disks(recording, list(modes)):
            for mode in modes[cut]:
                place = tmp_path / kinds[0] / f"{cut}-{mode}"
                place.parent.mkdir(exist_ok=True)
                check_state(recording, disk, cut, mode, place)
                shutil.rmtree(place)
                tried.append(place)

    side_by_side(one, recordings)

    record_property("cases", len(tried))


# What one plain run does not show: how it is recorded instead.
BEFORE = {
    "a folder above it is made and not synced": {
        "first": Rule(calls=("mkdir",), path="*/deep", after=True)
    },
    "its own folder is made and not synced": {
        "first": Rule(calls=("mkdir",), path="*/out", after=True)
    },
    "a picture is stored and not recorded": {
        "first": Rule(calls=("link",), path="*.png", nth=3, after=True)
    },
    "SQLite syncs no folder": {"own": True},
}


@pytest.mark.tried("power loss")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("before", BEFORE)
def test_what_a_killed_process_or_sqlite_did_not_sync_loses_nothing(
    before, client, paid_service, tmp_path, record_property
):
    trial = Trial.begin(client, paid_service, tmp_path / "run")
    recording = Recording.of(trial, **BEFORE[before])
    cuts = [cut for cut, _ in recording.states(0, ("dropped",))][::4]
    record_property("cases", len(cuts))

    for cut, disk in disks(recording, cuts):
        check_state(recording, disk, cut, "dropped", tmp_path / f"{cut}")


def event(call, path, *, fd=-1, data=b"", offset=0, other=""):
    return Event(call, path, other, fd, offset, len(data), data)


RENAMED = (
    event("create", "/r/a.part", fd=3),
    event("write", "/r/a.part", fd=3, data=b"ab"),
    event("rename", "/r/a", other="/r/a.part"),
)
SYNCED_FILE = (*RENAMED[:2], event("sync", "/r/a.part", fd=3), RENAMED[2])
FOLDER = (event("open", "/r", fd=4), event("sync", "/r", fd=4))


@pytest.mark.parametrize(
    ("calls", "mode", "kept"),
    [
        (RENAMED, "dropped", {}),
        (RENAMED, "kept", {"a": b"ab"}),
        (RENAMED, "names", {"a": b""}),
        (RENAMED, "data", {}),
        (RENAMED, "torn", {"a": b"a"}),
        (SYNCED_FILE, "dropped", {}),
        (SYNCED_FILE, "names", {"a": b"ab"}),
        (SYNCED_FILE, "torn", {"a": b"ab"}),
        ((*SYNCED_FILE, *FOLDER), "dropped", {"a": b"ab"}),
        ((*RENAMED, *FOLDER), "dropped", {"a": b""}),
        ((*RENAMED, *FOLDER), "data", {"a": b"ab"}),
        ((*SYNCED_FILE, *FOLDER, event("unlink", "/r/a")), "dropped", {"a": b"ab"}),
        ((*SYNCED_FILE, *FOLDER, event("unlink", "/r/a")), "kept", {}),
        (
            (*SYNCED_FILE, *FOLDER, event("truncate", "/r/a", fd=3, offset=1)),
            "dropped",
            {"a": b"ab"},
        ),
        (
            (*SYNCED_FILE, *FOLDER, event("truncate", "/r/a", fd=3, offset=1)),
            "kept",
            {"a": b"a"},
        ),
    ],
)
def test_the_rebuilt_disk_keeps_what_was_synced_and_no_more(
    calls, mode, kept, tmp_path
):
    disk = Disk("/r", {})

    for call in calls:
        disk.follow(call)
    disk.write(tmp_path, mode)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept
