"""
How far one process goes: in flight, in bulk, and how soon it has started.

    python benchmarks/scale.py [--quick] [--json FILE] [--svg FILE]

- 10,000 requests in flight, answered after 20 s: memory for each, beside bare aiohttp.
- A `BatchRunner`: its own part (the session's answer is an instant stub), and all of it
  over an instant transport; results streamed, a million prompts against ten thousand.
- `import zai_images` beside the import of what it is built on, in fresh processes.

Memory is the peak of a fresh process for each figure.
"""

import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from _report import Line, options, raise_open_files, report
from _server import serving
from _turns import (
    Entry,
    Found,
    Slice,
    compete,
    in_fresh_processes,
    medians,
    ratio,
    take_turns,
)

from zai_images import BatchRunner, Done, ImageRequest, ImageSession, SessionConfig
from zai_images._api.response import ImageResponse, ImageURL
from zai_images._session.call import Answer
from zai_images.testing import ScriptedTransport

PATH = "/api/paas/v4"
LATENCY = 20.0  # so long that the last is sent well before the first is answered
WAVE = 200
PLACES = 64
IMPORTS = {
    "import zai_images": "from zai_images import *",  # so that every name is loaded
    "import what it needs": "import aiohttp, attrs, cattrs, tenacity",
}
_TIMED = """
import time
begun = time.process_time()
{}
print(time.process_time() - begun)
"""


def _memory() -> float:
    """Tell this process's memory now, in KiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def _peak() -> float:
    """Tell this process's highest memory so far, in KiB (Linux's unit)."""
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _in_flight(ask: Any, before: float) -> Slice:  # noqa: ANN401 - an async callable
    """Make the one slice of a flight: all are in flight before any is answered."""

    async def work(count: int) -> dict[str, float]:
        begun = time.perf_counter()
        calls = []
        for number in range(count):
            calls.append(asyncio.ensure_future(ask(number)))
            if number % WAVE == 0:  # the system's queue of new connections is short
                await asyncio.sleep(0.05)
        sent = time.perf_counter() - begun
        urls = await asyncio.gather(*calls)
        assert all(urls), "a request was not answered"
        return {
            "KiB each": (_peak() - before) / count,
            "answered": len(urls),
            "all sent after s": sent,
            "wall s": time.perf_counter() - begun,
        }

    return work


@asynccontextmanager
async def flight(base: str) -> AsyncIterator[Slice]:
    """As many calls of `generate` as are asked for, all in flight."""
    places = raise_open_files() - 100
    config = SessionConfig(
        api_key="any", base_url=base + PATH, adaptive=False, max_in_flight=places
    )
    async with ImageSession(config) as session:

        async def ask(number: int) -> str:
            return (await session.generate(f"a cat, number {number}")).url

        yield _in_flight(ask, _memory())


@asynccontextmanager
async def bare_flight(base: str) -> AsyncIterator[Slice]:
    """Ask for the same of aiohttp alone."""
    raise_open_files()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(number: int) -> str:
            body = {"model": "cogview-4-250304", "prompt": f"a cat, number {number}"}
            url = base + PATH + "/images/generations"
            async with session.post(url, json=body) as response:
                return str((await response.json())["data"][0]["url"])

        yield _in_flight(ask, _memory())


async def _stream(session: ImageSession, requests: Iterator[Any]) -> dict[str, float]:
    begun, done = time.process_time(), 0
    async with BatchRunner(session).run(requests) as run:
        async for outcome in run:
            assert isinstance(outcome, Done)
            done += 1
    spent = time.process_time() - begun
    return {"us per item": spent / done * 1e6, "peak MiB": _peak() / 1024}


def _session(http: ScriptedTransport) -> ImageSession:
    config = SessionConfig(api_key="any", adaptive=False, max_in_flight=PLACES)
    return ImageSession(config, http=http)


@asynccontextmanager
async def batch(base: str) -> AsyncIterator[Slice]:
    """All of a batch, over a transport that answers at once."""
    del base
    async with _session(ScriptedTransport(record=False)) as session:
        yield lambda count: _stream(session, (f"cat {n}" for n in range(count)))


def _runner(*, turns: int) -> Entry:
    """Measure the runner alone; each answer takes so many turns of the loop."""

    @asynccontextmanager
    async def entry(base: str) -> AsyncIterator[Slice]:
        del base
        request = ImageRequest("a cat")
        url = ImageURL(url="https://example.com/a.png")
        answer = Answer(
            request=request,
            response=ImageResponse(created=1, images=(url,)),
            queued=0.0,
            latency=0.0,
            attempts=1,
            cost=None,
        )

        async def instant(request: ImageRequest, **asked: Any) -> Answer:  # noqa: ANN401 - the session's own
            await asked["ledger"].before_send(request, 1)
            for _ in range(turns):
                await asyncio.sleep(0)
            await asked["ledger"].settled(1, "yes")
            return answer

        async with _session(ScriptedTransport()) as session:
            # All but the runner is replaced.
            session.requester.answer = instant  # type: ignore[method-assign]
            yield lambda count: _stream(session, (request for _ in range(count)))

    return entry


@asynccontextmanager
async def gathered(base: str) -> AsyncIterator[Slice]:
    """The same stub under gather and a semaphore: a task for each item."""
    del base
    places = asyncio.Semaphore(PLACES)

    async def one(number: int) -> int:
        async with places:
            return number

    async def work(count: int) -> dict[str, float]:
        begun = time.process_time()
        await asyncio.gather(*(one(number) for number in range(count)))
        return {"us per item": (time.process_time() - begun) / count * 1e6}

    yield work


CONTENDERS: dict[str, Entry] = {
    "in flight": flight,
    "in flight, bare aiohttp": bare_flight,
    "runner alone": _runner(turns=0),
    "runner alone, one turn each": _runner(turns=1),
    "gather + semaphore alone": gathered,
    "batch": batch,
}


def _flights(count: int, repeats: int) -> tuple[Found, list[Line]]:
    names = dict.fromkeys(("in flight", "in flight, bare aiohttp"), count)
    with serving(LATENCY if count > 1000 else 0.5) as base:
        found = in_fresh_processes(__file__, names, base, repeats)
    each = medians(found)["in flight"]
    return found, [
        Line(
            claim=f"KiB for each of {count} in flight",
            found=each["KiB each"],
            most=22,
        ),
        Line(
            claim="  the same / bare aiohttp",
            found=ratio(found, *names, "KiB each"),
        ),
        Line(
            claim="  answered", found=min(found["in flight"]["answered"]), least=count
        ),
    ]


def _runners(count: int, rounds: int) -> tuple[Found, list[Line]]:
    names = dict.fromkeys((name for name in CONTENDERS if "alone" in name), count)
    found, _ = take_turns(__file__, names, "", rounds)
    alone = medians(found)["runner alone"]["us per item"]
    times = ratio(found, "gather + semaphore alone", "runner alone", "us per item")
    return found, [
        Line(claim="us per item of the runner alone", found=alone, most=5),
        Line(claim="  gather + semaphore / the same", found=times),
    ]


def _batches(few: int, many: int) -> tuple[Found, list[Line]]:
    found: Found = {}
    for count in (few, many):
        once = in_fresh_processes(__file__, {"batch": count}, "", 1)
        found[f"batch of {count}"] = once["batch"]
    small, large = medians(found).values()
    return found, [
        Line(
            claim=f"peak MiB that {many} prompts take above {few}",
            found=large["peak MiB"] - small["peak MiB"],
            most=5,
        )
    ]


def _imports(repeats: int) -> tuple[Found, list[Line]]:
    found: Found = {name: {"CPU ms": []} for name in IMPORTS}
    for turn in range(repeats + 1):
        for name, statement in IMPORTS.items():
            told = subprocess.run(  # noqa: S603 - this interpreter
                [sys.executable, "-c", _TIMED.format(statement)],
                capture_output=True,
                check=True,
            )
            if turn:  # the first round may compile
                found[name]["CPU ms"].append(float(told.stdout) * 1000)
    times = ratio(found, *IMPORTS, "CPU ms")
    claim = "import zai_images / aiohttp, attrs, cattrs, tenacity"
    return found, [Line(claim=claim, found=times, most=1.35)]


def main() -> int:
    """Measure each part, and print the claims."""
    parser = options(__doc__)
    parser.add_argument("--contender", choices=CONTENDERS)
    parser.add_argument("--base")
    asked = parser.parse_args()
    if asked.contender:
        return compete(CONTENDERS[asked.contender], asked.base)
    parts = (
        (_flights(50, 1), _runners(500, 1), _batches(100, 1000), _imports(1))
        if asked.quick
        else (
            _flights(10_000, 3),
            _runners(50_000, 7),
            _batches(10_000, 1_000_000),
            _imports(15),
        )
    )
    lines = [line for _, part in parts for line in part]
    figures: dict[str, dict[str, float]] = {}
    for found, _ in parts:
        figures |= medians(found)
    return report(asked, lines, figures, "KiB each, us per item, CPU ms")


if __name__ == "__main__":
    sys.exit(main())
