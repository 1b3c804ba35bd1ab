"""
What must be true after every life: the ledger, the program's own words, and the files.

Only public doors are asked: `status --json`, `export`, and what a run says itself.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
from support.judge.paid_service import content
from support.world.ledger import Ledger, Sale, canonical
from support.world.service import FAILED, USABLE

STATES = ("pending", "sent", "answered", "saved", "failed", "refused", "unknown")
# Of these a payment may be known or suspected.
PAID = ("sent", "answered", "saved", "unknown")


def _prompt(one: Mapping[str, Any]) -> str:
    return canonical(one["body"]["prompt"])


@attrs.frozen(kw_only=True)
class Look:
    """What the program says of a job: its counts, its records, and all its words."""

    status: Mapping[str, Any]
    records: tuple[Mapping[str, Any], ...]
    text: str

    @classmethod
    def read(cls, out: str) -> "Look":
        """Read what `status --json` and `export` have printed."""
        status, _, lines = out.partition("\n---\n")
        return cls(
            status=json.loads(status),
            records=tuple(json.loads(line) for line in lines.splitlines()),
            text=lines,
        )

    def of(self, *states: str) -> Counter[str]:
        """Count the items in some states by their prompts."""
        return Counter(_prompt(one) for one in self.records if one["state"] in states)

    def sum(self, name: str) -> Counter[str]:
        """Add up a number of the items by their prompts."""
        found: Counter[str] = Counter()
        for one in self.records:
            found[_prompt(one)] += one[name]
        return found


@attrs.define(kw_only=True)
class Expected:
    """
    What was asked for.

    Attributes:
        wanted: How many items each prompt has.
        again: How often more a prompt may be sent though it may be paid: as was asked.
        resent: Items that were sent once more as was asked; that is done once only.
        unsafe: Lives after which an answer may be unread: killed, cut off, cancelled.
        stopped: Lives that stood still beyond every deadline.
        said: What the lives have said.
    """

    wanted: Counter[str]
    again: Counter[str] = attrs.field(factory=Counter)
    resent: set[int] = attrs.field(factory=set)
    unsafe: set[int] = attrs.field(factory=set)
    stopped: set[int] = attrs.field(factory=set)
    said: list[str] = attrs.field(factory=list)

    def resend(self, look: Look | None, *, dead: bool) -> None:
        """Allow what a life is asked to send once more."""
        states = ("unknown", "sent", "answered") if dead else ("unknown", "sent")
        for one in look.records if look is not None else ():
            if one["state"] in states and one["number"] not in self.resent:
                self.resent.add(one["number"])
                self.again[_prompt(one)] += 1


def check_twice(ledger: Ledger, expected: Expected) -> None:
    """Nothing is sent again that is or may be paid, but as was asked."""
    risky = Counter(sale.prompt for sale in ledger.sales if not sale.free)
    failed = Counter(sale.prompt for sale in ledger.sales if sale.verdict in FAILED)
    for prompt, times in risky.items():
        asked = expected.wanted[prompt] + expected.again[prompt]
        # A failure that the service owns up to is sent once more by itself.
        allowed = asked + min(failed[prompt], asked)
        assert times <= allowed, (
            f"{prompt!r} was sent {times} times though it may be paid, allowed are "
            f"{allowed}: {[(x.number, x.verdict) for x in of(ledger, prompt)]}"
        )


def of(ledger: Ledger, prompt: str) -> list[Sale]:
    """List the sales for a prompt."""
    return [sale for sale in ledger.sales if sale.prompt == prompt]


def check_counts(look: Look, ledger: Ledger) -> None:
    """The counts are those of the records, and the bill lies between the two."""
    status = look.status
    for state in STATES:
        assert status[state] == look.of(state).total(), (state, status)
    assert status["total"] == len(look.records), status
    paid = ledger.paid
    most = status["billed"] + status["maybe_billed"] + status["more_maybe_billed"]
    assert status["billed"] <= paid.total() <= most, (status, paid.total())
    billed, maybe = look.sum("billed"), look.sum("maybe")
    assert billed.total() == status["billed"], (billed, status)
    for prompt in {*paid, *billed}:
        known = (billed[prompt], paid[prompt], billed[prompt] + maybe[prompt])
        assert known[0] <= known[1] <= known[2], (
            f"{prompt!r}: billed, paid, billed and maybe: {known}: "
            f"{[(x.number, x.verdict) for x in of(ledger, prompt)]}"
        )


def check_exact(look: Look, ledger: Ledger, expected: Expected) -> None:
    """Where nothing was ambiguous, what is said to be billed is what was paid."""
    billed, maybe = look.sum("billed"), look.sum("maybe")
    unclear = {
        sale.prompt
        for sale in ledger.sales
        if not sale.free
        and (not sale.told or (sale.life in expected.unsafe and not sale.fetched))
    }
    for prompt, paid in ledger.paid.items():
        if prompt not in unclear:
            # Whoever is killed may have meant to send, and not have sent.
            most = len(expected.unsafe) * expected.wanted[prompt]
            assert billed[prompt] == paid, f"{prompt!r}: {billed[prompt]}, not {paid}"
            assert maybe[prompt] <= most, f"{prompt!r}: maybe {maybe[prompt]}"


def check_traced(
    look: Look | None,
    ledger: Ledger,
    expected: Expected,
    place: Path,
) -> None:
    """Every paid prompt has an item that knows, and every answer a trace."""
    records = Counter[str]() if look is None else look.of(*PAID)
    failed = Counter(
        sale.prompt for sale in ledger.sales if sale.verdict == "failed, paid"
    )
    for prompt, paid in ledger.paid.items():
        known = records[prompt] + expected.again[prompt] + failed[prompt]
        assert paid <= known, f"{prompt!r} was paid {paid} times, known are {known}"
    text = "\n".join(expected.said) + ("" if look is None else look.text)
    beside: str | None = None
    pictures: set[str] | None = None
    for sale in ledger.sales:
        kept = sale.told and sale.life not in expected.unsafe
        if not (kept or sale.fetched) or f"/p/{sale.number}.png" in text:
            continue
        if beside is None:
            beside = "".join(_texts([place, place.parent / "state"]))
        if f"/p/{sale.number}.png" in beside:
            continue
        if pictures is None:
            pictures = {content(x.read_bytes()) for x in place.rglob("*.png")}
        assert sale.content in pictures, (
            f"answer {sale.number} for {sale.prompt!r} came, and nothing knows its link"
        )


def _texts(folders: Iterable[Path]) -> Iterable[str]:
    """Read every file that is no picture and none of SQLite's."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".png" and "sqlite" not in path.name:
                yield path.read_text("utf-8", errors="replace")


def check_files(look: Look, ledger: Ledger, people: Any) -> None:
    """Every saved picture is whole, of its own prompt and no other's."""
    seen: defaultdict[str, list[int]] = defaultdict(list)
    for one in look.records:
        if one["state"] != "saved":
            continue
        path = people.job / one["path"]
        prompt = _prompt(one)
        if path in people.theirs or path in people.torn or people.away is not None:
            continue
        if not path.is_file():
            assert path in {*people.removed, *people.moved}, f"not there: {one}"
            continue
        found = content(path.read_bytes())
        assert found in ledger.sold(prompt), f"damaged or another's: {one}"
        seen[found].append(one["number"])
    doubled = [numbers for numbers in seen.values() if len(numbers) > 1]
    assert not doubled, f"items with one picture: {doubled}"
    for path in people.job.rglob("*.png"):
        if path not in people.torn:
            assert content(path.read_bytes()) != "damaged", f"half a picture: {path}"


def check_waited(ledger: Ledger, expected: Expected) -> None:
    """Whoever ends by itself has waited for all that was in flight."""
    unread = [
        (sale.number, sale.life)
        for sale in ledger.sales
        if sale.verdict in USABLE
        and not sale.told
        and sale.life not in expected.unsafe | expected.stopped
    ]
    assert not unread, f"their lives did not wait for them: {unread}"


def check_budget(ledger: Ledger, life: int, most: int | None) -> None:
    """No life pays for more than it was allowed, what is in flight counted."""
    risky = [x for x in ledger.sales if x.life == life and not x.free]
    assert most is None or len(risky) <= most, f"{len(risky)} with a cap of {most}"


def check_asked(ledger: Ledger, life: int, prompts: set[str] | None) -> None:
    """A life sends what its own input asks for, and nothing of an earlier one."""
    sent = {sale.prompt for sale in ledger.sales if sale.life == life}
    assert prompts is None or sent <= prompts, f"not asked for: {sent - prompts}"


def check_calls(told: Mapping[str, Any], ledger: Ledger) -> None:
    """The session's counts are the bill, and each request has an end."""
    if told.get("error") == "CancelledError":
        return  # whoever is cancelled before anything runs has nothing to tell
    paid = ledger.paid.total()
    most = told["billed"] + told["maybe"]
    assert told["billed"] <= paid <= most, f"paid {paid}: {told}"
    unclear = [x for x in ledger.sales if not (x.free or x.told)]
    if not (unclear or told["abandoned"] or told["ended"]):
        assert told["maybe"] == 0, f"nothing was unclear: {told}"
    ends = [one["index"] for one in (*told["outcomes"], *told["finished"])]
    assert len(set(ends)) == len(ends), f"an item ended twice: {ends}"
    ended = {f"prompt {index}" for index in ends} | set(told["abandoned"])
    lost = {sale.prompt for sale in ledger.sales if not sale.free} - ended
    assert not lost, f"sent, and nobody tells of it: {lost}: {told}"


def check_rescued(told: Mapping[str, Any], ledger: Ledger) -> None:
    """What was cancelled was finished: every answer that came came to somebody."""
    ends = (*told["outcomes"], *told["finished"])
    heard = {f"prompt {one['index']}" for one in ends} | set(told["rescued"])
    lost = {sale.prompt for sale in ledger.sales if sale.told} - heard
    assert not lost, f"answers that nobody was given: {lost}: {told}"
