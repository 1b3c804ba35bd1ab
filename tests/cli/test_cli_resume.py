"""What a batch keeps of what was paid, and what the next run does with it."""

import asyncio
import json
import os
import re
import signal
import sqlite3
import sys
import time
from pathlib import Path

import pytest
from support.keys import KEY

from zai_images._http.downloader import FetchError
from zai_images.cli import main
from zai_images.jobs import DiskError, ImageJob
from zai_images.jobs._folder import JobFolder


@pytest.fixture(autouse=True)
def _own_folder_and_no_wait_for_fresh_links(monkeypatch, tmp_path):
    """A fresh link that answers 404 is waited for; not here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zai_images._session.retry.FRESH_LINK", 0.0)


def pictures():
    return sorted(path.name for path in Path("out").glob("pictures/*/[0-9]*"))


def records(ran):
    return {one["index"]: one for one in map(json.loads, ran.out.splitlines())}


@pytest.fixture
async def unfetched(batch, service):
    """Leave a paid picture behind that could not be fetched."""
    service.next(prompt="a bear", action="missing_picture", fetches=1)
    return await batch()


async def test_a_paid_picture_that_was_not_fetched_keeps_its_link(
    unfetched, service, status, journal
):
    ((body,),) = journal(
        "SELECT attempts.body FROM attempts JOIN items USING (number) "
        "WHERE state='answered'"
    )
    url = json.loads(body)["data"][0]["url"]

    assert unfetched.code == 1
    assert url.startswith("http://127.0.0.1")
    assert url not in unfetched.err  # a signed link is as good as the picture
    assert Path("out/job.sqlite").stat().st_mode & 0o777 == 0o600
    assert await status() == {"answered": 1, "saved": 2}
    assert (
        '2 "a bear": The picture was made, but could not be fetched: ' in unfetched.err
    )
    assert "PARTIAL: 3 requests: 2 made, 1 paid and not fetched" in unfetched.err
    assert "the next run of the batch fetches them for free" in unfetched.err
    assert "to go on: zai-images batch p.txt --out out" in unfetched.err
    assert service.bill.total == 3


async def test_the_next_run_fetches_it_and_pays_nothing(unfetched, batch, service):
    ran = await batch("--json")

    assert ran.code == 0
    assert service.bill.total == 3
    assert [name[:6] for name in pictures()] == ["000001", "000002", "000003"]
    assert "3 requests: 1 made, 2 already there" in ran.err
    assert {n: one["status"] for n, one in records(ran).items()} == {
        1: "skipped",
        2: "done",
        3: "skipped",
    }


@pytest.fixture
def relink(journal):
    """Change the kept link, and make the answer one that came long ago."""

    def relink(old, new, *, at=0):
        journal(
            "UPDATE attempts SET answered=?, "
            "body=CAST(replace(CAST(body AS TEXT), ?, ?) AS BLOB) WHERE number=2",
            at,
            old,
            new,
        )

    return relink


async def test_a_link_that_leads_nowhere_is_not_paid_for_again(
    *, unfetched, relink, batch, service, monkeypatch, status
):
    relink("http://127.0.0.1", "http://[::1]:9/")
    monkeypatch.setattr("zai_images._session.retry._DOWNLOAD_TRIES", 1)

    ran = await batch()

    assert ran.code == 1
    assert service.bill.total == 3
    assert '2 "a bear": The picture was made, but could not be fetched: ' in ran.err
    assert "2 already there, 1 paid and not fetched" in ran.err
    assert await status() == {"answered": 1, "saved": 2}


@pytest.fixture
def dead(unfetched, relink):
    """Make the kept link one that leads nowhere any more, and is not new either."""
    relink("/sandbox/", "/gone/")


async def test_a_dead_link_is_kept_and_tried_once_in_each_run(dead, batch, service):
    fetches = len(service.picture_requests)
    ran = await batch("--json")

    assert (ran.code, service.bill.total) == (1, 3)
    assert len(service.picture_requests) == fetches + 1
    assert "1 paid, and their links are dead: zai-images retry out --only" in ran.err
    assert "fetches them for free" not in ran.err
    record = records(ran)[2]
    assert (record["status"], record["state"]) == ("failed", "answered")
    assert record["billed"] == "yes"
    assert record["error"] == "HTTP 404"


@pytest.mark.parametrize(
    "command",
    [
        ["batch", "p.txt", "--out", "out", "--on-unknown", "resend"],
        ["retry", "out", "--only", "unknown"],
    ],
)
async def test_a_picture_with_a_dead_link_is_made_again_when_that_is_wanted(
    dead, batch, cli, service, command
):
    await batch()  # which finds out that it is dead
    ran = await cli(*command)

    assert (ran.code, service.bill.total) == (0, 4)
    assert len(pictures()) == 3


async def test_a_new_link_is_given_its_time(unfetched, relink, batch, service):
    relink("/sandbox/", "/gone/", at=time.time())

    ran = await batch("--on-unknown", "resend")

    assert (ran.code, service.bill.total) == (1, 3)
    assert "fetches them for free" in ran.err


async def test_links_about_to_die_are_told(unfetched, journal, cli):
    soon = time.time() + 3 * 3600 + 60
    journal("UPDATE attempts SET expires=?", soon)
    ran = await cli("status", "out")
    assert "WARNING: the first of those links dies at 20" in ran.err
    assert "UTC (in 3 h 0" in ran.err

    journal("UPDATE attempts SET expires=?", soon + 3 * 86400)
    assert "WARNING" not in (await cli("status", "out")).err


async def test_nothing_of_a_private_sandbox_is_kept(cli, monkeypatch, status):
    async def miss(self, url):
        raise FetchError("HTTP 404", lasting=True)

    Path("p.txt").write_text("a fox\na bear\n")
    with monkeypatch.context() as patch:
        patch.setattr("zai_images._http.downloader.Downloader.fetch", miss)
        ran = await cli("batch", "p.txt", "--out", "out", "--sandbox")

    assert ran.code == 1
    assert "makes them again" in ran.err
    assert "paid and not fetched:" not in ran.err
    assert (await cli("batch", "p.txt", "--out", "out", "--sandbox")).code == 0
    assert await status() == {"saved": 2}


async def test_an_answer_that_got_lost_is_not_asked_for_again(batch, service, status):
    service.next(prompt="a bear", action="truncate")
    first = await batch()
    second = await batch("--json")

    assert (first.code, second.code) == (1, 1)
    assert service.bill.total == 3
    assert await status() == {"saved": 2, "unknown": 1}
    for ran in (first, second):
        assert "1 unknown: sent, and no answer came, so each may have been" in ran.err
        assert "zai-images retry out --only unknown sends them once more" in ran.err
    found = records(second)
    assert {n: (one["status"], one["billed"]) for n, one in found.items()} == {
        1: ("skipped", "no"),
        2: ("unknown", "maybe"),
        3: ("skipped", "no"),
    }


@pytest.mark.parametrize(
    "command",
    [
        ["batch", "p.txt", "--out", "out", "--on-unknown", "resend"],
        ["retry", "out", "--only", "unknown"],
    ],
)
async def test_it_is_asked_for_again_when_that_is_wanted_and_once_only(
    batch, cli, service, command, status
):
    service.next(prompt="a bear", action="truncate", times=2)
    await batch()

    assert (await cli(*command)).code == 1
    assert (service.bill.total, await status()) == (4, {"saved": 2, "unknown": 1})
    assert (await cli(*command)).code == 1
    assert service.bill.total == 4


@pytest.fixture
def full_disk(monkeypatch):
    with monkeypatch.context() as patch:

        def write(targets, data, **_):
            raise OSError(28, "No space left on device", str(next(targets)))

        patch.setattr("zai_images.jobs._folder.write_new", write)
        yield patch


async def test_a_full_disk_stops_the_sending_and_loses_nothing(
    full_disk, batch, service, status
):
    prompts = [f"picture {n}" for n in range(40)]
    ran = await batch(prompts=prompts)

    assert ran.code == 4
    assert "stopped: " in ran.err
    assert ran.err.count("No space left on device") == 1
    paid = service.bill.total
    assert 0 < paid < 40
    assert await status() == {"answered": paid, "pending": 40 - paid}

    full_disk.undo()
    assert (await batch(prompts=prompts)).code == 0
    assert service.bill.total == 40
    assert len(pictures()) == 40


async def test_a_link_that_cannot_be_written_is_said_in_full(
    full_disk, batch, service, monkeypatch
):
    def keep_answer(received):
        def step(connection):
            raise sqlite3.OperationalError("database or disk is full")

        return step

    monkeypatch.setattr("zai_images.jobs._journal.steps.keep_answer", keep_answer)
    monkeypatch.setattr("zai_images.jobs._overflow._appended", lambda *_: False)
    ran = await batch("--limit", "1", prompts=["a fox"])

    assert ran.code == 4
    assert "picture 1 is paid, and the disk did not take its link" in ran.err
    assert re.search(r"in full: http://127\.0\.0\.1:\d+/sandbox/", ran.err)


async def test_a_warning_of_the_library_is_said_once_of_its_kind(batch, service, cli):
    body = b'{"data": [{"url": "ftp://x.example/a"}, {"url": "ftp://x.example/b"}]}'
    service.next(action="empty", body=body, times=3)
    ran = await batch()

    assert ran.err.count("An answer has 2 links; each may be billed") == 1


async def test_a_refusal_of_what_is_paid_already_does_not_call_itself_a_lost_picture(
    batch, cli, service
):
    service.next(prompt="a bear", action="expired_picture", fetches=9)
    await batch()
    await batch()
    service.next(prompt="a bear", code="1301")
    ran = await cli("retry", "out", "--only", "unknown")

    assert '2 "a bear": The prompt or the picture was judged unsafe' in ran.err


async def test_the_summary_comes_though_the_journal_cannot_be_read(
    batch, service, monkeypatch
):
    status = ImageJob.status

    async def unreadable(job):
        if service.bill.total:
            raise DiskError("the journal is gone")
        return await status(job)

    monkeypatch.setattr(ImageJob, "status", unreadable)
    ran = await batch(prompts=["a fox"])

    assert "the journal is gone" in ran.err
    assert "1 made" in ran.err
    assert service.bill.total == 1


@pytest.fixture
async def process(service):
    """Start the command line as a process of its own."""
    begun = []

    async def process(*arguments):
        one = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "zai_images",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONWARNINGS": "error"},
        )
        begun.append(one)
        return one

    yield process
    for one in begun:
        if one.returncode is None:
            one.kill()
            await one.communicate()


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
async def test_a_signal_lets_what_is_in_flight_come_home(
    process, batch, service, number, code
):
    service.speed = 20
    prompts = [f"picture {n}" for n in range(30)]
    Path("p.txt").write_text("\n".join(prompts))
    running = await process("batch", "p.txt", "--out", "out")
    await until(lambda: service.bill.total >= 7)

    running.send_signal(number)
    out, err = (text.decode() for text in await running.communicate())

    assert running.returncode == code
    assert "stopping: nothing new is sent" in err
    assert "to go on: zai-images batch p.txt --out out" in err
    assert KEY not in out + err
    paid = service.bill.total
    assert 7 <= paid < 30
    assert len(pictures()) == paid == len(out.splitlines())

    service.speed = 200
    assert (await batch(prompts=prompts)).code == 0
    assert service.bill.total == 30


async def test_a_second_signal_ends_it_at_once_and_notes_what_may_be_paid(
    process, batch, service, status
):
    service.next(action="picture", delay=100_000.0, times=None)
    Path("p.txt").write_text("a fox\na bear\n")
    running = await process("batch", "p.txt", "--out", "out")
    await until(lambda: service.in_flight == 2)

    running.send_signal(signal.SIGINT)
    assert b"stopping" in await running.stderr.readuntil(b"stopping")
    running.send_signal(signal.SIGINT)
    _, err = await running.communicate()

    assert running.returncode == 130
    assert b"2 unknown" in err
    assert b"Traceback" not in err
    assert await status() == {"unknown": 2}
    assert (await batch(prompts=["a fox", "a bear"])).code == 1
    assert service.bill.total == 2


@pytest.fixture
def interrupted(monkeypatch, tmp_path, capsys):
    """Run a batch in the sandbox that is hit by signals at its first picture."""
    monkeypatch.chdir(tmp_path)
    Path("p.txt").write_text("\n".join(f"picture {n}" for n in range(30)))
    store = JobFolder.store

    def interrupted(signals):
        left = list(signals)

        def store_and_be_hit(*arguments):
            while left:
                os.kill(os.getpid(), left.pop(0))
                time.sleep(0.02)  # in a thread; the loop hears of one before the next
            return store(*arguments)

        monkeypatch.setattr(JobFolder, "store", store_and_be_hit)
        code = main(["batch", "p.txt", "--out", "out", "--sandbox", "--json"])
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    return interrupted


def test_what_is_in_flight_is_kept_after_one_signal(interrupted):
    code, records, err = interrupted([signal.SIGTERM])

    assert code == 143
    assert {one["status"] for one in records} == {"done"}
    assert len(pictures()) == len(records) < 30
    assert "not begun" in err


def test_a_closed_terminal_may_say_so_twice(interrupted):
    code, records, _ = interrupted([signal.SIGHUP, signal.SIGHUP])

    assert code == 129
    assert {one["status"] for one in records} == {"done"}


def test_under_nohup_a_closed_terminal_changes_nothing(interrupted):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    code, records, _ = interrupted([signal.SIGHUP])

    assert (code, len(records)) == (0, 30)


def test_what_is_in_flight_is_noted_after_two(interrupted, journal):
    code, _, err = interrupted([signal.SIGINT, signal.SIGINT])
    found = dict(journal("SELECT state, count(*) FROM items GROUP BY state"))

    assert code == 130
    assert sum(found.values()) == 30
    assert set(found) <= {"pending", "unknown", "answered", "saved", "sent"}
    in_flight = sum(found.values()) - found["pending"]
    assert 0 < in_flight < 30
    assert "PARTIAL: 30 requests: " in err
    assert f"{found['pending']} not begun" in err
    assert "to go on: zai-images batch p.txt --out out --sandbox --json" in err


async def test_nobody_reading_the_paths_is_no_reason_to_fail(process, service):
    Path("p.txt").write_text("\n".join(f"picture {n}" for n in range(12)))
    running = await process("batch", "p.txt", "--out", "out", "--limit", "2")
    await running.stdout.readline()
    running._transport.get_pipe_transport(1).close()
    err = await running.stderr.read()

    assert await running.wait() == 0
    assert b"12 requests: 12 made" in err
    assert b"BrokenPipe" not in err


async def test_nor_is_a_terminal_that_is_closed(service):
    ours, theirs = os.openpty()
    Path("p.txt").write_text("\n".join(f"picture {n}" for n in range(12)))
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "zai_images", "batch", "p.txt", "--out", "out"),
        *("--limit", "2"),
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
        start_new_session=True,
    )
    os.close(theirs)
    await until(lambda: service.bill.total >= 2)
    os.close(ours)

    assert await running.wait() == 0
    assert len(pictures()) == 12


async def test_nor_is_nobody_reading_the_talk(process, service):
    for n in range(12):
        service.fail(f"picture {n}", code="1301", times=n % 2 + 1)
    Path("p.txt").write_text("\n".join(f"picture {n}" for n in range(12)))
    running = await process("batch", "p.txt", "--out", "out", "--limit", "2")
    running._transport.get_pipe_transport(2).close()
    await running.stdout.read()

    assert await running.wait() == 1
    assert service.requests == 12
