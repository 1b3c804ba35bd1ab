"""Where a world is played: its folder, its lives, its log, and what must be true."""

import json
import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
from support.judge.client import Client, Ran
from support.judge.crash import Disk, Mode
from support.judge.shim import Rule, events
from support.world.invariants import (
    Expected,
    Look,
    check_asked,
    check_budget,
    check_counts,
    check_files,
    check_traced,
    check_twice,
    check_waited,
)
from support.world.ledger import Ledger, canonical
from support.world.life import ENDLESS, UNHEARD, UNTYPED
from support.world.people import People

PLAY = "support.world.life"
# What the command line may end with; a killed process has a negative code.
# A signal that comes when all is done finds a program that is about to be gone.
CODES = (0, 1, 2, 3, 4, 5, 130, 143, -signal.SIGTERM, -signal.SIGINT)
_FAULTS = {
    UNTYPED: "an untyped error",
    UNHEARD: "an error nobody heard",
    ENDLESS: "it does not end",
    -signal.SIGALRM: "it hangs",
}


@attrs.define(kw_only=True)
class Asked:
    """
    What a life is told: a door, what goes in by it, and what happens to it when.

    Attributes:
        door: `job`, `cli`, `batch`, `calls` or `look`.
        service: What the service does beside the usual; None: there is none.
        events: What happens at which second.
        more: What else its door wants to know.
        prompts: What alone it may ask for; None: whatever the job has.
    """

    door: str
    service: dict[str, Any] | None
    events: list[list[Any]] = attrs.field(factory=list)
    more: dict[str, Any] = attrs.field(factory=dict)
    prompts: set[str] | None = None


class Stage:
    """
    The place, the people, the ledger and the lives of one world.

    Args:
        client: Starts the processes.
        folder: Where all of it is.
        seed: What decides everything.
        address: The service's, on loopback; no other world at the same time has it.
    """

    def __init__(self, client: Client, folder: Path, seed: int, address: str) -> None:
        self.kinds: set[str] = set()
        self.look: Look | None = None
        self.lives = 0
        self._client = client
        self._folder = folder
        self._seed = seed
        self._address = address
        self.place = folder / "place"
        for each in (self.place, folder / "said" / "second", folder / "state"):
            each.mkdir(parents=True)
        self._log = folder / "log"
        self._log.touch()
        self.ledger = Ledger(folder / "ledger")
        self.expected = Expected(wanted=Counter())

    def note(self, text: str) -> None:
        """Write into the log that a failure shows."""
        with self._log.open("a") as file:
            file.write(f"     {text}\n")

    def met(self, kind: str) -> None:
        """Count a kind of trouble."""
        self.kinds.add(kind)

    def close(self) -> str:
        """Read in the log what the service and its host have done, and return it."""
        self.ledger.close()
        text = self._log.read_text()
        for line in text.splitlines():
            words = line.split()
            if " is " in line and len(words) > 3 and words[2] in ("POST", "GET"):
                who = "service" if words[2] == "POST" else "host"
                self.met(f"{who}: {line.rpartition(' is ')[2]}")
        return text

    def forget(self) -> None:
        """Remove what a world leaves that showed no fault."""
        shutil.rmtree(self._folder)

    # Lives.

    def live(
        self,
        asked: Asked,
        *,
        rule: Rule | None = None,
        power: Mode | None = None,
        mortal: bool = False,
        pages: int | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Ran:
        """
        Live one life to its end.

        Args:
            asked: What it is told.
            rule: What the disk or the network does to it.
            power: What the disk keeps where the rule kills it; None: the process
                alone is killed, and nothing is lost.
            mortal: Whether it may be killed.
            pages: How many pages SQLite has room for.
            meanwhile: Called where it pauses.
        """
        said = self._folder / "said"
        before = dict(_contents(self.place)) if power is not None else {}
        calls = self._folder / "calls"
        calls.unlink(missing_ok=True)
        ran = self._run(
            asked,
            said,
            pages=pages,
            judge=self._judge(rule, calls) if mortal or rule is not None else None,
            meanwhile=None
            if meanwhile is None
            else lambda pid: _at_pause(pid, said, meanwhile),
        )
        self.ledger.refresh()
        check_budget(self.ledger, self.lives, asked.more.get("budget"))
        check_asked(self.ledger, self.lives, asked.prompts)
        if ran.killed:
            assert mortal, "it was killed by nobody"
            self.expected.unsafe.add(self.lives)
            self._admit(calls)
            if power is not None:
                self._lose_power(before, calls, power)
        if any(what == "freeze" for _, what, *_ in asked.events):
            self.expected.stopped.add(self.lives)
        self.lives += 1
        return ran

    def command(self, *arguments: str) -> str:
        """Run a command that sends nothing, and return what it prints."""
        asked = Asked(door="cli", service=None, more={"arguments": arguments})
        ran = self._run(asked, self._folder / "said" / "second")
        assert ran.code == 0, f"{arguments}: {ran.code} {ran.err}"
        return ran.out

    def second(self, asked: Asked) -> Ran:
        """Start a process beside the one that is at work."""
        asked.service = None
        return self._run(asked, self._folder / "said" / "second")

    def _judge(self, rule: Rule | None, calls: Path) -> dict[str, Any]:
        return {
            "root": str(self.place),
            "log": str(calls),
            "record": True,
            "rule": None if rule is None else attrs.asdict(rule),
        }

    def _admit(self, calls: Path) -> None:
        """Bill what a life had sent before it died, and the service with it."""
        unread = Counter(_sent(calls))
        unread -= Counter(x.prompt for x in self.ledger.sales if x.life == self.lives)
        for prompt in unread.elements():
            number = len(self.ledger.sales)
            self.note(f"POST {number} {prompt!r} is admitted")
            self.met("death: with a request on its way")
            self.ledger.write(
                "post",
                number=number,
                life=self.lives,
                at=0.0,
                prompt=prompt,
                verdict="never",
                billed=True,
                free=False,
                content="",
            )

    def _run(
        self,
        asked: Asked,
        said: Path,
        *,
        judge: dict[str, Any] | None = None,
        pages: int | None = None,
        meanwhile: Callable[[int], None] | None = None,
    ) -> Ran:
        told = {
            "seed": str(self._seed),
            "life": self.lives,
            "log": str(self._log),
            "ledger": str(self._folder / "ledger"),
            "said": str(said),
            "address": self._address,
            "door": asked.door,
            "service": asked.service,
            "events": asked.events,
            **asked.more,
        }
        for left in (*said.glob("paused-*"), *said.glob("go-*")):
            left.unlink()
        (said / "told.json").write_text(json.dumps(told))
        ran = self._client.run(
            said / "told.json",
            cwd=self.place,
            said=said,
            environment={"XDG_STATE_HOME": str(self._folder / "state")},
            judge=judge,
            pages=pages,
            play=PLAY,
            meanwhile=meanwhile,
        )
        if asked.door != "look":
            self.note(f"life {self.lives} ended with {ran.code}: {ran.out}{ran.err}")
            self.expected.said.append(ran.out + ran.err)
        assert ran.code not in _FAULTS, _FAULTS[ran.code]
        assert ran.killed or ran.code in CODES, ran.code
        for word in ("Traceback", "Exception ignored", "never retrieved"):
            assert word not in ran.err, word
        return ran

    def _lose_power(self, before: dict[str, bytes], calls: Path, mode: Mode) -> None:
        disk = Disk(self.place, before)
        for event in events(calls):
            disk.follow(event)
        shutil.rmtree(self.place)
        disk.write(self.place, mode, seed=self._seed)

    # What must be true.

    def check(self, people: People, *, by_command: bool) -> None:
        """Hold the ledger, the program's own words and the files together."""
        check_twice(self.ledger, self.expected)
        check_waited(self.ledger, self.expected)
        self.look = self._looked(people.job, by_command=by_command)
        people.learn(self.look)
        people.check()
        check_traced(self.look, self.ledger, self.expected, self.place)
        if self.look is not None:
            check_counts(self.look, self.ledger)
            check_files(self.look, self.ledger, people)

    def _looked(self, job: Path, *, by_command: bool) -> Look | None:
        more = {"folder": str(job), "by_command": by_command}
        ran = self._run(
            Asked(door="look", service=None, more=more), self._folder / "said"
        )
        if ran.code in (2, 4) and self.look is None and not self.ledger.sales:
            return None  # no journal, or one that is not even begun
        assert ran.code == 0, f"status or export: {ran.code} {ran.err}"
        return Look.read(ran.out)


def _sent(calls: Path) -> Iterator[str]:
    """Read the prompts of the requests that went out whole."""
    begun: dict[int, bytes] = {}
    for event in events(calls):
        if event.call != "send" or event.path != "POST":
            continue
        whole = event.data
        if not whole.startswith(b"POST "):
            whole = begun.pop(event.fd, b"") + whole
        head, _, body = whole.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if length is not None and len(body) >= int(length[1]):
            yield canonical(json.loads(body)["prompt"])
        else:
            begun[event.fd] = whole


def _at_pause(pid: int, said: Path, work: Callable[[], None]) -> None:
    """Wait until a life pauses, do something, and let it go on."""
    while True:
        for paused in said.glob("paused-*"):
            try:
                work()
            finally:
                (said / paused.name.replace("paused", "go")).touch()
            return
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.002)


def _contents(place: Path) -> Iterator[tuple[str, bytes]]:
    """Read all that lies in a folder, for a disk that may lose what comes after."""
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if path.is_file():
            yield name, path.read_bytes()
        elif path.is_dir() and not any(path.iterdir()):
            yield f"{name}/", b""
