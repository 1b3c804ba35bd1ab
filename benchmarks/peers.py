"""
Ours beside other clients at a hidden limit of 8 places.

    python benchmarks/peers.py [--quick] [--seeds 5] [--json FILE] [--svg FILE]

Real clients over real sockets, on virtual time: the service of `service.py` takes
5-10 s for a picture, and refuses what is over its limit with a 429. Told nothing is
ours alone; others are given 32 at once, or the limit itself.

The makespan is compared with that of a client that knows the limit, for the pictures
that were made: read it together with what was lost.
"""

import asyncio
import functools
import logging
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from statistics import mean
from typing import Any

import aiohttp
import looptime
import tenacity
from _report import Line, options, report
from service import Server, Service, ideal

from zai_images import BatchRunner, Done, ImageSession, SessionConfig

MODEL = "cogview-4-250304"
LIMIT = 8
GREEDY = 32
Run = Callable[[int], Awaitable[int]]


@asynccontextmanager
async def ours(base_url: str) -> AsyncIterator[Run]:
    """A `BatchRunner` with every setting left alone."""
    async with ImageSession(SessionConfig(api_key="any", base_url=base_url)) as session:

        async def run(count: int) -> int:
            prompts = (f"a cat, number {number}" for number in range(count))
            outcomes = await BatchRunner(session).run(prompts)
            return sum(isinstance(outcome, Done) for outcome in outcomes)

        yield run


@asynccontextmanager
async def openai_client(
    base_url: str, *, at_once: int, retries: int = 2
) -> AsyncIterator[Run]:
    """`AsyncOpenAI` under a semaphore; 2 retries are its default."""
    import openai  # noqa: PLC0415 - a peer, perhaps not there

    places = asyncio.Semaphore(at_once)
    async with openai.AsyncOpenAI(
        api_key="any", base_url=base_url, max_retries=retries
    ) as client:

        async def one(number: int) -> bool:
            try:
                async with places:
                    await client.images.generate(
                        model=MODEL, prompt=f"a cat, number {number}"
                    )
            except openai.APIError:
                return False
            return True

        yield functools.partial(_gathered, one)


@asynccontextmanager
async def with_tenacity(
    base_url: str, *, at_once: int, hd: bool = False
) -> AsyncIterator[Run]:
    """Bare aiohttp with the retries of tenacity's guide; `hd` asks it for half."""
    places = asyncio.Semaphore(at_once)
    retrying = tenacity.retry(
        stop=tenacity.stop_after_attempt(10),
        wait=tenacity.wait_random_exponential(multiplier=1, max=60),
        retry=tenacity.retry_if_exception_type(aiohttp.ClientError),
        reraise=True,
    )
    async with aiohttp.ClientSession() as session:

        @retrying
        async def ask(number: int) -> None:
            quality = "hd" if hd and number % 2 else "standard"
            body = {"model": MODEL, "prompt": f"a cat, {number}", "quality": quality}
            url = f"{base_url}/images/generations"
            async with session.post(url, json=body) as response:
                response.raise_for_status()
                await response.json(content_type=None)

        async def one(number: int) -> bool:
            try:
                async with places:
                    await ask(number)
            except aiohttp.ClientError:
                return False
            return True

        yield functools.partial(_gathered, one)


async def _gathered(one: Callable[[int], Awaitable[bool]], count: int) -> int:
    return sum(await asyncio.gather(*(one(number) for number in range(count))))


Entry = Callable[[str], AbstractAsyncContextManager[Run]]
OURS = "zai_images, told nothing"
CLIENTS: dict[str, Entry] = {
    OURS: ours,
    "AsyncOpenAI, 32 at once": functools.partial(openai_client, at_once=GREEDY),
    "AsyncOpenAI, 32 at once, 10 retries": functools.partial(
        openai_client, at_once=GREEDY, retries=10
    ),
    "AsyncOpenAI, told: 8 at once": functools.partial(openai_client, at_once=LIMIT),
    "aiohttp + tenacity (10), 32 at once": functools.partial(
        with_tenacity, at_once=GREEDY
    ),
}


async def measure(client: Entry, count: int, seed: int) -> dict[str, float]:
    """Have one client make so many pictures, once."""
    random.seed(seed)
    loop = asyncio.get_running_loop()
    service = Service(limit=LIMIT)
    async with Server(service, seed) as server, client(server.base_url) as run:
        begun = loop.time()
        made = await run(count)
        makespan = loop.time() - begun
    record = server.record
    return {
        "makespan / ideal": makespan / ideal(record.times, service),
        "refused per 100": 100 * record.refused / count,
        "lost %": 100 * (count - made) / count,
    }


def on_virtual_time(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:  # noqa: ANN401 - what main returns
    """Run on a loop whose clock jumps to the next thing due."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(main())


def main() -> int:
    """Run every client at every seed, and print a line each."""
    parser = options(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    logging.disable()  # each refusal would be told
    seeds = range(1, 2) if asked.quick else range(1000, 1000 + asked.seeds)
    count = 20 if asked.quick else 300
    figures: dict[str, dict[str, float]] = {}
    missing = []
    for name, client in CLIENTS.items():
        try:
            runs = [
                on_virtual_time(functools.partial(measure, client, count, seed))
                for seed in seeds
            ]
        except ImportError as error:
            missing.append(f"{name}: {error.name} is not installed")
        else:
            figures[name] = {what: mean(run[what] for run in runs) for what in runs[0]}
    status = report(asked, _lines(figures), figures, "makespan / ideal")
    for sentence in missing:
        print(f"  {sentence}")
    return status


def _lines(figures: dict[str, dict[str, float]]) -> list[Line]:
    bars = {"lost %": 0.0, "makespan / ideal": 1.03, "refused per 100": 4.0}
    return [
        Line(
            claim=f"{what}: {name}",
            found=figures.get(name, {}).get(what),
            most=most if name == OURS else None,
        )
        for what, most in bars.items()
        for name in CLIENTS
    ]


if __name__ == "__main__":
    sys.exit(main())
