"""
How much of an account's capacity is used, by a client that is told nothing.

The real `BatchRunner`, session and aiohttp, against a loopback server on virtual time:

    python benchmarks/capacity.py [--quick] [--seeds 5] [--only NAME ...] [--svg FILE]

For each scenario: the makespan of a client that knows the limit at every moment over
ours (1 is perfect), and the refusals for each 100 pictures, beside their bars.

Then the usual way through the same: 32 at once under a semaphore, ten attempts with
exponential backoff. Its share of the ideal counts the pictures that it made, so read it
together with what it lost.
"""

import argparse
import asyncio
import functools
import itertools
import json
import logging
import random
import statistics
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import looptime
from _report import pairs
from _scenarios import SCENARIOS, Scenario
from peers import GREEDY, with_tenacity
from service import Server, ideal

from zai_images import BatchRunner, Done, ImageRequest, ImageSession, SessionConfig

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Measured:
    """Hold one run of a scenario."""

    ideal: float
    makespan: float
    refused: float
    longest: float
    p99: float
    last: float
    lost: int
    most: int

    @property
    def ratio(self) -> float:
        """The share of the ideal: 1 is perfect."""
        return self.ideal / self.makespan


@attrs.frozen(kw_only=True)
class Usual:
    """Hold what the usual way made of the same."""

    ideal: float
    makespan: float
    refused: float
    lost: float


async def run(scenario: Scenario, seed: int) -> Measured:
    """Run a scenario once; the seed governs the service and the client's jitter."""
    random.seed(seed)
    async with Server(scenario.service, seed) as server:
        jobs = [
            _job(server, scenario, index, count)
            for index, count in enumerate(scenario.jobs)
        ]
        done = await asyncio.gather(*jobs)
    record = server.record
    pictures = sum(scenario.jobs)
    makespan = max(one.ended for one in done)
    sent = [pair for one in done for pair in one.latencies]
    late = sorted(took for at, took in sent if at >= scenario.after) or [0.0]
    return Measured(
        ideal=ideal(record.times, scenario.service),
        makespan=makespan,
        refused=100 * record.refused / pictures,
        longest=max(took for _, took in sent),
        p99=late[int(0.99 * (len(late) - 1))],
        last=done[-1].ended - done[-1].began,
        lost=pictures - sum(len(one.latencies) for one in done),
        most=record.most,
    )


async def run_usual(scenario: Scenario, seed: int) -> Usual:
    """Give the same pictures to 32 callers who back off; the limit is not theirs."""
    random.seed(seed)
    loop = asyncio.get_running_loop()
    async with Server(scenario.service, seed) as server:

        async def job(index: int, count: int) -> int:
            await asyncio.sleep(_start(scenario, index))
            way = with_tenacity(server.base_url, at_once=GREEDY, hd=scenario.hd)
            async with way as make:
                return await make(count)

        begun = loop.time()
        made = sum(await asyncio.gather(*map(job, itertools.count(), scenario.jobs)))
        makespan = loop.time() - begun
    record, pictures = server.record, sum(scenario.jobs)
    return Usual(
        ideal=ideal(record.times, scenario.service) if made else 0.0,
        makespan=makespan,
        refused=100 * record.refused / pictures,
        lost=100 * (pictures - made) / pictures,
    )


def _start(scenario: Scenario, index: int) -> float:
    return scenario.starts[index] if scenario.starts else 0.3 * index


@attrs.define
class _Job:
    began: float = 0.0
    ended: float = 0.0
    latencies: list[tuple[float, float]] = attrs.field(factory=list)


async def _job(server: Server, scenario: Scenario, index: int, count: int) -> _Job:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(_start(scenario, index))
    known = {"cogview-4-250304": scenario.known} if scenario.known else {}
    config = SessionConfig(api_key="any", base_url=server.base_url, known_limits=known)
    job = _Job(began=loop.time())
    requests = (
        ImageRequest(f"{n}", quality="hd" if scenario.hd and n % 2 else "standard")
        for n in range(count)
    )
    async with (
        ImageSession(config) as session,
        BatchRunner(session).run(requests) as batch,
    ):
        async for outcome in batch:
            if isinstance(outcome, Done):
                now = loop.time()
                job.latencies.append((now - outcome.latency, outcome.latency))
    job.ended = max(at + took for at, took in job.latencies)
    return job


def on_virtual_time(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run on a loop whose clock jumps to the next thing due."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(main())


def verdict(scenario: Scenario, runs: Sequence[Measured]) -> list[str]:
    """Name the bars that were missed."""
    mean = statistics.mean
    missed = []
    if mean(r.ratio for r in runs) < scenario.ratio:
        missed.append("ratio")
    if mean(r.refused for r in runs) > scenario.refused:
        missed.append("refused")
    if scenario.within and max(r.last for r in runs) > scenario.within:
        missed.append("within")
    if scenario.p99 and mean(r.p99 for r in runs) > scenario.p99:
        missed.append("p99")
    if scenario.p99 is None and max(r.longest for r in runs) > _longest(scenario):
        missed.append("longest")
    if any(r.lost for r in runs) and not scenario.service.errors:
        missed.append("lost")
    return missed


def _longest(scenario: Scenario) -> float:
    window = scenario.service.windows["hd" if scenario.hd else "standard"]
    return window[1] + 0.5


def main() -> int:
    """Run the scenarios asked for, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short ones, one seed")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--svg", type=Path, help="draw ours beside the usual way here")
    asked = parser.parse_args()
    names = asked.only or list(SCENARIOS)
    if asked.quick:
        names, asked.seeds = ["limit 3", "a sandbox at speed 20, limit 5"], 1
    figures: dict[str, dict[str, float]] = {}
    short = 0
    logging.disable()  # each refusal would be told
    print(
        f"{'scenario':36} {'ratio':>6} {'worst':>6} {'bar':>5} "
        f"{'refused':>8} {'bar':>5}  "
        "seconds: ideal, ours; the usual way: seconds, share, refused, lost"
    )
    for name in names:
        scenario = SCENARIOS[name]
        more = 1 if asked.quick else scenario.seeds
        seeds = range(1000, 1000 + asked.seeds * more)
        runs = [on_virtual_time(functools.partial(run, scenario, s)) for s in seeds]
        # What is claimed is ours; of the others two seeds show enough.
        usual = [
            on_virtual_time(functools.partial(run_usual, scenario, s))
            for s in seeds[:2]
        ]
        missed = verdict(scenario, runs)
        short += bool(missed)
        figures[name] = _figures(runs) | _usual_figures(usual)
        print(_line(name, scenario, figures[name], missed), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
    if asked.svg:
        shown = {
            name: (found["ratio"], found["usual ratio"])
            for name, found in figures.items()
        }
        told = "share of the ideal: zai_images; 32 at once with backoff (it loses some)"
        asked.svg.write_text(pairs(shown, told))
    return 1 if short else 0


def _usual_figures(runs: Sequence[Usual]) -> dict[str, float]:
    mean = statistics.mean
    return {
        "usual ratio": mean(r.ideal / r.makespan for r in runs),
        "usual makespan": mean(r.makespan for r in runs),
        "usual refused per 100": mean(r.refused for r in runs),
        "usual lost %": mean(r.lost for r in runs),
    }


def _figures(runs: Sequence[Measured]) -> dict[str, float]:
    mean = statistics.mean
    return {
        "ratio": mean(r.ratio for r in runs),
        "ideal makespan": mean(r.ideal for r in runs),
        "makespan": mean(r.makespan for r in runs),
        "worst ratio": min(r.ratio for r in runs),
        "refused per 100": mean(r.refused for r in runs),
        "longest": max(r.longest for r in runs),
        "p99": mean(r.p99 for r in runs),
        "last session": max(r.last for r in runs),
        "most in flight": max(r.most for r in runs),
    }


def _line(
    name: str, scenario: Scenario, found: dict[str, float], missed: list[str]
) -> str:
    bar = f"{scenario.ratio:.2f}" if scenario.ratio else "-"
    waste = f"{scenario.refused:.1f}" if scenario.refused < 1e9 else "-"
    more = f"{found['ideal makespan']:6.0f} {found['makespan']:6.0f}; "
    more += f"{found['usual makespan']:6.0f} {found['usual ratio']:5.2f} "
    more += f"{found['usual refused per 100']:5.0f} {found['usual lost %']:4.1f} %"
    more += f"  longest {found['longest']:5.1f} s"
    if scenario.within:
        more += f", last call {found['last session']:.0f} s (bar {scenario.within:g})"
    if scenario.p99:
        more += f", p99 {found['p99']:.1f} s (bar {scenario.p99:g})"
    short = f"  <- {', '.join(missed)}" if missed else ""
    return (
        f"{name:36} {found['ratio']:6.3f} {found['worst ratio']:6.3f} {bar:>5} "
        f"{found['refused per 100']:8.1f} {waste:>5}  {more}{short}"
    )


if __name__ == "__main__":
    sys.exit(main())
