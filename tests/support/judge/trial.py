"""One job before the judge: its folder, its account, and what must be true of them."""

import json
import shutil
import signal
import sqlite3
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from support.judge.client import Client, Ran
from support.judge.paid_service import Bill, Case, PaidService, canonical, content
from support.judge.shim import Rule

STATES = ("pending", "sent", "answered", "saved", "failed", "refused", "unknown")
# Exit codes of the design.
DONE, SOME_FAILED, DISK = 0, 1, 4


@attrs.frozen(kw_only=True)
class Item:
    """Hold what the journal says of an item."""

    number: int
    prompt: str
    state: str
    path: str | None
    more: tuple[Any, ...] = ()


def items_of(job: Path, more: str = "NULL") -> list[Item]:
    """
    Read a journal as the next process will find it, without touching it.

    It is read from a copy, for opening it would recover its log.

    Args:
        job: The job's folder.
        more: Further columns.
    """
    if not (job / "job.sqlite").exists():
        return []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("job.sqlite", "job.sqlite-wal"):
            if (job / name).exists():
                shutil.copy(job / name, folder)
        connection = sqlite3.connect(Path(folder, "job.sqlite"))
        try:
            rows = connection.execute(
                f"SELECT number, body, state, path, {more} FROM items "  # noqa: S608 - ours
                "LEFT JOIN pictures USING (number) ORDER BY number"
            ).fetchall()
        except sqlite3.DatabaseError as error:
            if "no such table" not in str(error):
                raise AssertionError(f"the journal is damaged: {error}") from error
            rows = []  # it is not even begun
        finally:
            connection.close()
    return [
        Item(
            number=number,
            prompt=canonical(json.loads(body)["prompt"]),
            state=state,
            path=path,
            more=tuple(more),
        )
        for number, body, state, path, *more in rows
    ]


@attrs.define(kw_only=True)
class Trial:
    """
    Run one job, and hold it to what it promises.

    Attributes:
        place: The folder it is run in; the job is below it.
        prompts: One for each item; equal ones are items of their own.
        case: The account at the paid service.
    """

    client: Client
    case: Case
    place: Path
    prompts: tuple[str, ...]

    @classmethod
    def begin(
        cls,
        client: Client,
        service: PaidService,
        place: Path,
        *,
        items: int = 10,
        **told: Any,
    ) -> "Trial":
        """Lay out the input; two of its lines are equal."""
        place.mkdir(parents=True, exist_ok=True)
        prompts = (*(f"prompt {n}" for n in range(items - 1)), "prompt 0")
        trial = cls(
            client=client, case=service.case(**told), place=place, prompts=prompts
        )
        (place / "p.txt").write_text("\n".join(prompts))
        return trial

    out = "deep/out"  # two folders that are not there yet

    @property
    def said(self) -> Path:
        """Where what it says is written: not on a disk that is to be full."""
        return self.place.parent

    @property
    def job(self) -> Path:
        return self.place / self.out

    @property
    def wanted(self) -> Counter[str]:
        return Counter(self.prompts)

    def run(
        self,
        *arguments: object,
        rule: Rule | None = None,
        log: Path | None = None,
        record: bool = False,
        pages: int | None = None,
        patches: Mapping[str, Any] | None = None,
        said: Path | None = None,
        meanwhile: Callable[[int], None] | None = None,
    ) -> Ran:
        """Run a command of the program in the folder of the trial."""
        judge = None
        if log is not None or rule is not None:
            judge = {
                "root": str(self.place),
                "log": str(log or "/dev/null"),
                "record": record,
                "rule": None if rule is None else attrs.asdict(rule),
            }
        state = {"XDG_STATE_HOME": str(self.place.parent / "state")}
        ran = self.client.run(
            *arguments,
            cwd=self.place,
            said=said or self.said,
            environment=self.case.environment | state,
            judge=judge,
            pages=pages,
            patches=patches,
            meanwhile=meanwhile,
        )
        assert "Traceback" not in ran.err, ran.err
        assert ran.code != -signal.SIGALRM, f"it hangs: {ran.err}"
        return ran

    def batch(self, *more: object, **options: Any) -> Ran:
        """Run the job, or resume it."""
        return self.run("batch", "p.txt", "--out", self.out, *more, **options)

    def items(self) -> list[Item]:
        return items_of(self.job)

    # What must be true.

    def check_files(self, bill: Bill, items: Sequence[Item] | None = None) -> None:
        """Every saved picture is whole, was sold for its prompt, and is no other's."""
        seen: Counter[str] = Counter()
        for item in self.items() if items is None else items:
            if item.state != "saved":
                continue
            assert item.path is not None, item
            file = self.job / item.path
            assert file.is_file(), f"recorded as saved, and not there: {item}"
            found = content(file.read_bytes())
            assert found in bill.contents(item.prompt), f"damaged or another's: {item}"
            seen[found] += 1
        assert max(seen.values(), default=1) == 1, "two items have one picture"

    def check_whole(self) -> None:
        """Whatever is named like a picture is a whole one, recorded or not."""
        for file in self.job.rglob("*.png"):
            assert content(file.read_bytes()) != "damaged", f"half a picture: {file}"

    def check_bill(self, *, earlier: Counter[str] | None = None) -> Bill:
        """No prompt was paid twice, and whatever was paid is saved, kept or unknown."""
        bill = self.case.bill()
        billed = bill.billed - (earlier or Counter())
        assert billed <= self.wanted, f"paid twice: {billed - self.wanted}"
        known: Counter[str] = Counter()
        for item in self.items():
            if item.state in ("saved", "answered", "sent", "unknown"):
                known[item.prompt] += 1
        lost = bill.billed - known
        assert not lost, f"paid and lost: {lost}; {self.by_state()}"
        self.check_files(bill)
        self.check_whole()
        return bill

    def by_state(self) -> Mapping[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for item in self.items():
            found[item.state].append(item.prompt)
        return found

    def check_resumed(self, ran: Ran) -> int:
        """After a resume only what is unknown is open; returns how much that is."""
        found = self.by_state()
        unknown = len(found["unknown"])
        saved = len(found["saved"])
        assert saved + unknown == len(self.prompts), (found, ran.err)
        assert ran.code == (SOME_FAILED if unknown else DONE), (ran.code, ran.err)
        self.check_bill()
        self.check_tidy()
        return unknown

    def check_tidy(self) -> None:
        """Nothing half written is left, and only pictures look like pictures."""
        left = [path.name for path in self.job.rglob("*.part")]
        assert not left, left
        recorded = {item.path for item in self.items() if item.state == "saved"}
        files = {
            str(path.relative_to(self.job))
            for path in (self.job / "pictures").rglob("*")
            if path.is_file()
        }
        # A picture whose answer no disk would take is a file, and unknown all the same.
        assert files >= recorded
        assert len(files - recorded) <= len(self.by_state()["unknown"]), (
            files - recorded
        )

    def finish(self) -> None:
        """Send what is unknown again: at most that, once more, and all is done."""
        self.case.tell(plan={})  # a verdict that no request has met until now
        before = self.case.bill()
        unknown = Counter(self.by_state()["unknown"])
        ran = self.batch("--on-unknown", "resend")
        after = self.case.bill()
        again = after.billed - before.billed
        assert again <= unknown, f"paid again: {again}, unknown were {unknown}"
        assert after.billed <= self.wanted + unknown
        assert ran.code == DONE, (ran.code, ran.err, self.by_state())
        assert len(self.by_state()["saved"]) == len(self.prompts)
        self.check_files(after)
        self.check_tidy()
        verified = self.run("verify", self.out)
        assert verified.code == DONE, verified.err
        told = self.run("status", self.out, "--json").json()
        assert told["total"] == sum(told[state] for state in STATES)
        assert (told["total"], told["saved"]) == (len(self.prompts),) * 2
        self.case.close()
