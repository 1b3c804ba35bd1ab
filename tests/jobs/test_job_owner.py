"""Whose job it is, where locks cannot be trusted."""

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import attrs
import pytest
from support.jobs import PROMPTS, config_of, files, looking

from zai_images import ImageSession, events
from zai_images.jobs import ImageJob, JobError
from zai_images.jobs._journal import owner
from zai_images.jobs._journal.owner import Process


@pytest.fixture
def no_locks(monkeypatch):
    """Let the disk have no locks, as some network disks."""

    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)


@pytest.fixture
def held_by(folder, journal):
    """Let the journal be some other process's, in the middle of its run."""

    def held_by(*, age=0.0, **changes):
        other = attrs.evolve(Process.current(), **changes)
        row = attrs.asdict(other) | {"at": time.time() - age}
        value = json.dumps(row)
        journal(f"INSERT OR REPLACE INTO job VALUES ('owner', '{value}')")  # noqa: S608 - our own

    return held_by


@pytest.fixture
def sleeper():
    """Be another process of this machine, which does nothing."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as process:
        yield process
        process.kill()


async def opened(folder):
    async with ImageJob.open(folder):
        pass


async def test_a_disk_without_locks_is_told_and_kept_to_one_run_all_the_same(
    no_locks, folder, caplog
):
    async with ImageJob.open(folder):
        assert "cannot be locked" in caplog.text
        with pytest.raises(
            JobError, match=rf"in use by process {os.getpid()} on .*s a"
        ):
            await opened(folder)
    await opened(folder)


async def test_removing_the_lock_lets_nobody_in(folder):
    async with ImageJob.open(folder):
        (folder / ".lock").unlink()
        with pytest.raises(JobError, match=r"in use by process.*Nothing was sent"):
            await opened(folder)


async def test_a_process_that_lives_keeps_its_job_however_long_it_was_silent(
    run, folder, held_by, sleeper
):
    """It may have been stopped, and would go on sending when it goes on."""
    await run()
    started = owner._started(sleeper.pid)
    held_by(pid=sleeper.pid, started=started, age=9999)
    with pytest.raises(JobError, match=f"process {sleeper.pid}"):
        await opened(folder)

    held_by(pid=sleeper.pid, started="another start", age=0)
    await opened(folder)


@pytest.mark.parametrize("reaped", [True, False])
async def test_of_a_process_that_died_here_the_row_is_stale_at_once(
    run, folder, held_by, sleeper, reaped
):
    await run()
    pid, started = sleeper.pid, owner._started(sleeper.pid)
    sleeper.kill()
    if reaped:
        sleeper.wait()
    while owner._started(pid):
        await asyncio.sleep(0)
    held_by(pid=pid, started=started)

    await opened(folder)


async def test_a_number_that_we_have_ourselves_is_no_other_process(
    run, folder, held_by
):
    """As in a container, where every program is process 1."""
    await run()
    held_by(started="long ago")

    await opened(folder)


async def test_a_process_that_may_not_be_asked_lives(monkeypatch, sleeper):
    other = attrs.evolve(
        Process.current(), pid=sleeper.pid, started=owner._started(sleeper.pid)
    )

    def refuse(*_):
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr("os.kill", refuse)
        assert not other.is_dead()


@pytest.mark.parametrize(("age", "stale"), [(0, False), (55, False), (61, True)])
async def test_of_another_host_only_silence_tells(run, folder, held_by, age, stale):
    await run()
    held_by(machine="another", host="db-2", pid=7, age=age)
    if stale:
        await opened(folder)
    else:
        with pytest.raises(JobError, match="process 7 on db-2, which gave its last"):
            await opened(folder)


async def test_a_clock_that_is_behind_makes_nobody_stale(run, folder, held_by):
    await run()
    held_by(machine="another", age=-3600)

    with pytest.raises(JobError, match="last sign of life 0 s ago"):
        await opened(folder)


async def test_a_process_is_told_from_others_by_more_than_its_number():
    one, other = Process.current(), Process.current()

    assert one.token != other.token
    assert (one.pid, one.machine, one.started) == (
        other.pid,
        other.machine,
        other.started,
    )
    assert owner._started(2**22 + 1) == ""


@pytest.fixture
def interfered(box, folder):
    """Run a job of many prompts, and do something to it as it first sends."""

    async def interfered(interfere):
        done = []

        def observe(event):
            if isinstance(event, events.Answered) and not done:
                done.append(interfere())

        config = config_of(box, max_in_flight=2, adaptive=False)
        async with ImageSession(config, observer=observe) as session:
            async with ImageJob.open(folder) as job:
                return await job.run(session, [f"cat {n}" for n in range(30)])

    return interfered


async def test_a_run_whose_job_was_taken_over_sends_no_more_and_keeps_what_is_paid(
    interfered, held_by, folder, box
):
    report = await interfered(
        lambda: held_by(machine="another", host="db-2", pid=7, token="x")
    )

    assert type(report.stopped_by) is JobError
    assert "taken over by process 7 on db-2" in str(report.stopped_by)
    assert box.bill.total < 10
    assert report.status.saved == report.status.billed == box.bill.total
    async with looking(folder) as job:
        assert (await job.status()).saved == box.bill.total


async def test_a_row_that_was_removed_ends_the_run_as_well(interfered, journal, box):
    report = await interfered(lambda: journal("DELETE FROM job WHERE name='owner'"))

    assert "taken over" in str(report.stopped_by)
    assert box.bill.total < 10


async def test_a_folder_that_was_renamed_during_the_run_ends_it(
    interfered, folder, box, run
):
    away = folder.with_name("away")
    report = await interfered(lambda: folder.rename(away))

    assert isinstance(report.stopped_by, JobError)
    assert "was moved, replaced or removed" in str(report.stopped_by)
    assert 0 < box.bill.total < 10
    assert not folder.exists()
    assert report.unwritten  # it may never come back, so the links are told
    away.rename(folder)
    again = await run([f"cat {n}" for n in range(30)])
    assert again.status.saved == again.status.billed == box.bill.total == 30


@pytest.mark.parametrize("row", ["no JSON", "3", "[]", "{}", '"x"'])
async def test_a_row_that_is_spoilt_during_the_run_ends_it_and_loses_nothing(
    interfered, journal, box, run, row
):
    spoil = f"UPDATE job SET value='{row}' WHERE name='owner'"  # noqa: S608 - our own
    report = await interfered(lambda: journal(spoil))

    assert "taken over" in str(report.stopped_by)
    assert report.status.saved == report.status.billed == box.bill.total < 10


@pytest.mark.parametrize("what", ["folder", "journal"])
async def test_what_was_removed_during_the_run_leaves_every_link_told(
    interfered, folder, box, what
):
    def remove():
        if what == "folder":
            shutil.rmtree(folder)
        else:
            (folder / "job.sqlite").unlink()

    report = await interfered(remove)

    assert "was moved, replaced or removed" in str(report.stopped_by)
    told = {one.number for one in report.unwritten}
    assert len(told) + len(files(folder)) >= box.bill.total > 0


async def test_nothing_is_written_ahead_once_the_folder_is_not_where_it_was(folder):
    async with ImageJob.open(folder) as job:
        await job.take(PROMPTS)
        folder.rename(folder.with_name("away"))
        with pytest.raises(JobError, match="was moved, replaced or removed"):
            await job.take(["one more"])
        folder.with_name("away").rename(folder)
        await job.take(["one more"])


async def test_a_folder_that_took_its_place_gets_nothing(interfered, folder, box):
    def replace():
        folder.rename(folder.with_name("away"))
        shutil.copytree(folder.with_name("away"), folder)
        (folder / "job.sqlite-shm").unlink()

    report = await interfered(replace)

    assert "was moved, replaced or removed" in str(report.stopped_by)
    assert files(folder) == []
    assert 0 < box.bill.total < 10


async def test_a_journal_that_was_replaced_ends_the_run(interfered, folder, box):
    def replace():
        shutil.copy(folder / "job.sqlite", folder / "copy")
        (folder / "copy").rename(folder / "job.sqlite")

    report = await interfered(replace)

    assert "was moved, replaced or removed" in str(report.stopped_by)
    assert 0 < box.bill.total < 10


async def test_two_real_processes_never_pay_for_the_same(box, folder, tmp_path):
    """The second is let in by nobody, not even without the lock."""
    program = """
import asyncio, sys
from zai_images import ImageSession, SessionConfig
from zai_images.jobs import ImageJob, JobError
async def main(url, key, folder):
    async with ImageSession(SessionConfig(base_url=url, api_key=key)) as session:
        async with ImageJob.open(folder) as job:
            print("open", flush=True)
            await job.run(session, [f"cat {n}" for n in range(6)], on_unknown="resend")
try:
    asyncio.run(main(*sys.argv[1:]))
except JobError as error:
    print(error)
"""
    command = [sys.executable, "-c", program, box.base_url, box.api_key, str(folder)]

    async def begin():
        return await asyncio.create_subprocess_exec(*command, stdout=-1)

    first = await begin()
    assert await first.stdout.readline() == b"open\n"
    first.send_signal(signal.SIGSTOP)
    (folder / ".lock").unlink()
    second, _ = await (await begin()).communicate()
    first.send_signal(signal.SIGCONT)
    await first.communicate()

    # It may have been stopped in the middle of a write.
    assert b"in use by process %d" % first.pid in second or b"locked" in second
    assert box.bill.total == 6


async def test_a_busy_journal_is_no_job_that_can_be_claimed(run, folder, monkeypatch):
    await run()
    other = sqlite3.connect(folder / "job.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("zai_images.jobs._journal.schema.PATIENCE", 0)
    with pytest.raises(JobError, match="locked"):
        await opened(folder)
    other.close()


@pytest.mark.parametrize(
    "row",
    [
        '{"at": "noon"}',
        "{}",
        "3",
        "[]",
        "no JSON",
        '{"at": 1, "new": 2}',
        '{"at": null}',
    ],
)
async def test_a_row_that_nobody_understands_is_told_with_the_way_out(
    run, folder, journal, row
):
    await run()
    journal(f"INSERT OR REPLACE INTO job VALUES ('owner', '{row}')")  # noqa: S608 - our own

    with pytest.raises(JobError, match=r"cannot be read.*Nothing was sent.*remove the"):
        await opened(folder)


async def test_a_clock_that_is_ahead_by_days_is_no_sign_of_life(run, folder, held_by):
    await run()
    held_by(machine="another", age=-3 * 86400)

    await opened(folder)


async def test_every_claim_counts_its_attempts_from_another_number(folder):
    firsts = set()
    for _ in range(3):
        async with ImageJob.open(folder) as job:
            await job.take(PROMPTS)
            firsts.add(next(job._store.ownership.attempts))

    assert len(firsts) == 3
    assert min(firsts) > 2**31
