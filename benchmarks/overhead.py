"""
What a call costs the client's CPU, beside what people use today.

    python benchmarks/overhead.py [--quick] [--json FILE] [--svg FILE]

64 callers at once and a server that answers at once, so nothing but the client's own
work is seen. `generate` checks its request, keeps its place, its books and its retry
policy; bare aiohttp does nothing but ask. A picture takes 5-10 s: all of this matters
only to a process with much else to do.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import aiohttp
from _report import Line, options, report
from _server import serving
from _turns import (
    Entry,
    Found,
    Slice,
    add,
    compete,
    medians,
    ratio,
    slices,
    take_turns,
)

from zai_images import ImageSession, SessionConfig

PATH = "/api/paas/v4"
MODEL = "cogview-4-250304"
CALLERS = 64


@asynccontextmanager
async def ours(base: str) -> AsyncIterator[Slice]:
    """`session.generate`, as it is."""
    config = SessionConfig(
        api_key="any", base_url=base + PATH, adaptive=False, max_in_flight=CALLERS
    )
    async with ImageSession(config) as session:

        async def one(number: int) -> str:
            return (await session.generate(f"a cat, number {number}")).url

        yield slices(one, CALLERS)


@asynccontextmanager
async def bare(base: str) -> AsyncIterator[Slice]:
    """What most people write first."""
    places = asyncio.Semaphore(CALLERS)
    headers = {"Authorization": "Bearer any"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def one(number: int) -> str:
            body = {"model": MODEL, "prompt": f"a cat, number {number}"}
            url = base + PATH + "/images/generations"
            async with places, session.post(url, json=body) as response:
                response.raise_for_status()
                url = (await response.json())["data"][0]["url"]
                return str(url)

        yield slices(one, CALLERS)


@asynccontextmanager
async def _openai(base: str, *, over_aiohttp: bool) -> AsyncIterator[Slice]:
    import openai  # noqa: PLC0415 - a peer, perhaps not there

    http = openai.DefaultAioHttpClient() if over_aiohttp else None
    async with openai.AsyncOpenAI(
        api_key="any", base_url=base + PATH, http_client=http
    ) as client:

        async def one(number: int) -> str | None:
            made = await client.images.generate(
                model=MODEL, prompt=f"a cat, number {number}"
            )
            return made.data[0].url

        yield slices(one, CALLERS)


@asynccontextmanager
async def zai_sdk(base: str) -> AsyncIterator[Slice]:
    """The vendor's own client, which has threads alone."""
    from zai import ZaiClient  # noqa: PLC0415 - a peer, perhaps not there

    client = ZaiClient(api_key="any.any", base_url=base + PATH)
    loop = asyncio.get_running_loop()

    def ask(number: int) -> None:
        made = client.images.generations(model=MODEL, prompt=f"a cat, number {number}")
        assert made.data[0].url

    with ThreadPoolExecutor(CALLERS) as pool:

        async def one(number: int) -> None:
            await loop.run_in_executor(pool, ask, number)

        yield slices(one, CALLERS)


CONTENDERS: dict[str, Entry] = {
    "generate": ours,
    "bare aiohttp": bare,
    "AsyncOpenAI": lambda base: _openai(base, over_aiohttp=False),
    "AsyncOpenAI over aiohttp": lambda base: _openai(base, over_aiohttp=True),
    "zai-sdk, 64 threads": zai_sdk,
}
# The slow ones do less in a turn, so that neighbouring turns stay close in time.
CALLS = dict(zip(CONTENDERS, (1500, 1500, 300, 400, 300), strict=True))


def main() -> int:
    """Let the contenders take turns, and print the ratios."""
    parser = options(__doc__)
    parser.add_argument("--starts", type=int, default=7, help="fresh processes")
    parser.add_argument("--rounds", type=int, default=4, help="turns in each")
    parser.add_argument("--contender", choices=CONTENDERS)
    parser.add_argument("--base")
    asked = parser.parse_args()
    if asked.contender:
        return compete(CONTENDERS[asked.contender], asked.base)
    calls = dict.fromkeys(CONTENDERS, 64) if asked.quick else CALLS
    starts, rounds = (1, 1) if asked.quick else (asked.starts, asked.rounds)
    found: Found = {}
    with serving() as base:
        # Where its memory happens to lie makes a process some 5 % quicker or slower.
        for _ in range(starts):
            once, missing = take_turns(__file__, calls, base, rounds)
            add(found, once)

    def times(slower: str, quicker: str) -> float | None:
        return ratio(found, slower, quicker, "CPU us")

    lines = [
        Line(
            claim="CPU of generate / bare aiohttp",
            found=times("generate", "bare aiohttp"),
            most=1.10,
        ),
        Line(
            claim="CPU of AsyncOpenAI / generate",
            found=times("AsyncOpenAI", "generate"),
            least=8,
        ),
        Line(
            claim="CPU of AsyncOpenAI over aiohttp / generate",
            found=times("AsyncOpenAI over aiohttp", "generate"),
        ),
        Line(
            claim="CPU of zai-sdk in 64 threads / generate",
            found=times("zai-sdk, 64 threads", "generate"),
            least=6,
        ),
    ]
    status = report(asked, lines, medians(found), "CPU us per request")
    for sentence in missing:
        print(f"  {sentence}")
    return status


if __name__ == "__main__":
    sys.exit(main())
