"""What the command line says where its streams are no plain files or pipes."""

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.pictures import picture

import zai_images
from zai_images import events
from zai_images._picture.picture import inspect
from zai_images.cli import main
from zai_images.cli._commands.generate import _say_facts
from zai_images.cli._output import Output, _TolerantStream
from zai_images.cli._run.progress import Counts, Flights, ProgressDisplay
from zai_images.jobs import ImageJob


def program(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "zai_images", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_what_it_says_can_be_caught_by_a_program():
    with contextlib.redirect_stdout(io.StringIO()) as caught:
        assert main(["--version"]) == 0

    assert caught.getvalue().strip() == zai_images.__version__


@pytest.fixture
async def taken(tmp_path, monkeypatch):
    """Leave a job behind of which nothing is sent yet."""
    monkeypatch.chdir(tmp_path)
    async with ImageJob.open("out") as job:
        await job.take(["a fox", "a bear"])


async def test_a_full_disk_behind_stdout_is_told(taken):
    with Path("/dev/full").open("w") as full:
        ran = program("status", "out", "--json", stdout=full)
        _, err = await asyncio.to_thread(ran.communicate)

    assert ran.returncode == 4
    assert "No space left on device" in err
    assert "Exception ignored" not in err


async def test_of_what_has_not_ended_nothing_is_exported(taken, cli):
    ran = await cli("export", "out", "--format", "openai")

    assert (ran.code, ran.out) == (0, "")
    assert "2 requests left out that have not ended" in ran.err


async def test_half_a_character_is_written_as_json_writes_it(taken, cli, journal):
    journal("UPDATE items SET id=? WHERE number=1", r'"\ud83d"')

    ran = await cli("export", "out", "--format", "csv")

    assert ran.code == 0
    assert r"\ud83d" in ran.out


def test_who_types_the_prompts_is_told_how_to_end(tmp_path):
    ours, theirs = os.openpty()
    ran = program(
        *("batch", "-", "--out", "out", "--sandbox"),
        stdin=theirs,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
    )
    os.close(theirs)
    with ran:
        while "type a prompt a line, and end with Ctrl-D" not in ran.stderr.readline():
            pass
        os.write(ours, b"a fox\n\x04")
        out, err = ran.communicate(timeout=30)
    os.close(ours)

    assert (ran.returncode, out.count("\n")) == (0, 1)
    assert "1 request: 1 made" in err


def test_what_nobody_hears_is_said_to_nobody():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        ear = _TolerantStream(stream)
        ear.write("half a line")
        ear.flush()
        ear.write("more\n")
        ear.flush()


async def test_ctrl_c_while_a_paid_picture_is_fetched_leaves_its_link(
    service, tmp_path
):
    service.next(action="missing_picture")  # a new link that is waited for
    running = program("generate", "a fox", stdout=subprocess.PIPE, cwd=tmp_path)
    while not service.picture_requests:
        await asyncio.sleep(0.005)

    running.send_signal(signal.SIGINT)
    out, err = await asyncio.to_thread(running.communicate)

    assert (running.returncode, out) == (130, "")
    assert "It is paid. Its link, in full" in err


async def test_nor_is_a_private_link_told_where_the_picture_is_not_fetched(
    cli, monkeypatch
):
    monkeypatch.setattr("zai_images._http.downloader.PICTURE_LIMIT", 10)

    ran = await cli("generate", "a fox", "--sandbox")

    assert ran.code == 1
    assert "could not be fetched: more than" in ran.err
    assert "http" not in ran.err


def test_what_is_not_known_of_a_picture_is_not_said(capsys):
    _say_facts(Output(), inspect(picture()), sandbox=False)

    assert capsys.readouterr().err == "32x16 image/png\n"


async def test_progress_tells_what_may_be_billed_without_a_picture():
    reporter = ProgressDisplay(Output(), Counts(total=3, made=0, unknown=1))

    assert reporter.words() == "1 of 3, 1 unknown"


def test_progress_passes_over_an_event_of_a_new_kind():
    flights = Flights()
    flights.observe(events.Event(at=0))

    assert flights.words() == []


async def test_a_model_without_documented_times_is_not_measured_by_them(
    batch, service, monkeypatch
):
    monkeypatch.setattr("zai_images.sandbox._validation.MODEL", "cogview-next")
    ran = await batch("--model", "cogview-next", prompts=["a fox"])

    assert (ran.code, service.bill.total) == (0, 1)
    assert "s in service\n" in ran.err
    assert "documented" not in ran.err


async def test_a_shard_that_leads_nowhere_is_told_before_anything_is_sent(
    batch, service
):
    """Somebody has moved it to a disk that is not there now."""
    await batch()
    shard = Path("out/pictures/000")
    shard.rename("elsewhere")
    shard.symlink_to("not-mounted")

    ran = await batch()

    assert (ran.code, service.bill.total) == (4, 3)
    assert "pictures/000: No such file or directory" in ran.err
