"""
A simulated world: a seed decides what people, the service, the disk and time do.

A world is a row of lives on one folder. Each is a process in which the real code runs;
it ends by itself, or is killed, or the power goes. After each one the ledger, the
program's own words and the files must agree; at the end all is well again, and the job
must come to its end.
"""

import errno
import json
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from support.judge.client import Client, Ran
from support.judge.crash import MODES, Disk
from support.judge.shim import Rule, events
from support.world.invariants import (
    Expected,
    Look,
    check_counts,
    check_exact,
    check_files,
    check_traced,
    check_twice,
)
from support.world.ledger import Ledger
from support.world.life import ENDLESS, UNHEARD, UNTYPED
from support.world.people import DOINGS, People
from support.world.service import HOSTS, VERDICTS

PLAY = "support.world.life"
# What the command line may end with; a killed process has a negative code.
CODES = (0, 1, 2, 3, 4, 5, 130, 143)
WRITES = ("write", "allocate", "truncate", "sync", "rename", "mkdir")


class EscapedError(AssertionError):
    """Raised when a world shows a fault; it says all that happened."""


@attrs.define(slots=False)
class World:
    """
    A world.

    Args:
        client: Its processes.
        folder: Where it may write.
        seed: What decides everything.
    """

    client: Client
    folder: Path
    seed: int
    kinds: set[str] = attrs.field(factory=set)
    look: Look | None = None
    lives: int = 0

    def __attrs_post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.place = self.folder / "place"
        self.said = self.folder / "said"
        for folder in (self.place, self.said, self.folder / "state"):
            folder.mkdir(parents=True)
        self.ledger = Ledger(self.folder / "ledger")
        self.people = People(self.place, self.place / "job", self.dice)
        self.address = f"127.{self.seed >> 14 & 127}.{self.seed >> 7 & 127}.{self.seed & 127 | 128}"
        self.expected = Expected(wanted=Counter())

    # What is written down.

    def note(self, text: str) -> None:
        """Write into the log that a failure shows."""
        with (self.folder / "log").open("a") as file:
            file.write(f"     {text}\n")

    def met(self, kind: str) -> None:
        """Count a kind of trouble."""
        self.kinds.add(kind)

    # The whole of it.

    def run(self) -> None:
        """Let it happen."""
        begun = {"a job": 12, "a batch": 2, "single calls": 2}
        door = self._draw(begun)
        self.met(door)
        try:
            if door == "a job":
                self._job()
            else:
                self._calls(door)
        except Exception as error:
            self._read_log()
            log = (self.folder / "log").read_text()
            raise EscapedError(
                f"world {self.seed} ({self.folder}): {error!r}\n{log}"
            ) from error
        finally:
            self.ledger.close()
        self._read_log()
        shutil.rmtree(self.folder)

    def _read_log(self) -> None:
        """Take from the log what the service and its host have done."""
        for line in (self.folder / "log").read_text().splitlines():
            words = line.split()
            if " is " in line and len(words) > 3 and words[2] in ("POST", "GET"):
                who = "service" if words[2] == "POST" else "host"
                self.met(f"{who}: {line.rpartition(' is ')[2]}")

    def _draw(self, chances: dict[str, float]) -> str:
        return self.dice.choices(list(chances), list(chances.values()))[0]

    # A job.

    def _job(self) -> None:
        dice = self.dice
        number = dice.randint(3, 9)
        prompts = [f"prompt {n}" for n in range(number)]
        if dice.random() < 0.3:
            prompts.append("prompt 0")
            self.met("input: equal lines")
        self.expected.wanted = Counter(prompts)
        self.requests: list[Any] = [
            {"prompt": p, "id": n} if dice.random() < 0.3 else p
            for n, p in enumerate(prompts)
        ]
        self.name = dice.choice(["{index:06d}", "{index:06d}-{slug}-{key8}"])
        self.mood = self._mood()
        for _ in range(dice.randint(1, 4)):
            for _ in range(dice.choice([0, 0, 1, 2])):
                self._people_do(dice.choice(DOINGS))
            if dice.random() < 0.1 and self.people.do("take_away"):
                self._away()
            else:
                self._trouble()
            self._check()
        self._heal()

    def _mood(self) -> dict[str, Any]:
        """Choose what the service and its host do beside what is usual."""
        dice = self.dice
        verdicts = dice.sample(sorted(set(VERDICTS) - {"made"}), dice.randint(0, 4))
        hosts = dice.sample(HOSTS, dice.randint(0, 3))
        mood: dict[str, Any] = {
            "verdicts": {name: dice.uniform(0.05, 0.25) for name in verdicts},
            "hosts": {name: dice.uniform(0.05, 0.3) for name in hosts},
        }
        if dice.random() < 0.2:
            mood["limit"] = dice.randint(1, 3)
            self.met("service: few places")
        if dice.random() < 0.1:
            mood["gone"] = dice.uniform(0.1, 0.4)
        if dice.random() < 0.1:
            mood["balance"] = dice.randint(1, 5)
        if dice.random() < 0.15:
            begins = dice.uniform(0, 20)
            mood["outage"] = [begins, begins + dice.uniform(5, 400)]
            self.met("service: an outage")
        return mood

    def _people_do(self, what: str) -> None:
        if self.people.do(what):
            self.note(f"people: {what}")
            self.met(f"people: {what}")

    def _away(self) -> None:
        """Run while the pictures are away: nothing may be fetched or paid."""
        self.note(f"people: took {self.people.away} away")
        before = len(self.ledger.sales), self._fetches()
        ran = self._live(self._asked("job"))
        self.people.bring_back()
        if not self._is_new:
            return
        self.met("people: take_away")
        told = json.loads(ran.out)
        assert told["error"] == "JobError", f"the pictures are away, and: {told}"
        assert (len(self.ledger.sales), self._fetches()) == before

    def _fetches(self) -> int:
        return sum(sale.fetched for sale in self.ledger.sales)

    @property
    def _is_new(self) -> bool:
        return self.look is not None and "missing" in self.look.status

    def _asked(self, door: str) -> dict[str, Any]:
        """Say what a life is to do, without any trouble."""
        requests = list(self.requests)
        return {
            "door": door,
            "service": self.mood,
            "events": [],
            "folder": str(self.people.job),
            "name": self.name,
            "requests": requests,
            "only": None,
            "on_unknown": "keep",
            "limit": None,
        }

    def _act(self, asked: dict[str, Any]) -> None:
        """Choose what is asked of the program."""
        act = self._draw({"run": 6, "resend": 2, "unknown": 1, "failed": 1, "mix": 2})
        if self.look is None and act in ("unknown", "failed"):
            act = "run"
        if act in ("resend", "unknown"):
            asked["on_unknown"] = "resend"
            asked["only"] = "unknown" if act == "unknown" else None
            dead = bool(self.mood.get("gone") or self.mood["hosts"])
            self.expected.resend(self.look, dead=dead)
        elif act == "failed":
            asked["only"] = "failed"
        elif act == "mix":
            self.dice.shuffle(asked["requests"])
            self.met("input: another order")
        if self.dice.random() < 0.2:
            asked["limit"] = self.dice.randint(1, 4)
        self.met(f"asked: {act}")

    def _trouble(self) -> None:
        """Live one life with a trouble of its own."""
        dice = self.dice
        door = self._draw({"job": 5, "cli": 1})
        asked = self._asked(door)
        self._act(asked)
        if dice.random() < 0.15:
            asked["events"].append([dice.uniform(0, 60), "jump", dice.uniform(-9e5, 9e5)])
            self.met("time: the wall clock jumps")
        if dice.random() < 0.15 and self._is_new:
            asked["events"].append([dice.uniform(0, 30), "freeze", dice.uniform(200, 9000)])
            self.met("time: the process is stopped")
        kinds = {
            "nothing": 3,
            "kill at a call": 3,
            "kill at a moment": 2,
            "power": 2,
            "disk": 3,
            "lock": 1,
            "stop": 1,
        }
        kind = self._draw(kinds)
        trouble: Callable[[dict[str, Any]], None] = getattr(
            self, f"_with_{kind.replace(' ', '_')}"
        )
        self.note(f"life {self.lives}: {kind} {json.dumps(asked)}")
        trouble(asked)

    def _with_nothing(self, asked: dict[str, Any]) -> None:
        self._live(asked)

    def _rule(self) -> Rule:
        dice = self.dice
        calls = dice.choice(
            [(), (), ("write",), ("sync",), ("rename",), ("send",), ("recv",)]
        )
        most = 300 if not calls else 30
        return Rule(calls=calls, nth=dice.randint(1, most), after=dice.random() < 0.5)

    def _with_kill_at_a_call(self, asked: dict[str, Any]) -> None:
        rule = self._rule()
        self.note(f"{rule}")
        if self._live(asked, rule=rule, mortal=True).killed:
            self.met("death: killed at a call")

    def _with_kill_at_a_moment(self, asked: dict[str, Any]) -> None:
        asked["events"].append([self.dice.uniform(0, 60), "kill"])
        if self._live(asked, mortal=True).killed:
            self.met("death: killed at a moment")

    def _with_power(self, asked: dict[str, Any]) -> None:
        before = dict(_contents(self.place))
        rule, mode = self._rule(), self.dice.choice(MODES)
        self.note(f"{rule}, {mode}")
        log = self.folder / "calls"
        log.unlink(missing_ok=True)
        if not self._live(asked, rule=rule, log=log, mortal=True).killed:
            return
        self.met(f"power loss: {mode}")
        disk = Disk(self.place, before)
        for event in events(log):
            disk.follow(event)
        shutil.rmtree(self.place)
        disk.write(self.place, mode, seed=self.seed)

    def _with_disk(self, asked: dict[str, Any]) -> None:
        dice = self.dice
        what = dice.choice(["ENOSPC", "EIO", "EROFS", "EDQUOT"])
        rule = Rule(
            calls=WRITES if what == "EROFS" else ("write", "allocate", "sync"),
            path=dice.choice(["*", "*", "*/job.sqlite*", "*.part"]),
            nth=dice.randint(1, 80),
            error=getattr(errno, what),
            times=dice.choice([1, 3, 20, -1]),
        )
        self.note(f"{rule}")
        self._live(asked, rule=rule)
        self.met(f"disk: {what}")

    def _with_lock(self, asked: dict[str, Any]) -> None:
        asked["events"].append(
            [self.dice.uniform(0, 20), "lock", self.dice.choice([1.0, 5.0, 20.0, 60.0])]
        )
        self._live(asked)
        self.met("disk: locked")

    def _with_stop(self, asked: dict[str, Any]) -> None:
        at = self.dice.uniform(0, 30)
        if asked["door"] == "cli":
            which = self.dice.choice([signal.SIGINT, signal.SIGTERM])
            asked["events"].append([at, "signal", which])
            self.met("stopped: a signal")
        else:
            asked["events"].append([at, "stop"])
            self.met("stopped: stop()")
        self._live(asked)

    # One life.

    def _live(
        self,
        asked: dict[str, Any],
        *,
        rule: Rule | None = None,
        log: Path | None = None,
        mortal: bool = False,
    ) -> Ran:
        if asked["door"] == "cli":
            self._as_command(asked)
        told = {
            "seed": str(self.seed),
            "life": self.lives,
            "log": str(self.folder / "log"),
            "ledger": str(self.folder / "ledger"),
            "said": str(self.said),
            "address": self.address,
            **asked,
        }
        (self.folder / "told.json").write_text(json.dumps(told))
        judge = None
        if rule is not None:
            judge = {
                "root": str(self.place),
                "log": str(log or "/dev/null"),
                "record": log is not None,
                "rule": attrs.asdict(rule),
            }
        ran = self.client.run(
            self.folder / "told.json",
            cwd=self.place,
            said=self.said,
            environment={"XDG_STATE_HOME": str(self.folder / "state")},
            judge=judge,
            play=PLAY,
        )
        self.note(f"life {self.lives} ended with {ran.code}: {ran.out}{ran.err}")
        self.ledger.refresh()
        self.expected.said.append(ran.out + ran.err)
        if ran.killed:
            assert mortal, "it was killed by nobody"
            self.expected.unsafe.add(self.lives)
        self._check_end(ran)
        self.lives += 1
        return ran

    def _check_end(self, ran: Ran) -> None:
        names = {UNTYPED: "an untyped error", UNHEARD: "an error nobody heard"}
        names |= {ENDLESS: "it does not end", -signal.SIGALRM: "it hangs"}
        assert ran.code not in names, names[ran.code]
        assert ran.killed or ran.code in CODES, ran.code
        for word in ("Traceback", "Exception ignored", "never retrieved"):
            assert word not in ran.err, word

    def _as_command(self, asked: dict[str, Any]) -> None:
        """Say it as a command line."""
        lines = [json.dumps(_fields(one)) for one in asked["requests"]]
        (self.place / "p.jsonl").write_text("\n".join(lines))
        out = str(self.people.job)
        if asked["only"] is not None:
            words = ["retry", out, "--only", asked["only"]]
        else:
            words = ["batch", "p.jsonl", "--out", out]
            words += ["--on-unknown", asked["on_unknown"]]
        if asked["limit"] is not None:
            words += ["--limit", str(asked["limit"])]
        asked["arguments"] = [*words, "--name", self.name]
        self.met("the command line")

    # What must be true.

    def _check(self) -> None:
        check_twice(self.ledger, self.expected)
        self.look = self._looked()
        self.people.check()
        check_traced(self.look, self.ledger, self.expected, self.place)
        if self.look is not None:
            check_counts(self.look, self.ledger)
            check_files(self.look, self.ledger, self.people)

    def _looked(self) -> Look | None:
        told = {
            "seed": str(self.seed),
            "life": "look",
            "log": str(self.folder / "log"),
            "said": str(self.said),
            "folder": str(self.people.job),
            "door": "look",
            "service": None,
            "events": [],
        }
        (self.folder / "told.json").write_text(json.dumps(told))
        ran = self.client.run(
            self.folder / "told.json",
            cwd=self.place,
            said=self.said,
            environment={},
            play=PLAY,
        )
        if ran.code in (2, 4) and self.look is None and not self.ledger.sales:
            return None  # no journal, or one that is not even begun
        assert ran.code == 0, f"status or export: {ran.code} {ran.err}"
        return Look.read(ran.out)

    def _heal(self) -> None:
        """Let all be well, and the job come to its end."""
        self.note("all is well again")
        self.mood = {}
        for _ in range(3):
            ran = self._live(self._asked("job"))
            told = json.loads(ran.out)
            assert told["error"] is None, told
            assert told["stopped_by"] is None, told
            self._check()
            assert self.look is not None
            left = self.look.of("pending", "sent")
            if not left:
                break
        assert not left, f"all is well, and still left: {left}"
        assert self.look is not None
        check_exact(self.look, self.ledger, self.expected)
        before = len(self.ledger.sales), self._fetches()
        self._live(self._asked("job"))
        assert (len(self.ledger.sales), self._fetches()) == before, "it does not rest"

    # A batch, and single calls.

    def _calls(self, door: str) -> None:
        """Make calls that no journal knows; the session's own counts must do."""
        dice = self.dice
        number = dice.randint(1, 12)
        self.mood = self._mood()
        self.expected.wanted = Counter(f"prompt {n}" for n in range(number))
        asked: dict[str, Any] = {
            "door": "batch" if door == "a batch" else "calls",
            "service": self.mood,
            "events": [],
            "requests": [f"prompt {n}" for n in range(number)],
            "limit": dice.choice([None, None, 1, 3]),
            "how": dice.choice(["await", "iterate", "stop", "leave"]),
            "leave": dice.randint(1, number),
            "patience": [
                dice.uniform(0, 60) if dice.random() < 0.2 else None
                for _ in range(number)
            ],
            "config": {},
        }
        if dice.random() < 0.3:
            asked["events"].append([dice.uniform(0, 60), "cancel"])
            self.met("stopped: cancelled")
        if dice.random() < 0.2:
            asked["events"].append([dice.uniform(0, 60), "jump", dice.uniform(-9e5, 9e5)])
            self.met("time: the wall clock jumps")
        self.note(f"{json.dumps(asked)}")
        ran = self._live(asked)
        check_twice(self.ledger, self.expected)
        told = json.loads(ran.out)
        if told.get("error") == "CancelledError":
            return  # the stats went with it
        paid = self.ledger.paid.total()
        assert told["billed"] <= paid <= told["billed"] + told["maybe"], (told, paid)


def _fields(one: Any) -> dict[str, Any]:
    return {"prompt": one} if isinstance(one, str) else one


def _contents(place: Path) -> Any:
    """Read all that lies in a folder, for a disk that may lose what comes after."""
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if path.is_file():
            yield name, path.read_bytes()
        elif path.is_dir() and not any(path.iterdir()):
            yield f"{name}/", b""


def timed(work: Callable[[], None]) -> float:
    """Do something, and tell how many seconds it took."""
    began = time.monotonic()
    work()
    return time.monotonic() - began
