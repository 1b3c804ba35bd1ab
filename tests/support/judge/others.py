"""Two runs of one job, and a folder that is moved under a run."""

import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from support.judge.client import Ran, send
from support.judge.life import PATCHES, Life, is_alive, replaced
from support.judge.rounds import NAME, Round
from support.judge.trial import DISK

OTHERS = (
    "a second run",
    "a second run without the lock's file",
    "a second run that resends, without the lock's file",
    "a second run, another file in place of the lock's",
    "a retry of the unknown without the lock's file",
    "a second run while the first is stopped, without the lock's file",
    "a run right after a kill",
    "a run right after a kill, without the lock's file",
    "the folder renamed",
    "the folder renamed, and an empty one in its place",
    "the folder renamed, and a copy in its place",
    "the journal replaced by a copy",
    "the folder removed",
    "taken over from another host",
)
IN_USE = 2


def meet(game: Round, life: Life, what: str) -> None:
    """Let a run be met by another, or let its folder go."""
    life.told["delay"] = (0.2, 0.6)
    wait = game.dice.uniform(0, 0.4)
    if what.startswith("taken over"):
        life.moments.append((wait, lambda pid: taken_over(game, life)))
        return
    if what == "the folder removed":
        what = "the folder renamed"  # and it comes back from the trash
    if "a second run" in what or "retry" in what:
        life.never = "taken over"
    if what.startswith(("the folder", "the journal")):
        life.moments.append((wait, lambda pid: _moved(game, life, what)))
    else:
        life.moments.append((wait, lambda pid: _second(game, life, what, pid)))


def _moved(game: Round, life: Life, what: str) -> None:
    whole = what.startswith("the folder")
    path = game.job if whole else game.job / "job.sqlite"
    if not path.exists():
        return
    aside = game.trial.place / "renamed"
    life.died = True
    if "copy" in what:
        copy = game.trial.place / "copy"
        _copied(path, copy)
        replaced(path, aside)
        replaced(copy, path)
    else:
        replaced(path, aside)
        if "empty" in what:
            path.mkdir()
    life.after.append(lambda: replaced(aside, path))


def taken_over(game: Round, life: Life) -> None:
    """Let another host have the job, as after a minute without a sign of life."""
    with closing(sqlite3.connect(game.job / "job.sqlite", timeout=10)) as journal:
        journal.execute(
            "UPDATE job SET value=json_set(value, '$.token', 'other', '$.host', "
            "'elsewhere', '$.machine', 'elsewhere', '$.at', unixepoch()) "
            "WHERE name='owner' AND value<>'null'"
        )
        journal.commit()
        life.died = True

    def ended() -> None:
        with closing(sqlite3.connect(game.job / "job.sqlite", timeout=10)) as journal:
            journal.execute("UPDATE job SET value='null' WHERE name='owner'")
            journal.commit()

    life.after.append(ended)


def _copied(path: Path, copy: Path) -> None:
    """Copy a folder in which somebody is at work, or a file."""
    if path.is_dir():
        copy.mkdir()
        for one in path.iterdir():
            _copied(one, copy / one.name)
    elif path.exists():
        shutil.copy(path, copy)


def _second(game: Round, life: Life, what: str, pid: int) -> None:
    """Start a second run beside the first, or right after its death."""
    if "kill" in what:
        life.died = True
        send(pid, signal.SIGKILL)
        while is_alive(pid):
            pass
    if "stopped" in what:
        send(pid, signal.SIGSTOP)
    lock = game.job / ".lock"
    if "without" in what:
        lock.unlink(missing_ok=True)
    elif "in place" in what:
        lock.unlink(missing_ok=True)
        lock.touch()
    try:
        ran = _other(game, what)
    finally:
        if "stopped" in what:
            send(pid, signal.SIGCONT)
    life.others.append(ran)
    life.asked = ("retry" in what or "resends" in what) and ran.code != IN_USE
    if "kill" in what:
        assert ran.code != IN_USE, f"a dead run keeps its folder: {ran.err}"
    elif "stopped" in what:  # it may have been stopped within a commit
        assert ran.code in (IN_USE, DISK), f"two at work: {ran.code} {ran.err}"
    elif is_alive(pid):
        assert ran.code == IN_USE, f"two at work: {ran.code} {ran.err}"


def _other(game: Round, what: str) -> Ran:
    said = game.trial.said / "second"
    said.mkdir(exist_ok=True)
    command: list[object] = ["batch", "p.jsonl", "--out", game.trial.out]
    if "retry" in what:
        command = ["retry", game.trial.out, "--only", "unknown"]
    if "resends" in what:
        command += ["--on-unknown", "resend"]
    return game.trial.run(*command, "--name", NAME, said=said, patches=PATCHES)
