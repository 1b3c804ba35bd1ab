"""A job, the sandbox that it sends to, and its journal."""

import sqlite3

import pytest
from support.jobs import PROMPTS, config_of
from support.journal import Book
from support.keys import KEY

from zai_images import ImageSession
from zai_images.jobs import ImageJob
from zai_images.jobs._journal.schema import connect
from zai_images.sandbox import Sandbox


@pytest.fixture(autouse=True)
def _no_wait_for_fresh_links(monkeypatch):
    monkeypatch.setattr("zai_images._session.retry.FRESH_LINK", 0.0)
    monkeypatch.setattr("zai_images.jobs._refetch._FRESH", 0.0)


@pytest.fixture
async def box():
    async with Sandbox(speed=200, api_key=KEY, pictures="plain") as box:
        yield box


@pytest.fixture
async def session(box):
    async with ImageSession(config_of(box)) as session:
        yield session


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "job"


@pytest.fixture
def run(folder, session):
    """Open the job and run it."""

    async def run(requests=PROMPTS, session=session, *, observer=None, **asked):
        async with ImageJob.open(folder, observer=observer) as job:
            return await job.run(session, requests, **asked)

    return run


@pytest.fixture
def journal(folder):
    """Look into the journal, or change it, with a line of SQL."""

    def journal(statement):
        with sqlite3.connect(folder / "job.sqlite") as connection:
            rows = connection.execute(statement).fetchall()
        connection.close()
        return rows

    return journal


@pytest.fixture
def book(tmp_path):
    connection = connect(tmp_path / "job.sqlite")
    yield Book(connection)
    connection.close()
