"""
Contenders in turn: each in a process of its own, all on one core, one at work.

So none pays for another's modules or garbage, and a noisy neighbour disturbs all alike:
what is claimed is the median of the ratios of neighbouring slices.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack
from statistics import median
from typing import Self

from _server import pin

One = Callable[[int], Awaitable[object]]
Slice = Callable[[int], Awaitable[dict[str, float]]]
Entry = Callable[[str], AbstractAsyncContextManager[Slice]]


class Contender:
    """
    Run one contender of a benchmark script, slice by slice.

    Args:
        script: The benchmark, which calls `compete` when it is told `--contender`.
        name: Which one.
        base: The server's address.
    """

    def __init__(self, script: str, name: str, base: str) -> None:
        self.name = name
        command = [sys.executable, script, "--contender", name, "--base", base]
        self._process = subprocess.Popen(  # noqa: S603 - the benchmark itself
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.missing: str | None = self._read()["missing"]

    def _read(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended before its time")
        found: dict[str, float] = json.loads(line)
        return found

    def slice(self, count: int) -> dict[str, float]:
        """Do `count` units of work; returns the figures of this slice."""
        assert self._process.stdin is not None
        print(count, file=self._process.stdin, flush=True)
        return self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def compete(entry: Entry, base: str) -> int:
    """Be a contender: do what the input says, a slice for each line."""
    pin(0)
    try:
        asyncio.run(_compete(entry, base))
    except ImportError as error:
        print(json.dumps({"missing": error.name or str(error)}), flush=True)
    return 0


async def _compete(entry: Entry, base: str) -> None:
    async with entry(base) as work:
        print(json.dumps({"missing": None}), flush=True)
        while line := sys.stdin.readline():
            print(json.dumps(await work(int(line))), flush=True)


async def drive(one: One, count: int, callers: int) -> None:
    """Await `one` for each number below `count`, so many callers at once."""
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*(caller() for _ in range(min(callers, count))))


def slices(one: One, callers: int) -> Slice:
    """Make slices of calls: microseconds of CPU for each, threads and kernel too."""

    async def work(count: int) -> dict[str, float]:
        begun = time.process_time()
        await drive(one, count, callers)
        return {"CPU us": (time.process_time() - begun) / count * 1e6}

    return work


Found = dict[str, dict[str, list[float]]]


def take_turns(
    script: str, names: Mapping[str, int], base: str, rounds: int, *, warmup: int = 1
) -> tuple[Found, list[str]]:
    """
    Give each contender its slice of so many units, round after round.

    Returns:
        The figures by contender and name, without those of the rounds to warm up;
        and what was missing.
    """
    found: Found = {}
    told = []
    with ExitStack() as stack:
        ready = []
        for name in names:
            one = stack.enter_context(Contender(script, name, base))
            if one.missing:
                told.append(f"{name}: {one.missing} is not installed")
            else:
                ready.append(one)
        for turn in range(warmup + rounds):
            for one in ready:
                for what, figure in one.slice(names[one.name]).items():
                    if turn >= warmup:
                        kept = found.setdefault(one.name, {}).setdefault(what, [])
                        kept.append(figure)
    return found, told


def ratio(found: Found, ours: str, theirs: str, what: str) -> float | None:
    """Compare two contenders slice by slice; None where one is missing."""
    if ours not in found or theirs not in found:
        return None
    pairs = zip(found[ours][what], found[theirs][what], strict=True)
    return median(a / b for a, b in pairs)


def in_fresh_processes(
    script: str, names: Mapping[str, int], base: str, repeats: int
) -> Found:
    """Give each contender one slice in a process that does nothing else, in turn."""
    found: Found = {}
    for _ in range(repeats):
        for name, count in names.items():
            once, _ = take_turns(script, {name: count}, base, 1, warmup=0)
            add(found, once)
    return found


def add(found: Found, more: Found) -> None:
    """Put the figures of another run beside those of the earlier ones."""
    for name, kinds in more.items():
        for what, figures in kinds.items():
            found.setdefault(name, {}).setdefault(what, []).extend(figures)


def medians(found: Found) -> dict[str, dict[str, float]]:
    """Sum up each contender's slices."""
    return {
        name: {what: median(figures) for what, figures in kinds.items()}
        for name, kinds in found.items()
    }
