"""The workers of a batch: memory and pulling follow the places, not the input."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from support.clients import client, plain
from support.processes import unmeasured

from zai_images import (
    BatchRunner,
)

pytestmark = pytest.mark.looptime


BULK = """
import asyncio, resource, sys
from zai_images import BatchRunner, ImageSession
from zai_images.testing import ScriptedTransport

async def main(count):
    transport = ScriptedTransport(record=False)
    async with ImageSession(api_key="any", http=transport) as session:
        async with BatchRunner(session).run(f"fox {n}" for n in range(count)) as run:
            async for _ in run:
                pass
    assert transport.posts == run.summary.done == count

asyncio.run(main(int(sys.argv[1])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak(count: int) -> int:
    """Run that many prompts over an instant transport; tell the peak in bytes."""
    ran = subprocess.run(
        [sys.executable, "-c", BULK, str(count)],
        stdout=subprocess.PIPE,
        env=unmeasured(),
        check=True,
    )
    return int(ran.stdout)


class TestMemory:
    @pytest.mark.timeout(300)  # 100,000 pictures on a busy machine
    def test_memory_follows_the_places_and_not_the_input(self):
        """
        100,000 prompts from a generator raise the peak by less than 20 MB.

        In processes of their own, for a peak cannot be taken back.
        """
        small, large = peak(1_000), peak(100_000)

        assert large - small < 20 * 2**20

    async def test_at_most_one_pulled_item_waits_without_a_place(self):
        pulled = 0

        def prompts() -> Iterator[str]:
            nonlocal pulled
            for _ in range(1000):
                pulled += 1
                yield "a fox"

        async with plain() as sandbox, client(sandbox, max_in_flight=4) as session:
            async with BatchRunner(session).run(prompts()) as run:
                async for _ in run:
                    if run.summary.done == 200:
                        break
                    assert pulled <= run.summary.done + 4 + 1

    async def test_refused_items_go_before_new_ones(self):
        """While one waits to be sent again, nothing more is pulled."""
        pulled = 0

        def prompts() -> Iterator[str]:
            nonlocal pulled
            for _ in range(50):
                pulled += 1
                yield "a fox"

        async with plain(limit=1) as sandbox:
            async with client(sandbox, max_in_flight=5) as session:
                async with BatchRunner(session).run(prompts()) as run:
                    async for _ in run:
                        assert pulled <= run.summary.done + 6
        assert run.summary.done == 50
