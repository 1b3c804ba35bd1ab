"""
Mutants: a program with one sync less, or two steps swapped, is caught by the judge.

A crash test that cannot see a missing sync proves nothing. A mutant that no longer fits
the source fails here as well, so that the list follows the program.
"""

import shutil
from pathlib import Path

import attrs
import pytest
from support.judge.client import Client
from support.judge.crash import Mode
from support.judge.power import Recording, check_state, disks
from support.judge.shim import Rule
from support.judge.trial import Trial

import zai_images

STATES = 40  # of one mode; the sound program withstands all of them
POST = Rule(calls=("send",), path="POST", nth=4, after=True)
FETCH = Rule(calls=("send",), path="GET", nth=3)
PART = Rule(calls=("write",), path="*.part", nth=3, after=True)


@attrs.frozen(kw_only=True)
class Mutant:
    """
    Change one place of the program.

    Attributes:
        file: Of the package.
        was: What stands there, exactly once.
        now: What stands there instead.
        seen: What must see it: what the disk keeps after power loss, or where a kill
            strikes, or None where a run without either does.
        first: Where an earlier run was killed, if there was one.
        own: What SQLite does for the names in its folder does not count.
    """

    file: str
    was: str
    now: str
    seen: Mode | Rule | None
    first: Rule | None = None
    own: bool = False


STORE = """\
            saved = await asyncio.to_thread(
                self._folder.store, name, item.number, picture.data
            )
"""
RECORD = """\
            unwritten = self._log.unwritten.get(item.number)
            record = steps.record_saved(item.number, saved, unwritten=unwritten)
            await self._writer.do(record, paid=True)
"""
UNSTORED = """\
            saved = steps.Saved(
                path=f"{shard_of(item.number)}/{name}",
                size=len(picture.data),
                sha256=__import__("hashlib").sha256(picture.data).hexdigest(),
            )
"""
SYNC_FILE = """\
            os.fsync(file.fileno())
        yield name
"""
INTEND = "await self._writer.do(steps.intend(number, again=again))"
KEEP = "await self._writer.do(steps.keep_answer(number, kept), paid=True)"

MUTANTS = {
    "commits that are not synced": Mutant(
        file="jobs/_journal/schema.py",
        was="PRAGMA synchronous=FULL",
        now="PRAGMA synchronous=NORMAL",
        seen="dropped",
    ),
    "a journal that is never synced": Mutant(
        file="jobs/_journal/schema.py",
        was="PRAGMA synchronous=FULL",
        now="PRAGMA synchronous=OFF",
        seen="mixed",
    ),
    "a picture that is not synced": Mutant(
        file="_picture/files.py",
        was="            os.fsync(file.fileno())\n",
        now="",
        seen="names",
    ),
    "a picture synced after its rename": Mutant(
        file="_picture/files.py",
        was=SYNC_FILE,
        now="""\
        yield name
        with open(target, "rb") as file:
            os.fsync(file.fileno())
""",
        seen="names",
    ),
    "a picture's name that is not synced": Mutant(
        file="_picture/files.py",
        was="    sync_folder(target.parent)\n",
        now="",
        seen="data",
    ),
    "a picture without a name of its own": Mutant(
        file="_picture/files.py",
        was="        os.replace(name, target)  # noqa: PTH105 - both",
        now="        open(target, 'wb').write(data), os.unlink(name)  # both",
        seen="names",
    ),
    "a shard whose name is not synced": Mutant(
        file="jobs/_folder.py",
        was="                sync_folder(shard.parent)\n",
        now="",
        seen="dropped",
    ),
    "a job whose name is not synced": Mutant(
        file="jobs/_folder.py",
        was="                sync_folder(folder.parent)\n",
        now="                pass\n",
        seen="dropped",
    ),
    "a parent of a job whose name is not synced": Mutant(
        file="jobs/_folder.py",
        was="                sync_folder(folder.parent)\n",
        now="                folder == path and sync_folder(folder.parent)\n",
        seen="dropped",
    ),
    "a parent that a killed process made and did not sync": Mutant(
        file="jobs/_folder.py",
        was="in (there, *reversed(missing))",
        now="in reversed(missing)",
        seen="dropped",
        first=Rule(calls=("mkdir",), path="*/deep", after=True),
    ),
    "folders whose names are synced when all are made": Mutant(
        file="jobs/_folder.py",
        was="            make_folder(folder)\n",
        now="            make_folder(path)\n",
        seen="dropped",
        first=Rule(calls=("mkdir",), path="*/out", after=True),
    ),
    "a journal whose name is not synced": Mutant(
        file="jobs/_folder.py",
        was="        sync_folder(self.path)\n",
        now="",
        seen="dropped",
        own=True,
    ),
    "sent before the intent is on the disk": Mutant(
        file="jobs/_write_ahead.py",
        was=INTEND,
        # A moment later: at once, the disk may still win the race against the socket.
        now="asyncio.get_running_loop().call_later("
        "0.01, self._writer.post, steps.intend(number, again=again))",
        seen="dropped",
    ),
    "sent without an intent": Mutant(
        file="jobs/_write_ahead.py", was=INTEND, now="pass", seen=POST
    ),
    "read before the answer is on the disk": Mutant(
        file="jobs/_write_ahead.py",
        was=KEEP,
        now="asyncio.get_running_loop().call_later("
        "0.01, lambda: self._writer.post(steps.keep_answer(number, kept), paid=True))",
        seen="dropped",
    ),
    "fetched without keeping the answer": Mutant(
        file="jobs/_write_ahead.py", was=KEEP, now="pass", seen=FETCH
    ),
    "recorded before it is stored": Mutant(
        file="jobs/_results.py",
        was=STORE + RECORD,
        now=UNSTORED + RECORD + STORE,
        seen="kept",
    ),
    "what was sent is sent again": Mutant(
        file="jobs/_journal/steps.py",
        was="    State.SENT, State.UNKNOWN, ",
        now="    State.SENT, State.PENDING, ",
        seen=POST,
    ),
    "what may be billed is sent again": Mutant(
        file="jobs/_results.py",
        was="    if error.maybe_billed:\n        return State.UNKNOWN\n",
        now="    if error.maybe_billed:\n        return State.PENDING\n",
        seen=None,
    ),
    "half pictures are left behind": Mutant(
        file="jobs/_folder.py",
        was="            self._remove_parts()\n",
        now="",
        seen=PART,
    ),
}


@pytest.fixture
def mutated(shim, tmp_path):
    """Copy the package, change it, and run the copy."""

    def mutated(mutant):
        source = Path(zai_images.__file__).parent
        copy = shutil.copytree(source, tmp_path / "package/zai_images")
        text = (copy / mutant.file).read_text()
        assert text.count(mutant.was) == 1, "the mutant does not fit the program"
        (copy / mutant.file).write_text(text.replace(mutant.was, mutant.now))
        return Client(shim, package=copy.parent)

    return mutated


@pytest.mark.tried("mutants")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_program_with_a_step_less_is_caught(name, mutated, paid_service, tmp_path):
    mutant = MUTANTS[name]

    with mutated(mutant) as client, pytest.raises(AssertionError) as caught:
        trial = Trial.begin(
            client, paid_service, tmp_path / "run", plan={"prompt 5": ["lose"]}
        )
        if isinstance(mutant.seen, str):
            lose_power(trial, mutant, tmp_path)
        else:
            trial.batch(rule=mutant.seen)
            trial.check_resumed(trial.batch())
            trial.finish()

    assert "the client's first process has died" not in str(caught.value)


def lose_power(trial, mutant, tmp_path):
    recording = Recording.of(trial, first=mutant.first, own=mutant.own)
    cuts = [cut for cut, _ in recording.states(STATES, (mutant.seen,))]
    for cut, disk in disks(recording, cuts):
        check_state(recording, disk, cut, mutant.seen, tmp_path / f"state {cut}")
