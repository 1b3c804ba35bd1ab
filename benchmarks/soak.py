"""
A long run with trouble: is anything lost, and does anything grow?

    python benchmarks/soak.py [--pictures 50000] [--at-once 50] [--faults 0.03]

Every picture is made, fetched, saved and checked, in a batch against a sandbox in a
process of its own; of its requests, one in thirty meets a fault: refusals, server
errors, resets, hangs, half answers, answers without a link, pictures that are missing
or cut off, for a while or for ever.

Then the sandbox's bill is gone through prompt by prompt: each request that was paid for
is a file, or a failure that says it may be or is paid. A hundred times memory and open
files are looked at: memory must not be higher in the last tenth of the run than in the
second one, and files never more than requests and downloads at once, and a few.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs
from _report import Line, options, raise_open_files, report
from _stalls import longest_gap

from zai_images import (
    BatchRunner,
    Done,
    Failed,
    ImageSession,
    RetryPolicy,
    SessionConfig,
    Timeouts,
)
from zai_images.sandbox import Fault, Sandbox

SAMPLES = 100
SPEED = 40.0  # a picture takes 0.125-0.25 s
FAULTS: tuple[dict[str, Any], ...] = (
    {"code": "1302"},
    {"code": "1305"},
    {"code": "1234"},
    {"code": "1301"},
    {"action": "html"},
    {"action": "reset"},
    {"action": "hang"},
    {"action": "truncate"},
    {"action": "empty"},
    {"action": "null_url"},
    {"action": "picture", "status": 500, "body": '{"error":{"code":"1200"}}'},
    {"action": "missing_picture", "fetches": 2},
    {"action": "missing_picture"},
    {"action": "truncated_picture", "fetches": 1},
    {"action": "truncated_picture"},
)


def _prompt(number: int) -> str:
    return f"a cat, number {number}"


def _number(prompt: str) -> int:
    return int(prompt.rpartition(" ")[2])


async def _serve(pictures: int, share: float) -> None:
    """Be the sandbox's process: say the address, and at the end of input the bill."""
    dice = random.Random(0)
    faults = (
        Fault(nth=nth, **dice.choice(FAULTS))
        for nth in range(1, pictures * 11 // 10)
        if dice.random() < share
    )
    async with Sandbox(pictures="plain", speed=SPEED, faults=faults) as sandbox:
        print(sandbox.base_url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        bill = sandbox.bill
        troubled = sum(entry.outcome != "picture" for entry in bill.entries)
        told = {
            "paid": [_number(entry.prompt) for entry in bill.entries],
            "faults": bill.faulted + troubled,
        }
    print(json.dumps(told), flush=True)


@contextmanager
def _sandbox(pictures: int, share: float) -> Iterator[tuple[str, Any]]:
    """Start the sandbox; gives its address, and a way to end it and have its bill."""
    command = [sys.executable, __file__, "--serve"]
    command += ["--pictures", str(pictures), "--faults", str(share)]
    with subprocess.Popen(  # noqa: S603 - itself
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        yield base_url, lambda: json.loads(process.communicate()[0])


@attrs.define
class Watch:
    """Keep what the client did and what it took, in memory that does not grow."""

    pictures: int
    saved: bytearray = attrs.field(
        init=False,
        default=attrs.Factory(lambda self: bytearray(self.pictures), takes_self=True),
    )
    failed: dict[int, str] = attrs.field(factory=dict)
    kinds: Counter[str] = attrs.field(factory=Counter)
    memory: list[float] = attrs.field(factory=list)
    files: list[int] = attrs.field(factory=list)
    outcomes: int = 0

    def look(self) -> None:
        """Take a sample where one is due."""
        self.outcomes += 1
        if self.outcomes % max(1, self.pictures // SAMPLES):
            return
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory.append(pages * os.sysconf("SC_PAGESIZE") / 2**20)
        self.files.append(_open_files())

    async def take(self, outcome: Done | Failed, folder: Path) -> None:
        """Save a picture and look whether it is there, or note a failure."""
        self.look()
        if isinstance(outcome, Failed):
            self.failed[outcome.index] = outcome.billed
            self.kinds[type(outcome.error).__name__] += 1
            return
        assert outcome.picture is not None
        path = await outcome.picture.save(folder / f"{outcome.index}.png")
        whole = path.stat().st_size == len(outcome.picture.data)
        path.unlink()  # seen, and the disk is not what is tested
        self.saved[outcome.index] += whole


def _grown(samples: Sequence[float]) -> float:
    """Tell by how much the last tenth is above the second, each at its highest."""
    tenth = max(1, len(samples) // 10)
    return max(samples[-tenth:]) - max(samples[tenth : 2 * tenth] or samples)


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@asynccontextmanager
async def _session(base_url: str, at_once: int) -> AsyncIterator[ImageSession]:
    config = SessionConfig(
        api_key="sk-sandbox",
        base_url=base_url,
        adaptive=False,
        max_in_flight=at_once,
        max_downloads=at_once,
        timeouts=Timeouts(total=5, download=10),
        retry=RetryPolicy(busy_pause=0.2),
    )
    async with ImageSession(config) as session:
        yield session


def _memory_folder() -> Path | None:
    folder = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    return folder if folder.is_dir() else None


async def _soak(base_url: str, watch: Watch, at_once: int) -> dict[str, float]:
    begun, spent, files = time.perf_counter(), time.process_time(), _open_files()
    ticker = asyncio.create_task(longest_gap())
    prompts = (_prompt(number) for number in range(watch.pictures))
    with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
        async with (
            _session(base_url, at_once) as session,
            BatchRunner(session, download=True).run(prompts) as run,
        ):
            async for outcome in run:
                await watch.take(outcome, Path(folder))
        stats = session.stats()
    ticker.cancel()
    took = time.perf_counter() - begun
    return await ticker | {
        "billed": stats.billed,
        "maybe billed": stats.maybe_billed,
        "tasks left": len(asyncio.all_tasks()) - 1,
        "files left": _open_files() - files,
        "pictures/s": watch.pictures / took,
        "CPU ms each": (time.process_time() - spent) / watch.pictures * 1000,
    }


def _lost(watch: Watch, paid: list[int]) -> int:
    """Count the payments that are neither a file nor a failure that admits them."""
    lost = 0
    for number, times in Counter(paid).items():
        known = watch.saved[number] + (watch.failed.get(number, "no") != "no")
        # A server error is sent once more, so what is a file may be paid twice.
        lost += known == 0 or times > known + 1
    return lost


def _lines(
    watch: Watch, told: dict[str, Any], found: dict[str, float], at_once: int
) -> list[Line]:
    missing = watch.pictures - sum(watch.saved) - len(watch.failed)
    growth = _grown(watch.memory)
    beyond = max(watch.files) - 2 * at_once
    uncounted = len(told["paid"]) - found["billed"] - found["maybe billed"]
    stall = found["longest stall ms"]
    least = watch.pictures * 0.02
    return [
        Line(claim="inputs without a file or a failure", found=missing, most=0),
        Line(claim="paid and lost", found=_lost(watch, told["paid"]), most=0),
        Line(claim="paid and not counted", found=uncounted, most=0),
        Line(claim="requests that met a fault", found=told["faults"], least=least),
        Line(claim=f"MiB more memory, {at_once} in flight", found=growth, most=10),
        Line(claim=f"open files beyond {at_once} + {at_once}", found=beyond, most=20),
        Line(claim="open files left over", found=found["files left"], most=0),
        Line(claim="tasks left over", found=found["tasks left"], most=0),
        Line(claim="longest stall of the loop in ms", found=stall),
    ]


def main() -> int:
    """Run it, go through the bill, and print what was found."""
    parser = options(__doc__)
    parser.add_argument("--pictures", type=int)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--faults", type=float, default=0.03)
    parser.add_argument("--serve", action="store_true")
    asked = parser.parse_args()
    pictures = asked.pictures or (200 if asked.quick else 50_000)
    raise_open_files()
    if asked.serve:
        asyncio.run(_serve(pictures, asked.faults))
        return 0
    watch = Watch(pictures)
    with _sandbox(pictures, asked.faults) as (base_url, end):
        found = asyncio.run(_soak(base_url, watch, asked.at_once))
        told = end()
    lines = _lines(watch, told, found, asked.at_once)
    figures = {
        "the run": found
        | {"memory MiB": max(watch.memory), "most open files": max(watch.files)},
        "its outcomes": {"saved": sum(watch.saved)} | watch.kinds,
        "the bill": {"paid": len(told["paid"]), "faults": told["faults"]},
    }
    status = report(asked, lines, figures, "longest stall ms")
    # What was paid for is not lost in a quick run either.
    return status or int(any(line.holds is False for line in lines[:3]))


if __name__ == "__main__":
    sys.exit(main())
