"""Durable jobs where the disk, the folder or the caller is at odds with them."""

import contextlib
import shutil
import sqlite3

import pytest
from support.keys import KEY

from zai_images import (
    ImageRequest,
    ImageSession,
    InvalidRequestError,
    SessionConfig,
    events,
)
from zai_images.jobs import DiskError, ImageJob, JobError, State
from zai_images.jobs._write_ahead import JournaledRequester
from zai_images.sandbox import Sandbox

PROMPTS = ["a fox", "a bear", "a cat"]


@pytest.fixture(autouse=True)
def _no_wait_for_fresh_links(monkeypatch):
    monkeypatch.setattr("zai_images._session.retry.FRESH_LINK", 0.0)
    monkeypatch.setattr("zai_images.jobs._refetch._FRESH", 0.0)


@pytest.fixture
async def box():
    async with Sandbox(speed=200, api_key=KEY, pictures="plain") as box:
        yield box


@pytest.fixture
def config(box):
    return SessionConfig(api_key=box.api_key, base_url=box.base_url, max_downloads=1)


@pytest.fixture
async def session(config):
    async with ImageSession(config) as session:
        yield session


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "job"


@pytest.fixture
def run(folder, session):
    async def run(requests=PROMPTS, *, observer=None):
        async with ImageJob.open(folder, observer=observer) as job:
            return await job.run(session, requests)

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


async def test_pictures_are_counted_from_one(folder):
    async with ImageJob.open(folder) as job:
        with pytest.raises(InvalidRequestError, match="repeat: cannot be 0"):
            await job.take(PROMPTS, repeat=0)


async def test_a_job_that_is_stopped_before_it_runs_sends_nothing(folder, session, box):
    async with ImageJob.open(folder) as job:
        job.stop()
        first = await job.run(session, PROMPTS)
        second = await job.run(session, PROMPTS)

    assert (first.status.pending, first.moved) == (3, {})
    assert second.status.saved == box.bill.total == 3


async def test_a_job_that_is_looked_at_is_not_run(run, folder, session, box):
    await run()
    async with ImageJob.open(folder, read_only=True) as job:
        with pytest.raises(JobError, match="not open to be run"):
            await job.run(session)

    assert box.bill.total == 3


async def test_leaving_a_job_twice_is_leaving_it_once(folder):
    job = ImageJob.open(folder)
    async with job:
        await job.take(PROMPTS)
    await job.__aexit__(None, None, None)

    async with job:
        assert (await job.status()).pending == 3


async def test_a_request_without_its_number_is_not_sent(session, box):
    ahead = JournaledRequester(session, None, None)

    with pytest.raises(JobError, match="the number of its item"):
        await ahead._answer(ImageRequest("a fox", id="x"), ledger=None)
    assert box.requests == 0


async def test_a_whole_shard_that_is_gone_is_fetched_again(run, folder, box):
    await run()
    shutil.rmtree(folder / "pictures/000")

    assert (await run()).moved == {State.SAVED: 3}
    assert box.bill.total == 3


async def test_a_shard_that_cannot_be_read_is_a_damage_of_each_file(run, folder):
    await run()
    shutil.rmtree(folder / "pictures/000")
    (folder / "pictures/000").touch()

    async with ImageJob.open(folder, read_only=True) as job:
        reasons = [damage.reason async for damage in job.verify()]
    assert reasons == ["cannot be read: Not a directory"] * 3


async def test_a_kept_answer_that_nobody_can_read_any_more_is_dead(run, box, journal):
    box.next(prompt="a bear", action="missing_picture")
    await run()
    journal("UPDATE answers SET body=CAST('<html>' AS BLOB) WHERE number=2")

    heard = []
    report = await run(observer=heard.append)

    assert report.status.dead_links == report.status.answered == 1
    assert [str(event.error) for event in heard] == [
        "its answer cannot be read any more"
    ]
    assert box.bill.total == 3


async def test_stopping_ends_the_fetching_of_kept_links_as_well(
    folder, session, box, run
):
    for prompt in PROMPTS:
        box.next(prompt=prompt, action="missing_picture", fetches=1)
    assert (await run()).status.answered == 3

    def stop(event):
        job.stop()

    async with ImageJob.open(folder, observer=stop) as job:
        report = await job.run(session)  # one download at a time

    assert (report.status.saved, report.status.answered) == (1, 2)
    assert (await run()).status.saved == box.bill.total == 3


# A disk that does not take what it is given, as SQLite tells it.

FULL = "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"


@pytest.fixture
async def filled(folder, config):
    """Run a job whose journal takes no answer until one has been read."""

    async def filled(fault=None):
        def observe(event):
            if isinstance(event, events.Answered | events.Refused | events.Failed):
                job._store.writer.post(
                    lambda c: c.execute("DROP TRIGGER IF EXISTS full")
                )

        async with ImageSession(config, observer=observe) as session:
            async with ImageJob.open(folder) as job:
                await job.take(["a fox"])
                await job._store.do(
                    lambda c: c.execute(
                        f"CREATE TRIGGER full BEFORE INSERT ON answers {FULL}"
                    )
                )
                return await job.run(session)

    return filled


async def test_an_answer_the_disk_did_not_take_is_recorded_with_its_file(
    filled, journal, box
):
    report = await filled()

    assert isinstance(report.stopped_by, DiskError)
    assert report.unwritten == ()
    assert report.status.saved == box.bill.total == 1
    ((body,),) = journal("SELECT body FROM answers")
    assert b'"url"' in body


async def test_or_at_the_end_of_the_run_where_there_is_no_file(filled, run, box):
    box.next(action="missing_picture", fetches=1)
    report = await filled()

    assert isinstance(report.stopped_by, DiskError)
    assert (report.unwritten, report.status.answered) == ((), 1)
    assert (await run(["a fox"])).status.saved == box.bill.total == 1


async def test_a_refusal_the_disk_did_not_take_is_no_paid_picture(filled, journal, box):
    box.next(code="1301")
    report = await filled()

    assert isinstance(report.stopped_by, DiskError)
    assert report.unwritten == ()
    assert journal("SELECT number FROM answers") == []
    assert box.bill.total == 0


async def test_an_answer_that_may_be_paid_is_recorded_even_if_nobody_can_read_it(
    filled, journal, box
):
    box.next(action="null_url")
    report = await filled()

    assert isinstance(report.stopped_by, DiskError)
    assert journal("SELECT number FROM answers") == [(1,)]
    assert box.bill.total == 1


async def test_a_journal_that_does_not_take_a_loss_stops_the_run(
    run, folder, box, journal
):
    await run()
    next(folder.rglob("*.png")).unlink()
    journal(f"CREATE TRIGGER full BEFORE DELETE ON pictures {FULL}")

    report = await run()
    assert isinstance(report.stopped_by, DiskError)
    assert report.moved == {}

    journal("DROP TRIGGER full")
    assert (await run()).moved == {State.SAVED: 1}
    assert box.bill.total == 3


async def test_the_report_comes_even_where_the_journal_cannot_be_read_any_more(
    folder, session
):
    """Another program holds on to it for longer than anybody waits."""
    other = sqlite3.connect(folder.parent / "other", isolation_level=None)

    def hold(event):
        nonlocal other
        other.close()
        other = sqlite3.connect(folder / "job.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

    async with ImageJob.open(folder, observer=hold) as job:
        await job._store.do(lambda c: c.execute("PRAGMA busy_timeout=0").fetchall())
        report = await job.run(session, ["a fox"])
    other.close()

    assert report.moved == {State.SAVED: 1}
    assert report.status.total == 0  # not known


async def test_a_step_lost_while_nothing_runs_is_not_the_next_runs(folder, session):
    def fail(connection):
        raise sqlite3.OperationalError("disk I/O error")

    async with ImageJob.open(folder) as job:
        job._store.writer.post(fail)
        with contextlib.suppress(DiskError):  # they may have been in one commit
            await job.status()
        await job.take(PROMPTS)
        report = await job.run(session)

    assert (report.stopped_by, report.status.saved) == (None, 3)


async def test_a_journal_that_cannot_be_opened_is_a_disk_error(folder):
    (folder / "job.sqlite").mkdir(parents=True)

    with pytest.raises(DiskError, match=r"job\.sqlite: .*Nothing was sent"):
        async with ImageJob.open(folder, read_only=True):
            pass


async def test_a_journal_of_somebody_else_is_used_where_he_lets_us(
    run, folder, monkeypatch
):
    await run()

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.fchmod", refuse)  # root could, and there is no other user

    assert (await run()).status.saved == 3
