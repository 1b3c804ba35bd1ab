"""
A journal of a million items: its status, how soon it is taken up, and what it costs.

    python benchmarks/journal.py [--quick] [--json FILE] [--svg FILE]

- A job of a million items, half of them saved: `status`, and the time and the memory of
  a process from its start to its first request, the prompts unchanged or one added.
- What the journal costs: a job beside a `BatchRunner` whose pictures are saved as
  safely, 50 in flight, in turn. The service answers after 7.5 s, all 50 at once, which
  is the worst moment for a disk.

The service and the pictures are instant stubs, but for that time; the disk is a real
one. Each figure but the last is of a fresh process.
"""

import argparse
import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from _report import Figures, Line, options, report
from _server import picture

from zai_images import BatchRunner, Done, ImageSession, SessionConfig
from zai_images._api.response import ImageResponse, RawResponse
from zai_images._picture.picture import Picture, inspect
from zai_images._session.requester import SessionRequester
from zai_images._session.resources import LoopResources
from zai_images.jobs import ImageJob, PromptFile
from zai_images.testing import Script, ScriptedTransport

IN_FLIGHT = 50
LATENCY = 7.5  # seconds; the documented 5-10 s of a standard picture
PICTURE = inspect(picture(1_500_000))
_SAVED = """
UPDATE items SET state='saved', sends=1, billed=1, cost=0.01 WHERE number <= {0};
INSERT INTO pictures SELECT number,
    printf('pictures/%03d/%06d.png', (number - 1) / 1000, number), 0, '', 0, NULL
    FROM items WHERE number <= {0};
INSERT INTO attempts (id, number, sent, again, price, billed, answered, status, body)
    SELECT number, number, 0, 0, 0.01, 'yes', 0, 200,
    '{{"created":1,"data":[{{"url":"https://example.com/a.png?Signature=' ||
    hex(randomblob(100)) || '"}}]}}'
    FROM items WHERE number <= {0};
"""


class Requester(SessionRequester):
    """A requester that fetches the same picture for every link."""

    async def download(
        self,
        url: str,
        response: ImageResponse | None,
        resources: LoopResources | None = None,
    ) -> Picture:
        """Take the time of a fetch."""
        del url, response, resources
        await asyncio.sleep(0.05)
        return PICTURE


class Session(ImageSession):
    """A session that sends to a stub."""

    _requester_type = Requester

    def __init__(self, transport: "ScriptedTransport") -> None:
        config = SessionConfig(
            api_key="sk-benchmark", max_in_flight=IN_FLIGHT, adaptive=False
        )
        super().__init__(config, http=transport)


class FirstSend(ScriptedTransport):
    """Note when the first request is sent, and end there."""

    stop: Callable[[], None]
    at = 0.0

    async def post(self, body: bytes, *, on_write: Callable[[], None]) -> RawResponse:
        """Ask the job to end, and answer."""
        self.at = self.at or time.time()
        self.stop()
        return await super().post(body, on_write=on_write)


def make(folder: Path, items: int) -> None:
    """Make a job of so many items, half of them saved, with files."""
    prompts = folder / "prompts.txt"
    with prompts.open("w") as file:
        file.writelines(f"picture {n} of a fox in the snow\n" for n in range(items))
    asyncio.run(_take(folder))
    with sqlite3.connect(folder / "job/job.sqlite") as journal:
        journal.executescript(_SAVED.format(items // 2))
    journal.close()
    for number in range(1, items // 2 + 1):
        shard = folder / f"job/pictures/{(number - 1) // 1000:03d}"
        shard.mkdir(exist_ok=True)
        (shard / f"{number:06d}.png").touch()


async def _take(folder: Path) -> None:
    async with ImageJob.open(folder / "job") as job:
        await job.take(PromptFile.find(folder / "prompts.txt"))


async def resume(folder: Path, begun: float) -> Mapping[str, float]:
    """Take the job up until the first request is sent."""
    transport = FirstSend(record=False)
    async with Session(transport) as session, ImageJob.open(folder / "job") as job:
        transport.stop = job.stop
        await job.run(session, PromptFile.find(folder / "prompts.txt"))
    return {"seconds": transport.at - begun, "MB": _peak()}


async def status(folder: Path, begun: float) -> Mapping[str, float]:
    """Count the items by their state."""
    async with ImageJob.open(folder / "job", read_only=True) as job:
        found = await job.status()
    assert found.saved == found.total // 2, found
    return {"seconds": time.time() - begun, "MB": _peak()}


def _peak() -> float:
    """Tell this process's highest memory so far: rusage would begin at its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


ROLES = {"status": status, "resume": resume}


def in_fresh_process(role: str, folder: Path) -> Mapping[str, float]:
    """Play one role in a process of its own, its start included."""
    command = [sys.executable, __file__, "--role", role, "--folder", str(folder)]
    done = subprocess.run(  # noqa: S603 - itself
        [*command, "--begun", str(time.time())],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: Mapping[str, float] = json.loads(done.stdout)
    return found


async def with_journal(folder: Path, count: int) -> float:
    """Make pictures as a job; seconds from the first to the last."""
    async with Session(_slow()) as session, ImageJob.open(folder) as job:
        await job.take(f"picture {n}" for n in range(count))
        begun = time.perf_counter()
        done = await job.run(session)
        assert done.status.saved == count, done
        return time.perf_counter() - begun


async def without(folder: Path, count: int) -> float:
    """Make as many with a runner, each saved, synced and renamed."""
    folder.mkdir()  # noqa: ASYNC240 - nothing else runs yet
    begun = time.perf_counter()
    saves = []
    async with Session(_slow()) as session:
        runner = BatchRunner(session, download=True)
        async with runner.run(f"picture {n}" for n in range(count)) as run:
            async for outcome in run:
                assert isinstance(outcome, Done)
                assert outcome.picture is not None
                path = folder / f"{outcome.index:06d}.png"
                saves.append(asyncio.create_task(outcome.picture.save(path)))
                del outcome
    await asyncio.gather(*saves)
    return time.perf_counter() - begun


def _slow() -> ScriptedTransport:
    return ScriptedTransport([Script(delay=LATENCY)], record=False)


def shares(folder: Path, count: int, rounds: int) -> list[tuple[float, float]]:
    """Let both make pictures in turn; returns their seconds, pair by pair."""
    return [
        (
            asyncio.run(with_journal(folder / f"job {turn}", count)),
            asyncio.run(without(folder / f"batch {turn}", count)),
        )
        for turn in range(rounds)
    ]


def main() -> int:
    """Measure, and print the table."""
    parser = options(__doc__)
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--begun", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.role:
        print(json.dumps(asyncio.run(ROLES[asked.role](asked.folder, asked.begun))))
        return 0
    items, count, rounds = (2_000, 50, 1) if asked.quick else (1_000_000, 500, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begun = time.perf_counter()
        make(folder, items)
        made = time.perf_counter() - begun
        counted = in_fresh_process("status", folder)
        same = in_fresh_process("resume", folder)
        with (folder / "prompts.txt").open("a") as file:
            file.write("one more\n")
        more = in_fresh_process("resume", folder)
        pairs = shares(folder, count, rounds)
    share = median(ours / theirs for ours, theirs in pairs) - 1
    figures: Figures = {
        "status": counted,
        "resumed, the prompts unchanged": same,
        "resumed, one prompt more": more,
        f"{count} pictures as a job": {"seconds": median(a for a, _ in pairs)},
        f"{count} pictures without a journal": {"seconds": median(b for _, b in pairs)},
        "made for this": {"seconds": made, "items": items},
    }
    lines = [
        Line(claim="status, seconds", found=counted["seconds"], most=2.5),
        Line(claim="resume until it sends, seconds", found=same["seconds"], most=10),
        Line(claim="the same, one prompt more, seconds", found=more["seconds"]),
        Line(claim="resume: memory, MB", found=same["MB"], most=200),
        Line(claim="the same, one prompt more, MB", found=more["MB"], most=200),
        Line(claim="the journal's share of the time, %", found=100 * share, most=1),
    ]
    return report(asked, lines, figures, "seconds")


if __name__ == "__main__":
    sys.exit(main())
