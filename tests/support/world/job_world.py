"""
A world of one job: what is asked of it, what happens to it, and what people do.

Each life has one trouble. What must be true is checked after each one.
"""

import errno
import json
import signal
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Any

from support.judge.client import Ran
from support.judge.crash import MODES
from support.judge.shim import Rule
from support.world.choices import Choices
from support.world.invariants import check_exact
from support.world.people import BETWEEN, DOINGS, People
from support.world.stage import Asked

# What a killer waits for, and how often a life of some items does it.
CALLS = {
    "": 350,
    "write": 200,
    "sync": 45,
    "link": 6,
    "unlink": 9,
    "open": 20,
    "send": 12,
    "recv": 12,
    "POST": 6,
}
WRITES = ("write", "allocate", "truncate", "sync", "rename", "mkdir")


class JobWorld:
    """A world of one job and those who use its folder."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._stage = choices.stage
        self._dice = dice = choices.dice
        self._draw = choices.draw
        job = self._stage.place / "job"
        self._people = People(self._stage.place, job, dice)
        self._by_command = dice.random() < 0.2
        number = dice.randint(3, 9)
        prompts = [f"prompt {n}" for n in range(number)]
        prompts[1] = f"{prompts[1]}: un café"
        if dice.random() < 0.3:
            prompts.append("prompt 0")
            self._stage.met("input: equal lines")
        self._stage.expected.wanted = Counter(prompts)
        self._requests: list[Any] = [
            {"prompt": p, "id": n} if dice.random() < 0.3 else p
            for n, p in enumerate(prompts)
        ]
        self._name = dice.choice(["{index:06d}", "{index:06d}-{slug}-{key8}"])
        self._mood = choices.mood()

    def run(self) -> None:
        """Live some lives, and then let all be well."""
        dice = self._dice
        for _ in range(dice.randint(1, 4)):
            for _ in range(dice.choice([0, 0, 1, 2])):
                self._do(dice.choice(DOINGS + BETWEEN))
            away = dice.random() < 0.1
            if away and self._people.do("take_away"):
                self._without_pictures()
            else:
                self._trouble()
            self._check()
        self._heal()

    def _check(self) -> None:
        self._stage.check(self._people, by_command=self._by_command)

    def _do(self, what: str) -> None:
        if self._people.do(what):
            self._stage.note(f"people: {what}")
            self._stage.met(f"people: {what}")

    def _asked(self) -> Asked:
        """Say what a life is to do, without any trouble."""
        more = {
            "folder": str(self._people.job),
            "name": self._name,
            "requests": list(self._requests),
            "only": None,
            "on_unknown": "keep",
            "limit": None,
        }
        return Asked(door="job", service=self._mood, more=more)

    # What is asked of the program.

    def _act(self, asked: Asked) -> None:
        act = self._draw(
            {
                "run": 6,
                "resend": 2,
                "unknown": 1,
                "failed": 1,
                "missing": 1,
                "mix": 2,
                "more": 1,
                "fewer": 1,
                "exported": 1,
            }
        )
        later = act in ("unknown", "failed", "missing", "exported")
        if later and not (self._stage.look and self._stage.look.records):
            act = "run"
        if act in ("resend", "unknown"):
            asked.more["on_unknown"] = "resend"
            dead = bool(self._mood.get("gone") or self._mood["hosts"])
            self._stage.expected.resend(self._stage.look, dead=dead)
        if act in ("unknown", "failed", "missing"):
            asked.more["only"] = act
        if act == "missing":
            self._people.asked_back()
        if act in ("mix", "more", "fewer", "exported"):
            getattr(self, f"_{act}")(asked)
        if self._dice.random() < 0.2:
            asked.more["limit"] = self._dice.randint(1, 4)
        if self._dice.random() < 0.1:
            asked.more["budget"] = self._dice.randint(1, 4)
            self._stage.met("asked: a budget")
        self._stage.met(f"asked: {act}")
        by_command = self._draw({"python": 5, "command": 1}) == "command"
        if by_command or act == "exported":
            self._as_command(asked)

    def _mix(self, asked: Asked) -> None:
        """Give the same input in another order and another spelling."""
        requests = asked.more["requests"]
        self._dice.shuffle(requests)
        asked.more["requests"] = [
            _respelt(one) if self._dice.random() < 0.5 else one for one in requests
        ]

    def _exported(self, asked: Asked) -> None:
        """Give back what `export` writes: it asks for nothing that is not there."""
        form = self._dice.choice(["csv", "jsonl", "openai"])
        out = self._stage.command("export", str(self._people.job), "--format", form)
        suffix = "jsonl" if form == "openai" else form
        asked.more["input"] = f"back.{suffix}"
        (self._stage.place / asked.more["input"]).write_text(out)
        asked.door = "cli"
        self._stage.met(f"input: what {form} exports")

    def _more(self, asked: Asked) -> None:
        """Put more lines in, of which some may be equal to others."""
        dice = self._dice
        for _ in range(dice.randint(1, 3)):
            number = dice.choice([0, len(self._requests)])
            at = dice.randint(0, len(self._requests))
            self._requests.insert(at, f"prompt {number}")
            self._stage.expected.wanted[f"prompt {number}"] += 1
        asked.more["requests"] = list(self._requests)

    def _fewer(self, asked: Asked) -> None:
        """Ask for some of it alone."""
        requests = asked.more["requests"]
        some = self._dice.randint(1, len(requests))
        asked.more["requests"] = requests[:some]
        asked.prompts = {_fields(one)["prompt"] for one in requests[:some]}

    def _as_command(self, asked: Asked) -> None:
        more = asked.more
        lines = [json.dumps(_fields(one)) for one in more["requests"]]
        (self._stage.place / "p.jsonl").write_text("\n".join(lines))
        out = str(self._people.job)
        if more["only"] is not None:
            words = ["retry", out, "--only", more["only"]]
        else:
            words = ["batch", more.get("input", "p.jsonl"), "--out", out]
            words += ["--on-unknown", more["on_unknown"]]
        if more["limit"] is not None:
            words += ["--limit", str(more["limit"])]
        if more.get("budget") is not None:
            words += ["--max-pictures", str(more["budget"])]
        more["arguments"] = [*words, "--name", self._name]
        asked.door = "cli"
        self._stage.met("door: the command line")

    # What happens to it.

    def _trouble(self) -> None:
        """Live one life with a trouble of its own."""
        asked = self._asked()
        self._act(asked)
        self._choices.jump(asked)
        self._choices.freeze(asked)
        self._choices.eager(asked)
        kind = self._draw(
            {
                "nothing": 2,
                "kill": 6,
                "power": 5,
                "disk": 3,
                "lock": 1,
                "full": 1,
                "stop": 2,
                "people": 3,
                "second": 2,
                "moved": 1,
            }
        )
        self._stage.note(f"{kind}: {asked}")
        trouble: Callable[[Asked], object] = getattr(self, f"_with_{kind}")
        trouble(asked)

    def _with_nothing(self, asked: Asked) -> None:
        ran = self._stage.live(asked)
        given_back = asked.door == "cli" and "input" in asked.more
        assert not (given_back and ran.code == 2), f"not taken back: {ran.err}"

    def _rule(self) -> Rule:
        dice = self._dice
        call = dice.choice(list(CALLS))
        rule = Rule(
            calls=() if call in ("", "POST") else (call,),
            path="POST" if call == "POST" else "*",
            nth=dice.randint(1, CALLS[call]),
            after=dice.random() < 0.5,
        )
        self._stage.note(f"{rule}")
        return rule

    def _slow(self, asked: Asked) -> None:
        """Let the disk take its time, so that others are ahead of it."""
        if self._dice.random() < 0.4:
            asked.more["slow"] = 0.004
            self._stage.met("disk: slow")

    def _with_kill(self, asked: Asked) -> None:
        self._slow(asked)
        if self._dice.random() < 0.7:
            how = "at a call"
            ran = self._stage.live(asked, rule=self._rule(), mortal=True)
        else:
            how = "at a moment"
            asked.events.append([self._dice.uniform(0, 40), "kill"])
            ran = self._stage.live(asked, mortal=True)
        if ran.killed:
            self._stage.met(f"death: killed {how}")

    def _with_power(self, asked: Asked) -> None:
        mode = self._dice.choice(MODES)
        rule = self._rule()
        self._slow(asked)
        if self._stage.live(asked, rule=rule, power=mode, mortal=True).killed:
            self._stage.met(f"power loss: {mode}")

    def _with_disk(self, asked: Asked) -> None:
        dice = self._dice
        what = dice.choice(["ENOSPC", "EIO", "EROFS", "EDQUOT"])
        rule = Rule(
            calls=WRITES if what == "EROFS" else ("write", "allocate", "sync"),
            path=dice.choice(["*", "*", "*/job.sqlite*", "*.part"]),
            nth=dice.randint(1, 80),
            error=getattr(errno, what),
            times=dice.choice([1, 3, 20, -1]),
        )
        self._stage.note(f"{rule}")
        self._stage.live(asked, rule=rule)
        self._stage.met(f"disk: {what}")

    def _with_full(self, asked: Asked) -> None:
        """Let SQLite itself find the disk full, at some size."""
        self._stage.live(asked, pages=self._dice.randint(8, 30))
        self._stage.met("disk: full for the journal")

    def _with_lock(self, asked: Asked) -> None:
        seconds = self._dice.choice([1.0, 5.0, 20.0, 45.0])
        asked.events.append([self._dice.uniform(0, 20), "lock", seconds])
        self._stage.live(asked)
        self._stage.met("disk: the journal is locked")

    def _with_stop(self, asked: Asked) -> None:
        dice, stage = self._dice, self._stage
        at = dice.uniform(0, 30)
        twice = dice.random() < 0.3
        if asked.door == "cli":
            what: list[Any] = ["signal", dice.choice([signal.SIGINT, signal.SIGTERM])]
        else:
            what = [dice.choice(["stop", "cancel"])]
        asked.events.append([at, *what])
        if twice and what != ["stop"]:
            asked.events.append([at + dice.uniform(0, 8), *what])
        if twice and what != ["stop"]:
            stage.expected.unsafe.add(stage.lives)  # some answers may be unread
        stage.live(asked)
        stage.met(f"stopped: {what[0]}{' twice' if twice else ''}")

    # What others do while it runs.

    def _paused(self, asked: Asked, work: Callable[[], None]) -> Ran:
        """Live a life that stands still once, while others do something."""
        if asked.door == "cli":
            asked.door = "job"
        at = self._dice.choice([0.5, self._dice.uniform(1, 30)])
        asked.events.append([at, "pause", "one"])
        return self._stage.live(asked, meanwhile=work)

    def _with_people(self, asked: Asked) -> None:
        what = self._dice.choice(DOINGS)

        def work() -> None:
            self._do(what)

        self._paused(asked, work)

    def _with_second(self, asked: Asked) -> None:
        stage, unlocked = self._stage, self._dice.random() < 0.5

        def work() -> None:
            if unlocked:
                (self._people.job / ".lock").unlink()
            ran = stage.second(self._asked())
            told = json.loads(ran.out)
            assert told["error"] == "JobError", f"it was not refused: {told}"
            how = " without a lock" if unlocked else ""
            stage.met(f"started twice{how}")

        self._paused(asked, work)

    def _with_moved(self, asked: Asked) -> None:
        """Move the folder away under the run, or put another in its place."""
        job, stage = self._people.job, self._stage
        replaced = self._dice.random() < 0.5
        moved = stage.place / "moved"
        sent: list[int] = []

        def work() -> None:
            job.rename(moved)
            if replaced:
                job.mkdir()
            stage.ledger.refresh()
            sent.append(len(stage.ledger.sales))
            stage.met(f"people: the folder is {'replaced' if replaced else 'moved'}")

        ran = self._paused(asked, work)
        if not sent:
            return
        if job.exists():
            assert not (job / "job.sqlite").exists(), "it began another journal"
            job.rename(stage.place / f"strange {stage.lives}")
        moved.rename(job)
        told = json.loads(ran.out)
        if len(stage.ledger.sales) > sent[0] + 1:  # one may have been on its way
            raise AssertionError(f"it went on in a folder that was moved: {told}")

    def _without_pictures(self) -> None:
        """Run while the pictures are away: nothing may be fetched or paid."""
        stage = self._stage
        stage.note(f"people: took {self._people.away} away")
        before = self._traffic()
        ran = stage.live(self._asked())
        self._people.bring_back()
        stage.met("people: take_away")
        told = json.loads(ran.out)
        names = (told["error"], told.get("stopped_by"))
        assert "JobError" in names, f"the pictures are away, and: {told}"
        assert self._traffic() == before, "it paid or fetched, the pictures away"

    def _traffic(self) -> tuple[int, int]:
        sales = self._stage.ledger.sales
        return len(sales), sum(sale.fetched for sale in sales)

    # The end.

    def _heal(self) -> None:
        """Let all be well, and the job come to its end."""
        stage = self._stage
        stage.note("all is well again")
        self._mood = {}
        for _ in range(3):
            told = json.loads(stage.live(self._asked()).out)
            assert told["error"] is None, told
            assert told["stopped_by"] is None, told
            self._check()
            assert stage.look is not None
            left = stage.look.of("pending", "sent")
            if not left:
                break
        assert not left, f"all is well, and still left: {left}"
        self._people.mended(stage.look)
        self._check()
        self._people.check_found(stage.look)
        check_exact(stage.look, stage.ledger, stage.expected)
        before = self._traffic()
        stage.live(self._asked())
        assert self._traffic() == before, "it does not rest"


def _respelt(one: Any) -> dict[str, Any]:
    """Write the same request in another way."""
    fields = _fields(one)
    prompt = unicodedata.normalize("NFD", f" {fields['prompt']}  ")
    if "id" in fields:
        fields = fields | {"id": str(fields["id"])}
    return {"quality": None, **fields, "prompt": prompt}


def _fields(one: Any) -> dict[str, Any]:
    return {"prompt": one} if isinstance(one, str) else one
