"""
A job that lives several times, each time with other troubles: drawn from one seed.

    game = Round.begin(client, paid_service, place, seed=17)
    game.play(drawn)  # an AssertionError names the seed and the whole plan

After each life the ledger, the journal, the folder and the terminal are compared. At
the end everything is well again, and all is saved, refused or unknown.
"""

import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from support.judge import evidence, verdicts
from support.judge.client import Client, Ran
from support.judge.life import Life
from support.judge.oracle import Books
from support.judge.paid_service import Bill, PaidService
from support.judge.shim import events
from support.judge.trial import DONE, STATES, Trial, items_of

NAME = "{index:06d}"
PROMPTS = (
    "prompt 0",
    "=1+1 prompt 1",
    "-prompt 2",
    "@prompt 3, caf\u00e9",
    "+prompt 4",
    "prompt 5",
    "prompt 6",
    "prompt 0",  # two pictures of one prompt
)
# What befalls any run now and then.
USUAL = ("refuse", "frequency", "content", "parameter", "lose", "half", "server")
CODES = (0, 1, 2, 3, 4, 5)
HAD_ITS_TURN = "(SELECT max(again) FROM attempts WHERE attempts.number=items.number)"
SUMMARY = re.compile(r"^(PARTIAL: )?\d+ requests?: ", re.MULTILINE)
MISSING, CHANGED = "missing", "changed"


@attrs.define(kw_only=True)
class Round:
    """
    One job and its lives.

    Attributes:
        plan: What was drawn, for whoever looks at a failure.
        met: Each trouble that was met: its kind and which of it.
        theirs: Files that a person made or changed; they stay as they are.
        gone: Recorded files that a person took away for good.
        edited: Recorded files in whose place there is a person's own.
        adrift: Recorded files that the next whole run has to find, or fetch again.
    """

    trial: Trial
    seed: int
    dice: random.Random
    books: Books
    plan: list[str] = attrs.field(factory=list)
    met: list[tuple[str, str]] = attrs.field(factory=list)
    theirs: dict[Path, bytes] = attrs.field(factory=dict)
    gone: set[int] = attrs.field(factory=set)
    edited: set[int] = attrs.field(factory=set)
    adrift: set[int] = attrs.field(factory=set)
    told: str = ""
    found: evidence.Evidence = evidence.NOTHING

    @classmethod
    def begin(
        cls, client: Client, service: PaidService, place: Path, *, seed: int
    ) -> "Round":
        """Open an account and lay out the input."""
        dice = random.Random(f"round {seed}")
        trial = Trial.begin(
            client,
            service,
            place,
            delay=(0.02, 0.3),
            limit=dice.choice([None, 2, 4]),
        )
        trial.prompts = PROMPTS
        lines = [
            {"prompt": prompt} | ({"id": n} if 0 < n < len(PROMPTS) - 1 else {})
            for n, prompt in enumerate(PROMPTS)
        ]
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (place / "p.jsonl").write_text(text)
        return cls(trial=trial, seed=seed, dice=dice, books=Books(Counter(PROMPTS)))

    @property
    def job(self) -> Path:
        return self.trial.job

    def play(self, draw: Callable[["Round"], Life]) -> None:
        """Live several lives, as they are drawn, and finish."""
        try:
            for _ in range(self.dice.randint(2, 4)):
                self.live(draw(self))
            self.finish()
        except AssertionError as error:
            plan = "\n  ".join(self.plan)
            raise AssertionError(
                f"round {self.seed}: {error}\n  {plan}\nkept in {self.trial.place}"
            ) from error

    def say(self, words: str) -> None:
        """Add a line to the plan."""
        self.plan.append(words)

    # One life.

    def live(self, life: Life) -> Ran:
        """Run once, and compare."""
        for action in life.before:
            action()
        self.trial.case.tell(plan=life.plan, **({"host": None} | life.told))
        before = self.trial.case.bill()
        opened = self.open_items(life)
        ran = self.run(life)
        self.say(f"  ended with {ran.code}: {self.counted()}")
        for action in reversed(life.after):
            action()
        self.wait()
        # Another run that resends asks for what an earlier life left as well.
        asked = opened if life.resends or life.asked else Counter()
        if life.asked:
            asked += self.unknown_since(before)
        died = life.died or ran.killed or life.signals > 1
        self.check(died=died, asked=asked)
        self.check_ended(life, ran, before)
        return ran

    def check_ended(self, life: Life, ran: Ran, before: Bill) -> None:
        """A run says how it ended, and sends nothing where it may not."""
        if ran.killed:
            return
        after = self.trial.case.bill()
        sent = len(after.entries) - len(before.entries)
        if life.still:
            fetched = after.fetches - before.fetches
            assert (sent, fetched) == (0, 0), f"{sent} sent, {fetched} fetched"
            assert ran.code in (1, 2, 4), (ran.code, ran.err)
        assert life.never is None or life.never not in ran.err, ran.err
        if not life.signals:
            assert ran.code in CODES, (ran.code, ran.err)
            assert not sent or SUMMARY.search(ran.err), f"no summary: {ran.err}"

    def run(self, life: Life) -> Ran:
        """Run the command of a life."""
        log = self.trial.said / "shim.log"
        log.unlink(missing_ok=True)
        case = self.trial.case
        arguments: list[object] = {
            "batch": ["batch", life.source, "--out", self.trial.out],
            "retry unknown": ["retry", self.trial.out, "--only", "unknown"],
            "retry failed": ["retry", self.trial.out, "--only", "failed"],
            "retry missing": ["retry", self.trial.out, "--only", "missing"],
        }[life.command]
        ran = self.trial.run(
            *arguments,
            *("--name", NAME, *life.options),
            rule=life.rule,
            log=log,
            patches=life.patches(),
            meanwhile=lambda pid: life.meanwhile(case, pid),
        )
        for one in (ran, *life.others):
            self.told += one.out + one.err
        if any(event.call == "failed" for event in events(log)):
            life.died = True  # what it could not note is uncertain
        return ran

    def counted(self) -> dict[str, int]:
        return dict(Counter(item.state for item in self.trial.items()))

    def open_items(self, life: Life) -> Counter[str]:
        """Count what a person who says `resend` may pay for once more."""
        states = {"sent", "unknown"}
        if life.told.get("host"):  # then a link may be dead, and is made again
            states.add("answered")
        found = Counter(
            item.prompt for item in self.trial.items() if item.state in states
        )
        if life.told.get("host") is None:  # what lies beside the journal is no question
            found -= self.books.beside(self.trial.case.bill().entries, self.found)
        return found

    def unknown_since(self, before: Bill) -> Counter[str]:
        """Count the requests since then whose end no client could know."""
        return Counter(
            entry["prompt"]
            for entry in self.trial.case.bill().entries[len(before.entries) :]
            if not verdicts.is_free(entry["verdict"]) and not entry["answered"]
        )

    def wait(self) -> None:
        """Wait until the service has no request at work any more."""
        ends = time.monotonic() + 5
        while self.trial.case.bill().in_flight and time.monotonic() < ends:
            hanging = Counter(e["verdict"] for e in self.trial.case.bill().entries)
            if hanging["hang"]:
                return
            time.sleep(0.02)

    # What must be true after each life.

    def check(self, *, died: bool, asked: Counter[str]) -> dict[str, Any]:
        """Compare the ledger with all that is known; returns what `status` says."""
        bill = self.trial.case.bill()
        self.books.add(bill.entries, died=died, asked=asked)
        self.found = evidence.Evidence.of(self.job, self.trial.place, self.told)
        self.books.check_kept(bill.entries, self.found)
        if not self.trial.items():
            assert not bill.entries, "sent without a journal"
            return {}
        told = self.status()
        assert told["total"] == len(PROMPTS), f"asked for something new: {told}"
        self.books.check_status(
            told, bill.entries, self.found, evidence.payments(self.job)
        )
        self.check_files(bill)
        return told

    def status(self) -> dict[str, Any]:
        ran = self.trial.run("status", self.trial.out, "--json")
        assert ran.code == DONE, ran.err
        told: dict[str, Any] = ran.json()
        assert told["total"] == sum(told[state] for state in STATES), told
        return told

    def check_files(self, bill: Bill) -> None:
        """What a person made is as it was; every other recorded file is a picture."""
        for path, data in self.theirs.items():
            assert path.exists(), f"a file of the user's is gone: {path}"
            assert path.read_bytes() == data, f"a file of the user's is changed: {path}"
        theirs = self.gone | self.edited | self.adrift
        items = self.trial.items()
        self.trial.check_files(
            bill, [one for one in items if one.number not in theirs and one.path]
        )

    # The end.

    def finish(self) -> None:
        """Let everything be well: what is left is saved, refused or unknown."""
        self.say("everything is well")
        self.trial.case.tell(plan={}, host=None, balance=None, limit=None)
        self.live(Life())
        self.adrift.clear()
        self.books.check_taken_in(self.trial.case.bill().entries, self.found)
        told = self.live_and_count(Life())
        left = {name: told[name] for name in ("pending", "sent", "answered")}
        assert not sum(left.values()), f"not done: {told}"
        self.check_counts(told)
        if told["failed"]:
            told = self.live_and_count(Life(command="retry failed"))
            assert not told["failed"], told
        self.check_free_fetches(told)
        before = {item.number: item for item in items_of(self.job, HAD_ITS_TURN)}
        told = self.live_and_count(Life(options=["--on-unknown", "resend"]))
        self.check_resent(told, before)
        self.trial.case.close()

    def live_and_count(self, life: Life) -> dict[str, Any]:
        ran = self.live(life)
        assert ran.code in (0, 1), (ran.code, ran.err)
        return self.status()

    def check_counts(self, told: dict[str, Any]) -> None:
        """A file that a person took away or changed is counted as such."""
        if MISSING in told:
            counts = (told[MISSING], told[CHANGED])
            assert counts == (len(self.gone), len(self.edited)), told

    def check_free_fetches(self, told: dict[str, Any]) -> None:
        """What a person took away comes back for free, if that is asked for."""
        if not self.gone or MISSING not in told:
            return
        before = len(self.trial.case.bill().entries)
        lost, self.gone = self.gone, set()
        told = self.live_and_count(Life(command="retry missing"))
        assert told[MISSING] == 0, (lost, told)
        assert len(self.trial.case.bill().entries) == before, "paid for what was there"

    def check_resent(self, told: dict[str, Any], before: dict[int, Any]) -> None:
        """Each unknown one was sent once more, but for those that had their turn."""
        asked = self.trial.case.bill().entries
        tries = Counter(
            e["prompt"] for e in asked if not verdicts.is_free(e["verdict"])
        )
        for item in self.trial.items():
            if item.state == "unknown":
                # A first try that was cut off before it left is in no ledger.
                had_its_turn = before[item.number].more == (1,)
                assert tries[item.prompt] > 1 or had_its_turn, f"not resent: {item}"
            else:
                assert item.state in ("saved", "refused"), (item, before, told)
