"""What the tests of jobs look at, and what they ask for."""

from contextlib import asynccontextmanager

from zai_images import SessionConfig
from zai_images.jobs import ImageJob

PROMPTS = ["a fox", "a bear", "a cat"]


def config_of(box, **more):
    """Make the settings for a sandbox; a picture costs a cent."""
    return SessionConfig(
        api_key=box.api_key,
        base_url=box.base_url,
        prices={"cogview-4-250304": 0.01},
        **more,
    )


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
