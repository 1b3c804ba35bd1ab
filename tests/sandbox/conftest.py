"""A running sandbox, and a client that knows nothing of ours."""

import aiohttp
import pytest

from zai_images.sandbox import Sandbox


@pytest.fixture
async def sandbox():
    async with Sandbox(speed=1000, pictures="plain") as running:
        yield running


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session
