"""Durable jobs where the disk does not take what it is given."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from support.jobs import PROMPTS, config_of, files

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
from zai_images.jobs._journal.steps import Attempt, Settled
from zai_images.jobs._names import NameTemplate
from zai_images.jobs._overflow import Overflow
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
            store=job._store,
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
    def full(*_, **__):
        raise OSError(28, "No space left on device", "x.png")

    with monkeypatch.context() as patch:
        patch.setattr("zai_images.jobs._folder.write_new", full)
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


@pytest.fixture
def hold(folder):
    """Hold the journal from an event on, as another program would, to the end."""
    held = []

    def hold(kind, *, job=None):
        def observe(event):
            if isinstance(event, kind) and not held:
                held.append(
                    sqlite3.connect(folder / "job.sqlite", isolation_level=None)
                )
                held[0].execute("BEGIN IMMEDIATE")

        return observe

    hold.go = lambda: held.pop().close()
    yield hold
    for connection in held:
        connection.close()


@pytest.mark.parametrize("kind", [events.Sent, events.Answered, events.Downloaded])
async def test_pictures_in_hand_become_files_though_the_journal_takes_nothing(
    kind, hold, folder, box, run
):
    async with ImageSession(config_of(box), observer=hold(kind)) as session:
        async with ImageJob.open(folder) as job:
            await job._store.do(lambda c: c.execute("PRAGMA busy_timeout=0").fetchall())
            report = await job.run(session, PROMPTS)
    made = len(files(folder))
    paid = box.bill.total
    told = report.status
    hold.go()
    after = await run()

    assert isinstance(report.stopped_by, DiskError)
    assert report.unwritten == ()
    assert made == paid == report.moved[State.SAVED]
    assert told.total == 3  # reading waits for nobody
    assert (after.status.saved, after.status.billed) == (3, 3)
    assert box.bill.total == 3
    assert len(files(folder)) == 3


async def test_an_answer_without_a_picture_is_found_by_the_next_run_too(
    hold, folder, box, run
):
    for prompt, action in zip(
        PROMPTS, ("missing_picture", "reset", "null_url"), strict=True
    ):
        box.next(prompt=prompt, action=action, billed=True)
    async with ImageSession(config_of(box), observer=hold(events.Sent)) as session:
        async with ImageJob.open(folder) as job:
            await job._store.do(lambda c: c.execute("PRAGMA busy_timeout=0").fetchall())
            await job.run(session, PROMPTS)
    hold.go()
    box.clear_faults()
    sent = len(box.bill.entries)
    after = await run()

    status = after.status
    assert (status.total, status.failed, status.refused) == (3, 0, 0)
    assert status.billed + status.maybe_billed >= box.bill.total
    assert len(box.bill.entries) - sent == len(set(PROMPTS)) - sent


async def test_links_that_no_disk_takes_are_told_in_full(
    hold, folder, box, run, monkeypatch
):
    monkeypatch.setattr("zai_images.jobs._overflow._appended", lambda *_: False)
    box.next(prompt="a fox", action="missing_picture")
    async with ImageSession(config_of(box), observer=hold(events.Sent)) as session:
        async with ImageJob.open(folder) as job:
            await job._store.do(lambda c: c.execute("PRAGMA busy_timeout=0").fetchall())
            report = await job.run(session, ["a fox"])

    ((number, url),) = [(one.number, one.url) for one in report.unwritten]
    assert number == 1
    assert url.startswith("http")


async def test_the_report_comes_even_where_the_journal_cannot_be_read_any_more(
    folder, session
):
    def fail(event):
        job._store.read = unreadable

    async def unreadable(_):
        raise DiskError("the journal is gone")

    async with ImageJob.open(folder, observer=fail) as job:
        report = await job.run(session, ["a fox"])

    assert report.moved == {State.SAVED: 1}
    assert report.status.total == 0  # not known


@pytest.mark.parametrize("name", ["sync_folder", "JobFolder.sync", "write_new"])
async def test_a_disk_that_takes_no_name_of_the_journal_is_a_disk_error(
    name, folder, monkeypatch, session
):
    def refuse(*_, **__):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(f"zai_images.jobs._folder.{name}", refuse)
        if name == "write_new":
            async with ImageJob.open(folder) as job:
                report = await job.run(session, ["a fox"])
            assert isinstance(report.stopped_by, OSError)
            return
        with pytest.raises(DiskError, match="Input/output error"):
            async with ImageJob.open(folder):
                pass


async def test_where_there_is_no_home_the_terminal_is_the_second_place(monkeypatch):
    def homeless():
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr("pathlib.Path.home", homeless)
    overflow = Overflow(Path("/proc/nowhere"), "name", lambda: True)

    assert not overflow.add(Settled(attempt=Attempt(id=1, number=1), billed="no"))


async def test_where_the_names_cannot_be_read_a_picture_takes_one_of_its_own(
    run, folder, monkeypatch
):
    def unreadable(*_):
        def step(_):
            raise sqlite3.OperationalError("disk I/O error")

        return step

    monkeypatch.setattr("zai_images.jobs._results.is_path_used", unreadable)
    report = await run()

    assert report.status.saved == 3
    assert next(name.count("-1-") for name in files(folder)) == 1


async def test_a_refusal_that_cannot_be_noted_is_told_all_the_same(hold, folder, box):
    box.fail("a fox", code="1210")
    heard = []
    async with ImageSession(config_of(box), observer=hold(events.Failed)) as session:
        async with ImageJob.open(folder, observer=heard.append) as job:
            await job._store.do(lambda c: c.execute("PRAGMA busy_timeout=0").fetchall())
            report = await job.run(session, ["a fox"])

    assert isinstance(report.stopped_by, DiskError)
    assert [event.state for event in heard] == [State.FAILED]


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
