"""
What `status` must say, worked out of the paid service's ledger.

A client cannot know more than what reached it, so "equal to the ledger" means this.

`billed` is the number of requests whose answer held a usable link and stands in the
journal: a link is looked for in the journal itself, and each that is there counts once,
however many runs have seen it and whatever came later. Of a life that ended by itself
this is every request that was answered with a link. Of one that was killed, abandoned
by a second signal or kept from its journal, it is what had been kept by then: a request
whose picture was asked for afterwards has been kept for certain, for that comes first.
What only a second place beside the journal has may count at once or from the next run
on, and must count by the end.

`billed + maybe_billed + more_maybe_billed` is the number of requests that were not
refused for free: those, and those whose end the client could not know, which are lost
answers, half ones and gateways' pages. Of a life that ended by itself this is exact.
A life that was cut off may have one more for each item, whose intent was on the disk
and never left, or whose free refusal could not be noted any more. What is found then is
fixed: no later life may add to it or take from it but by its own requests, and by what
lay beside the journal and is taken in: that an attempt was free after all.

So `billed <= ledger <= billed + maybe` holds always, and the two sides are numbers that
are known in advance but for the last step of a process that died.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from support.judge import verdicts
from support.judge.evidence import Evidence, links_of

Entry = Mapping[str, Any]


@attrs.define
class Books:
    """
    The payments of a job, as far as anybody but the client can know them.

    Attributes:
        wanted: How many items each prompt has.
        seen: How many requests of the ledger have been looked at.
    """

    wanted: Counter[str]
    seen: int = 0
    _low: Counter[str] = attrs.field(factory=Counter)
    _high: Counter[str] = attrs.field(factory=Counter)
    _spent: Counter[str] = attrs.field(factory=Counter)
    _certain: set[int] = attrs.field(factory=set)  # whose links have a trace
    _recorded: set[int] = attrs.field(factory=set)  # whose links are in the journal

    def add(self, entries: Sequence[Entry], *, died: bool, asked: Counter[str]) -> None:
        """
        Take in the requests of a life.

        Args:
            entries: The whole ledger.
            died: The life was cut off.
            asked: How often each prompt may be paid for once more, as a person said.
        """
        self._check_unasked(entries[self.seen :], Counter(asked))
        for number in range(self.seen, len(entries)):
            entry = entries[number]
            prompt = entry["prompt"]
            free = verdicts.is_free(entry["verdict"])
            self._low[prompt] += not free
            self._high[prompt] += not free or died
            if entry["answered"] and not died:
                self._recorded.add(number)
            elif entry["answered"] and entry["fetched"]:
                self._certain.add(number)
        if died:
            self._high += self.wanted
        self.seen = len(entries)

    def _check_unasked(self, entries: Sequence[Entry], asked: Counter[str]) -> None:
        """No prompt goes out again whose payment is known or cannot be ruled out."""
        before: dict[str, str] = {}
        for entry in entries:
            prompt, verdict = entry["prompt"], entry["verdict"]
            spends = not verdicts.is_free(verdict)
            again = verdicts.is_sent_again(before.get(prompt, ""))
            if again and not spends:  # refused for want of a place: it waits
                continue
            before[prompt] = "" if again else verdict
            if again:
                continue
            if asked[prompt] > 0:  # of two equal items it may be either
                asked[prompt] -= spends
                continue
            assert self._spent[prompt] < self.wanted[prompt], (
                f"sent again unasked: {prompt!r} meets {verdict!r}; in this life "
                f"{[one['verdict'] for one in entries if one['prompt'] == prompt]}"
            )
            self._spent[prompt] += spends

    def check_kept(self, entries: Sequence[Entry], found: Evidence) -> None:
        """Whatever was certainly paid has a trace of each of its links."""
        for number in self._certain | self._recorded:
            for link, picture in links_of(entries[number], number):
                assert found.anywhere(link, picture), f"lost: {link} {entries[number]}"
        for number in self._recorded:
            for link, _ in links_of(entries[number], number):
                assert found.in_journal(link), f"not recorded: {entries[number]}"

    def check_taken_in(self, entries: Sequence[Entry], found: Evidence) -> None:
        """By the end the journal has each link that any disk of the job has."""
        for number, entry in enumerate(entries):
            for link, picture in links_of(entry, number):
                if entry["answered"] and found.on_disk(link, picture):
                    assert found.in_journal(link), f"never taken in: {link} {entry}"

    def beside(self, entries: Sequence[Entry], found: Evidence) -> Counter[str]:
        """Count the payments whose links lie only beside the journal."""
        return Counter(
            entry["prompt"]
            for number, entry in enumerate(entries)
            for link, _ in links_of(entry, number)[:1]
            if link in found.beside and not found.in_journal(link)
        )

    def check_status(
        self,
        told: Mapping[str, int],
        entries: Sequence[Entry],
        found: Evidence,
        payments: Mapping[str, tuple[int, int]] | None,
    ) -> None:
        """Hold the counts of `status` to the ledger, in all and by prompt."""
        kept, beside = self._kept(entries, found)
        billed = told["billed"]
        total = billed + told["maybe_billed"] + told["more_maybe_billed"]
        ledger = sum(entry["billed"] for entry in entries)
        counted = f"{dict(told)}, the ledger {ledger}"
        low, high = kept.total(), (kept + beside).total()
        assert low <= billed <= high, f"billed is not {low}..{high}: {counted}"
        low, high = self._low.total(), self._high.total()
        assert low <= total <= high, (
            f"billed and maybe are not {low}..{high}: {counted}"
        )
        assert billed <= ledger <= total, counted
        if payments is not None:
            self._check_payments(told, payments, kept, beside)
            every = Counter({prompt: sum(both) for prompt, both in payments.items()})
            self._high = every
            if not found.unrecorded:
                self._low = Counter(every)

    def _check_payments(
        self,
        told: Mapping[str, int],
        payments: Mapping[str, tuple[int, int]],
        kept: Counter[str],
        beside: Counter[str],
    ) -> None:
        paid = {prompt: billed for prompt, (billed, _) in payments.items()}
        every = {prompt: sum(both) for prompt, both in payments.items()}
        for prompt in self.wanted:
            low, high = kept[prompt], kept[prompt] + beside[prompt]
            assert low <= paid.get(prompt, 0) <= high, (
                f"{prompt!r} is billed {paid.get(prompt, 0)}, not {low}..{high}"
            )
            low, high = self._low[prompt], self._high[prompt]
            assert low <= every.get(prompt, 0) <= high, (
                f"{prompt!r} is maybe billed {every.get(prompt, 0)}, not {low}..{high}"
            )
        assert sum(paid.values()) == told["billed"], "status is not the sum of its rows"

    def _kept(
        self, entries: Sequence[Entry], found: Evidence
    ) -> tuple[Counter[str], Counter[str]]:
        """Count the payments whose links are in the journal, and only beside it."""
        kept: Counter[str] = Counter()
        beside: Counter[str] = Counter()
        for number, entry in enumerate(entries):
            for link, picture in links_of(entry, number)[:1]:
                if found.in_journal(link):
                    kept[entry["prompt"]] += 1
                elif found.on_disk(link, picture):
                    beside[entry["prompt"]] += 1
        return kept, beside
