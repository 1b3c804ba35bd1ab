"""
What fetching pictures to files costs, and whether the event loop stays awake.

    python benchmarks/downloads.py [--quick] [--json FILE] [--svg FILE]

`session.download` and `picture.save`, beside the usual careful recipe (aiohttp, parts
of 64 KiB, each written in a thread) and httpx in the same way. All three write to a
temporary name, sync and rename in a thread; ours alone checks the picture, the address
and the length, and syncs the folder too. 32 at once, files in memory (/dev/shm).

Then 50 pictures of 5 MB, as many at once as a session fetches by default (8), while a
ticker looks for the longest time in which the event loop did nothing else.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
from _report import Line, options, report
from _server import serving
from _stalls import longest_gap
from _turns import Entry, Found, Slice, compete, drive, medians, ratio, take_turns

from zai_images import ImageSession, SessionConfig

PART = 64 * 1024
AT_ONCE = 32
SMALL, LARGE = 200_000, 5_000_000

Fetch = Callable[[str, Path], Awaitable[object]]


def _save(part: Path, target: Path) -> None:
    """Sync and rename: what makes a file whole or absent."""
    descriptor = os.open(part, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.replace(target)


async def _write(parts: AsyncIterator[bytes], target: Path) -> None:
    """Write parts as they come, each in a thread, as the asyncio guides advise."""
    part = target.with_suffix(".part")
    with await asyncio.to_thread(part.open, "wb") as file:
        async for chunk in parts:
            await asyncio.to_thread(file.write, chunk)
        await asyncio.to_thread(file.flush)
    await asyncio.to_thread(_save, part, target)


@asynccontextmanager
async def _ours(base: str, at_once: int) -> AsyncIterator[Fetch]:
    config = SessionConfig(
        api_key="any", base_url=f"{base}/api/paas/v4", max_downloads=at_once
    )
    async with ImageSession(config) as session:

        async def fetch(url: str, target: Path) -> None:
            await (await session.download(url)).save(target)

        yield fetch


@asynccontextmanager
async def _recipe(base: str, at_once: int) -> AsyncIterator[Fetch]:
    del base
    places = asyncio.Semaphore(at_once)
    async with aiohttp.ClientSession() as session:

        async def fetch(url: str, target: Path) -> None:
            async with places, session.get(url) as response:
                response.raise_for_status()
                await _write(response.content.iter_chunked(PART), target)

        yield fetch


@asynccontextmanager
async def _httpx(base: str, at_once: int) -> AsyncIterator[Fetch]:
    import httpx  # noqa: PLC0415 - a peer, perhaps not there

    del base
    places = asyncio.Semaphore(at_once)
    async with httpx.AsyncClient() as client:

        async def fetch(url: str, target: Path) -> None:
            async with places, client.stream("GET", url) as response:
                response.raise_for_status()
                await _write(response.aiter_bytes(PART), target)

        yield fetch


WAYS = {"download + save": _ours, "careful recipe": _recipe, "httpx stream": _httpx}


@contextmanager
def _folder(count: int) -> Iterator[Path]:
    """Make a folder in memory; at the end it must hold so many whole files."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    place = memory if memory.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        yield Path(name)
        sizes = [file.stat().st_size for file in Path(name).iterdir()]
        assert len(sizes) == count, "a picture is missing"
        assert len(set(sizes)) == 1, "the files differ, so a picture was cut off"


def _contender(way: str) -> Entry:
    @asynccontextmanager
    async def entry(base: str) -> AsyncIterator[Slice]:
        usual = SessionConfig(api_key="any").max_downloads
        async with WAYS[way](base, AT_ONCE) as fetch, WAYS[way](base, usual) as calm:

            async def work(count: int) -> dict[str, float]:
                small, large = f"{base}/pictures/{SMALL}", f"{base}/pictures/{LARGE}"
                return {
                    "200 KB, MB per CPU s": await _throughput(fetch, small, 6 * count),
                    "5 MB, MB per CPU s": await _throughput(fetch, large, count),
                } | await _stalls(calm, large, count * 50 // 32)

            yield work

    return entry


async def _throughput(fetch: Fetch, url: str, count: int) -> float:
    """Fetch so many, 32 at once; returns MB per second of CPU, threads included."""
    with _folder(count) as folder:

        async def one(number: int) -> None:
            await fetch(url, folder / f"{number}.png")

        begun = time.process_time()
        await drive(one, count, AT_ONCE)
        spent = time.process_time() - begun
        return sum(file.stat().st_size for file in folder.iterdir()) / 1e6 / spent


async def _stalls(fetch: Fetch, url: str, count: int) -> dict[str, float]:
    """Fetch so many, all asked for at once, and find the loop's longest stalls."""
    with _folder(count) as folder:
        ticker = asyncio.create_task(longest_gap())
        await asyncio.sleep(0.02)
        fetches = (fetch(url, folder / f"{number}.png") for number in range(count))
        await asyncio.gather(*fetches)
        ticker.cancel()
        return await ticker


CONTENDERS = {way: _contender(way) for way in WAYS}
OURS = "download + save"


def _lines(found: Found) -> list[Line]:
    lines = [
        Line(
            claim=f"{what}: {OURS} / {theirs}",
            found=ratio(found, OURS, theirs, what),
            least=least,
        )
        for theirs, least in (("careful recipe", 1.25), ("httpx stream", None))
        for what in ("200 KB, MB per CPU s", "5 MB, MB per CPU s")
    ]
    longest = medians(found)[OURS]["longest stall ms"]
    claim = "longest stall of the loop in ms, 50 pictures of 5 MB"
    return [*lines, Line(claim=claim, found=longest, most=20)]


def main() -> int:
    """Let the contenders take turns, and print the ratios."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--contender", choices=CONTENDERS)
    parser.add_argument("--base")
    asked = parser.parse_args()
    if asked.contender:
        return compete(CONTENDERS[asked.contender], asked.base)
    counts = dict.fromkeys(CONTENDERS, 2 if asked.quick else 32)
    rounds = 1 if asked.quick else asked.rounds
    with serving() as base:
        found, missing = take_turns(__file__, counts, base, rounds)
    status = report(asked, _lines(found), medians(found), "MB per CPU second")
    for sentence in missing:
        print(f"  {sentence}")
    return status


if __name__ == "__main__":
    sys.exit(main())
