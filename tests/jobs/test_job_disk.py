"""Durable jobs where the disk does not take what it is given."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from support.jobs import PROMPTS, config_of

from zai_images import (
    ImageSession,
    events,
)
from zai_images.jobs import (
    DEFAULT_NAME,
    DiskError,
    ImageJob,
    JobError,
    State,
)
from zai_images.jobs._names import NameTemplate
from zai_images.jobs._run import JobRun


async def test_a_full_disk_stops_the_sending_and_loses_nothing(
    run, box, folder, session
):
    prompts = [f"cat {n}" for n in range(60)]
    async with ImageJob.open(folder) as job:
        writer = job._store.writer
        await job.take(prompts)

        def fill(connection):
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count={pages + 2}")

        await writer.do(fill)
        report = await job.run(session)

    assert isinstance(report.stopped_by, DiskError)
    assert "run the same command again" in str(report.stopped_by)
    assert box.bill.total < 60
    again = await run(prompts)
    unknown = again.status.unknown
    assert again.status.saved + unknown == 60
    assert unknown <= len(report.unwritten)
    assert box.bill.total == 60


async def test_of_a_full_disk_the_journal_tells_though_a_file_was_earlier(
    session, folder
):
    earlier, journal = OSError(28, "No space left on device"), DiskError("full")
    async with ImageJob.open(folder) as job:
        run = JobRun(
            session=session,
            writer=job._store.writer,
            folder=job._store.folder,
            names=NameTemplate(DEFAULT_NAME),
            observer=None,
            wanted=0,
        )
        told = []
        for error in (earlier, journal, earlier, DiskError("later")):
            run.on_disk_trouble(error)
            told.append(run.stopped_by)

    assert told == [earlier, journal, journal, journal]


async def test_a_file_that_cannot_be_written_keeps_its_link(
    run, box, folder, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device", "x.png")

    with monkeypatch.context() as patch:
        patch.setattr("zai_images.jobs._folder.write_atomically", full)
        report = await run()
    again = await run()

    assert isinstance(report.stopped_by, OSError)
    assert report.status.answered == box.bill.total
    assert again.status.saved == box.bill.total == 3


async def test_a_folder_that_cannot_be_made_is_a_disk_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JobError, match="is a file"):
        async with ImageJob.open(tmp_path / "file"):
            pass
    with pytest.raises(DiskError, match="Nothing was sent"):
        async with ImageJob.open(Path("/proc/nowhere/job")):
            pass


async def test_a_disk_that_has_room_again_is_used_by_the_same_open_job(
    box, session, folder
):
    async with ImageJob.open(folder) as job:
        job._store.folder.store_no_more()
        job._store.folder.free_reserve()
        full = await job.run(session, ["a fox"])
        room = await job.run(session)

    assert full.status.saved == room.status.saved == box.bill.total == 1
    assert (folder / ".reserve").stat().st_size > 0


async def test_a_disk_without_room_for_the_reserve_sends_nothing(box, session, folder):
    async with ImageJob.open(folder) as job:
        await job.take(PROMPTS)
        (folder / ".reserve").unlink()
        (folder / ".reserve").mkdir()
        with pytest.raises(DiskError, match=r"\.reserve.*Nothing was sent"):
            await job.run(session)

    assert box.bill.requests == 0


async def test_a_step_that_the_disk_loses_stops_a_run_though_nobody_waits_for_it(
    session, folder
):
    def lose(connection):
        raise sqlite3.OperationalError("disk I/O error")

    def observe(event):
        job._store.writer.post(lose)

    async with ImageJob.open(folder, observer=observe) as job:
        report = await job.run(session, PROMPTS, limit=1)

    assert isinstance(report.stopped_by, DiskError)


FULL = "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"


@pytest.fixture
async def filled(folder, box):
    """Run a job whose journal takes no answer until one has been read."""

    async def filled(fault=None):
        def observe(event):
            if isinstance(event, events.Answered | events.Refused | events.Failed):
                job._store.writer.post(
                    lambda c: c.execute("DROP TRIGGER IF EXISTS full")
                )

        async with ImageSession(config_of(box), observer=observe) as session:
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
