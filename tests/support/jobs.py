"""What the tests of jobs look at, and what they ask for."""

import time
from contextlib import asynccontextmanager

from zai_images import SessionConfig
from zai_images._api.response import RawResponse
from zai_images.jobs import ImageJob
from zai_images.jobs._journal.steps import Attempt, Received, Settled, intend, record

PROMPTS = ["a fox", "a bear", "a cat"]


def config_of(box, **more):
    """Make the settings for a sandbox; a picture costs a cent."""
    return SessionConfig(
        api_key=box.api_key,
        base_url=box.base_url,
        prices={"cogview-4-250304": 0.01},
        **more,
    )


async def left_behind(job, number, *ends, again=False):
    """
    Leave an item as a killed process would, in the journal of an open job.

    Each end is of an attempt: the status and the body of its answer, "maybe" for an
    answer that was lost, or None where the process died first.
    """
    for end in ends:
        attempt = Attempt(
            id=next(job._store.ownership.attempts),
            number=number,
            price=0.01,
            again=again,
        )
        await job._store.do(intend(attempt))
        if isinstance(end, tuple):
            raw = RawResponse(status=end[0], body=end[1])
            fact = Received(attempt=attempt, raw=raw, at=time.time())
            await job._store.do(record(fact))
        elif end is not None:
            await job._store.do(record(Settled(attempt=attempt, billed=end)))


@asynccontextmanager
async def looking(folder):
    """Look into a job beside whoever runs it."""
    async with ImageJob.open(folder, read_only=True) as job:
        yield job


async def records(folder):
    """Read all that the journal of a job knows."""
    async with looking(folder) as job:
        return [record async for record in job.records()]


def files(folder):
    """List the names of the pictures of a job."""
    return sorted(path.name for path in folder.rglob("*.png"))
