"""
Mutants: a program with one sync less, or two steps swapped, is caught by the judge.

A crash test that cannot see a missing sync proves nothing. A mutant that no longer fits
the source fails here as well, so that the list follows the program.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import attrs
import pytest
from support.judge.client import Client
from support.judge.crash import Mode
from support.judge.life import Life
from support.judge.meddling import meddle
from support.judge.others import meet
from support.judge.power import Recording, check_state, disks
from support.judge.rounds import PROMPTS, Round
from support.judge.shim import FAILURES, Rule
from support.judge.trial import DISK, DONE, Trial
from support.judge.troubles import journal

import zai_images

STATES = 40  # of one mode; the sound program withstands all of them
POST = Rule(calls=("send",), path="POST", nth=4, after=True)
PART = Rule(calls=("write",), path="*.part", nth=3, after=True)


@attrs.frozen(kw_only=True)
class Mutant:
    """
    Change one place of the program.

    Attributes:
        file: Of the package.
        was: What stands there, exactly once.
        now: What stands there instead.
        seen: What must see it: what the disk keeps after power loss, where a kill
            strikes, what befalls a job of several lives, or None where a run without
            any of these does.
        first: Where an earlier run was killed, if there was one.
        fault: What the disk does before the power goes.
        own: What SQLite does for the names in its folder does not count.
    """

    file: str
    was: str
    now: str
    seen: Mode | Rule | Callable[[Round], None] | None
    first: Rule | None = None
    fault: Rule | None = None
    own: bool = False


STORE = """\
            saved = await asyncio.to_thread(
                self._folder.store, names, item.number, picture.data
            )
"""
UNSTORED = """\
            name = next(names)
            from zai_images.jobs._journal.steps import Saved
            await self._log.record(Saved(
                number=item.number, path=f"{shard_of(item.number)}/{name}",
                size=len(picture.data), at=0.0,
                sha256=__import__("hashlib").sha256(picture.data).hexdigest(),
            ))
            saved = await asyncio.to_thread(
                self._folder.store, iter([name]), item.number, picture.data
            )
"""
SYNC_FILE = """\
            os.fsync(file.fileno())
        yield name
"""
INTEND = "await self._writer.do(intend(attempt))"
KEEP = "await self.record(Received(attempt=attempt, raw=kept, at=time.time()))"
COPIED = "the folder renamed, and a copy in its place"
# A moment later: at once, the disk may still win the race against the socket.
LATER = "asyncio.get_running_loop().call_later(0.01, "

# The journal's log is full for ever from a write on by which several are on their way.
FULL = Rule(
    calls=("write",),
    path="*/job.sqlite-wal",
    nth=130,
    error=FAILURES["ENOSPC"],
    times=-1,
)


def undisturbed(game):
    game.live(Life())
    game.finish()


def refused_later(game):
    """A paid answer whose link is dead for a while, and a refusal meanwhile."""
    for _ in range(2):  # the second run finds that the links are dead
        game.live(Life(told={"host": "410"}))
    refusals = {prompt: ["balance"] for prompt in PROMPTS}
    game.live(Life(command="retry unknown", told={"host": "410"}, plan=refusals))
    game.finish()


def befallen(kind, what, *, ends=None):
    """Let one thing befall a job that has some pictures, or one that only begins."""

    def scenario(game):
        if ends is None:
            lost = {"prompt 0": ["lose"]}
            game.live(Life(options=["--max-pictures", "5"], plan=lost))
        life = Life()
        kind(game, life, what)
        if ends is not None:  # there is much to do, one after the other
            life.told |= {"limit": 1, "delay": (0.4, 0.6)}
        ran = game.live(life)
        assert ends in (None, ran.code), f"it ended with {ran.code}: {ran.err}"
        game.finish()

    return scenario


def resent_too_soon(game):
    """What lies beside the journal is known before anything unknown is sent again."""
    life = Life(told={"delay": (0.3, 0.5)})
    journal(game, life, "held by another program")
    game.live(life)
    assert game.found.unrecorded, "it came too late"
    game.live(Life(options=["--on-unknown", "resend"]))
    game.finish()


def signs_of_life(game):
    """The owner's row is renewed while a long run is at work."""
    seen = []

    def look(pid):
        with closing(sqlite3.connect(game.job / "job.sqlite")) as journal:
            (row,) = journal.execute("SELECT value FROM job WHERE name='owner'")
            seen.append(json.loads(row[0])["at"])

    moments = [(0.3, look), (2.5, look)]
    game.live(Life(told={"delay": (0.8, 0.9), "limit": 1}, moments=moments))
    assert seen[1] > seen[0], "no sign of life"


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
        was="            os.link(name, target)\n",
        now="            open(target, 'xb').write(open(name, 'rb').read())\n",
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
        now=LATER + "self._writer.post, intend(attempt))",
        seen="dropped",
    ),
    "sent without an intent": Mutant(
        file="jobs/_write_ahead.py", was=INTEND, now="pass", seen=POST
    ),
    "read before the answer is on the disk": Mutant(
        file="jobs/_write_ahead.py",
        was=KEEP,
        now=LATER + "self._recorded, "
        "Received(attempt=attempt, raw=kept, at=time.time()))",
        seen="dropped",
    ),
    "fetched without keeping the answer": Mutant(
        file="jobs/_write_ahead.py", was=KEEP, now="pass", seen=undisturbed
    ),
    "recorded before it is stored": Mutant(
        file="jobs/_results.py",
        was=STORE,
        now=UNSTORED,
        seen="kept",
    ),
    "what was sent is sent again": Mutant(
        file="jobs/_journal/steps.py",
        was="UPDATE attempts SET billed='maybe' WHERE number=? AND billed IS NULL",
        now="DELETE FROM attempts WHERE number=? AND billed IS NULL",
        seen=POST,
    ),
    "what may be billed is sent again": Mutant(
        file="jobs/_evidence.py",
        was="    elif payments:\n        state = State.UNKNOWN\n",
        now="    elif payments:\n        state = State.PENDING\n",
        seen=None,
    ),
    "half pictures are left behind": Mutant(
        file="jobs/_folder.py",
        was="            self._remove_parts()\n",
        now="",
        seen=PART,
    ),
    "a refusal forgets what was paid before": Mutant(
        file="jobs/_journal/steps.py",
        was="\"DELETE FROM attempts WHERE id=? AND billed='no'\", (attempt.id,)",
        now='"DELETE FROM attempts WHERE number=? AND EXISTS (SELECT 1 FROM attempts '
        "WHERE id=? AND billed='no')\", (attempt.number, attempt.id)",
        seen=refused_later,
    ),
    "what lies beside the journal is not synced": Mutant(
        file="jobs/_overflow.py",
        was="            os.fsync(file.fileno())\n",
        now="",
        seen="dropped",
        fault=FULL,
    ),
    "the name of what lies beside the journal is not synced": Mutant(
        file="jobs/_overflow.py",
        was="        if new:\n            sync_folder(place.parent)\n",
        now="",
        seen="dropped",
        fault=FULL,
    ),
    "nothing lies beside the journal": Mutant(
        file="jobs/_overflow.py",
        was="added = any(_appended(place, line) for place in self._places())",
        now="added = True",
        seen="dropped",
        fault=FULL,
    ),
    "what lies beside the journal is not taken in": Mutant(
        file="jobs/_run.py",
        was="        await self._log.take_in()\n",
        now="",
        seen=resent_too_soon,
    ),
    "no owner is asked for": Mutant(
        file="jobs/_journal/owner.py",
        was="        _refuse_if_held(_owner(connection), folder)\n",
        now="",
        seen=befallen(meet, "a second run without the lock's file", ends=DONE),
    ),
    "sent without asking for the owner": Mutant(
        file="jobs/_journal/owner.py",
        was="        if not self._is_ours(owner):\n",
        now="        if False:\n",
        seen=befallen(meet, "taken over from another host", ends=DISK),
    ),
    "a folder that is another's by now": Mutant(
        file="jobs/_journal/owner.py",
        was="        return _identity(self._folder) == self._file\n",
        now="        return True\n",
        seen=befallen(meet, COPIED, ends=DISK),
    ),
    "an owner without a sign of life": Mutant(
        file="jobs/_journal/owner.py",
        was="        self.renew(connection)\n        return None\n",
        now="        return None\n",
        seen=signs_of_life,
    ),
    "whatever is changed is fetched again": Mutant(
        file="jobs/_audit.py",
        was='        torn = damage[0] == "damaged" and size < one.size\n',
        now="        torn = True\n",
        seen=befallen(meddle, "one edited"),
    ),
    "what is torn is not fetched again": Mutant(
        file="jobs/_audit.py",
        was='        torn = damage[0] == "damaged" and size < one.size\n',
        now="        torn = False\n",
        seen=befallen(meddle, "one cut off"),
    ),
    "a folder that is away does not stop the run": Mutant(
        file="jobs/_run.py",
        was="        await self._inventory.refuse_if_away(shards)\n",
        now="",
        seen=befallen(meddle, "all moved away, and back"),
    ),
    "a file that was renamed is not found": Mutant(
        file="jobs/_audit.py",
        was="            if size in sizes\n",
        now="            if size in ()\n",
        seen=befallen(meddle, "one renamed"),
    ),
    "a file of the user's is overwritten": Mutant(
        file="_picture/files.py",
        was="            os.link(name, target)\n",
        now="            os.replace(name, target)\n",
        seen=befallen(meddle, "a file under the name of one to come"),
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
        return Client(shim, package=copy.parent, at_once=2)

    return mutated


@pytest.mark.tried("mutants")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_program_with_a_step_less_is_caught(name, mutated, paid_service, tmp_path):
    mutant = MUTANTS[name]

    with mutated(mutant) as client, pytest.raises(AssertionError) as caught:
        if callable(mutant.seen):
            game = Round.begin(client, paid_service, tmp_path / "run", seed=0)
            mutant.seen(game)
            return
        plan = {} if mutant.fault else {"prompt 5": ["lose"]}
        trial = Trial.begin(client, paid_service, tmp_path / "run", plan=plan)
        if isinstance(mutant.seen, str):
            lose_power(trial, mutant, tmp_path)
        else:
            trial.batch(rule=mutant.seen)
            trial.check_resumed(trial.batch())
            trial.finish()

    assert "the client's first process has died" not in str(caught.value)


def lose_power(trial, mutant, tmp_path):
    recording = Recording.of(
        trial, first=mutant.first, fault=mutant.fault, own=mutant.own
    )
    cuts = [cut for cut, _ in recording.states(STATES, (mutant.seen,))]
    for cut, disk in disks(recording, cuts):
        check_state(recording, disk, cut, mutant.seen, tmp_path / f"state {cut}")
