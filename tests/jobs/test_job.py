"""Durable jobs: what is on the disk when, and what a second run does with it."""

import asyncio
import json
import shutil
import sqlite3
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
from support.keys import KEY

from zai_images import (
    AccountError,
    BudgetError,
    ConfigurationError,
    ImageRequest,
    ImageSession,
    InvalidRequestError,
    SessionConfig,
    events,
)
from zai_images._api.wire import RawResponse
from zai_images.jobs import (
    BadLine,
    DiskError,
    ImageJob,
    ItemMoved,
    JobError,
    PromptFile,
    State,
)
from zai_images.jobs._journal.steps import intend, keep_answer, settle
from zai_images.jobs._write_ahead import WriteAheadLog
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
async def session(box):
    async with ImageSession(config(box)) as session:
        yield session


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "job"


def config(box, **more):
    return SessionConfig(
        api_key=box.api_key,
        base_url=box.base_url,
        prices={"cogview-4-250304": 0.01},
        **more,
    )


@pytest.fixture
def run(folder, session):
    async def run(requests=PROMPTS, session=session, **asked):
        async with ImageJob.open(folder) as job:
            return await job.run(session, requests, **asked)

    return run


@asynccontextmanager
async def looking(folder):
    async with ImageJob.open(folder, read_only=True) as job:
        yield job


async def records(folder):
    async with looking(folder) as job:
        return [record async for record in job.records()]


def files(folder):
    return sorted(path.name for path in folder.rglob("*.png"))


async def test_every_prompt_becomes_a_file_and_the_journal_says_so(run, folder, box):
    report = await run()

    assert report.status.total == report.status.saved == 3
    assert report.status.cost == pytest.approx(0.03)
    assert report.moved == {State.SAVED: 3}
    assert report.stopped_by is None
    assert len(files(folder)) == 3
    assert files(folder)[0].startswith("000001-a-fox-")
    assert box.bill.total == 3


async def test_running_again_pays_for_nothing(run, box):
    await run()
    report = await run()

    assert report.moved == {}
    assert box.bill.total == 3


async def test_reordering_or_growing_the_input_redoes_nothing(run, box, folder):
    await run()
    report = await run(["a new one", *reversed(PROMPTS)])

    assert report.moved == {State.SAVED: 1}
    assert box.bill.total == 4
    assert files(folder)[3].startswith("000004-a-new-one-")


async def test_a_changed_prompt_is_new_work_and_the_old_picture_stays(run, box):
    await run()
    report = await run(["a fox", "a bear", "a black cat"])

    assert report.status.saved == box.bill.total == 4


async def test_equal_lines_are_separate_pictures(run, box):
    report = await run(["a fox", "a fox", "a fox"])
    again = await run(["a fox", "a fox", "a fox", "a fox"])

    assert report.status.saved == 3
    assert again.moved == {State.SAVED: 1}
    assert len(box.bill.for_prompt("a fox")) == 4


async def test_repeat_asks_for_so_many_pictures_of_each(run, box):
    await run(repeat=2)
    report = await run(repeat=3)

    assert report.status.saved == box.bill.total == 9


async def test_the_callers_id_makes_two_items_of_equal_prompts(run, folder):
    await run([ImageRequest("a fox", id="x"), ImageRequest("a fox", id="y")])

    assert [one.id for one in await records(folder)] == ["x", "y"]


async def test_what_was_never_sent_and_is_not_asked_for_any_more_is_forgotten(
    run, session, folder
):
    async with ImageJob.open(folder) as job:
        await job.take(["a", "b", "c"])
        await job.take(["b", "d"])
        status = await job.status()

    assert status.pending == status.total == 2


async def test_nothing_is_sent_of_an_input_with_a_bad_request(run, box):
    with pytest.raises(InvalidRequestError, match=r"line 2: prompt: is empty.*nothing"):
        await run(["a fox", " ", "a cat"])

    assert box.bill.requests == 0


async def test_the_good_ones_go_on_where_that_is_asked_for(run, folder):
    report = await run(["a fox", " ", "a cat"], skip_invalid=True)

    assert report.status.saved == 2


async def test_one_request_is_no_input(run):
    with pytest.raises(TypeError, match="pass a list"):
        await run("a fox")


async def test_an_async_iterable_is_read_to_its_end_first(run):
    async def prompts():
        for prompt in PROMPTS:
            yield prompt

    assert (await run(prompts())).status.saved == 3


async def test_an_unchanged_file_is_not_checked_again(run, folder, tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("a fox\na bear\n")
    async with ImageJob.open(folder) as job:
        first = await job.take(PromptFile.find(path))
        again = await job.take(PromptFile.find(path))
        other = await job.take(PromptFile.find(path, defaults={"quality": "hd"}))

        assert not first.unchanged
        assert again == attrs.evolve(first, unchanged=True)
        assert not other.unchanged
        assert (await job.status()).pending == 2  # of the latest wish


async def test_a_file_with_a_bad_line_changes_nothing(folder, tmp_path):
    path = tmp_path / "p.jsonl"
    async with ImageJob.open(folder) as job:
        await job.take(["kept"])
        path.write_text('{"prompt": "a fox"}\n{"prompt": \n')
        found = await job.take(PromptFile.find(path))

        assert (found.bad_lines, found.bad[0].line) == (1, 2)
        assert (await job.status()).pending == 1

        path.write_bytes("a fox\n".encode("utf-16"))
        with pytest.raises(InvalidRequestError, match="UTF-16"):
            await job.take(PromptFile.find(path))
        assert (await job.status()).pending == 1


async def test_a_refused_prompt_is_final_and_a_rejected_one_has_failed(
    run, box, folder
):
    box.next(prompt="a fox", action="answer", code="1301")
    box.next(prompt="a bear", action="answer", code="1210")
    report = await run()
    again = await run()

    assert report.status.refused == report.status.failed == 1
    assert report.status.saved == 1
    assert again.moved == {}
    assert box.bill.total == 1
    fox, bear, _ = await records(folder)
    assert (fox.state, fox.code) == (State.REFUSED, "1301")
    assert "Nothing was billed" in bear.error


async def test_retrying_sends_what_failed_and_nothing_else(run, box, folder, session):
    box.next(prompt="a bear", action="answer", code="1210")
    await run()
    async with ImageJob.open(folder) as job:
        await job.take([*PROMPTS, "later"])
        report = await job.retry(session, "failed")

    assert report.moved == {State.SAVED: 1}
    assert report.status.pending == 1
    assert box.bill.total == 3


@pytest.mark.parametrize("action", ["reset", "html", "empty", "null_url"])
async def test_what_may_be_billed_is_sent_again_only_when_asked_and_once(
    action, run, box, folder
):
    box.next(prompt="a bear", action=action, billed=True, times=2)
    first = await run()
    second = await run()
    third = await run(on_unknown="resend")
    fourth = await run(on_unknown="resend")

    assert first.status.unknown == second.status.unknown == third.status.unknown == 1
    assert first.status.maybe_billed == 1
    assert fourth.moved == {}
    assert len(box.bill.for_prompt("a bear")) == 2
    assert third.status.more_maybe_billed == 1


async def test_a_resent_item_becomes_a_picture(run, box, folder, session):
    box.next(prompt="a bear", action="reset", billed=True)
    await run()
    async with ImageJob.open(folder) as job:
        report = await job.retry(session, "unknown")

    assert report.status.saved == 3
    assert report.status.more_maybe_billed == 1
    assert Counter(entry.prompt for entry in box.bill.entries)["a bear"] == 2


async def test_a_picture_that_was_not_fetched_is_fetched_by_its_link(run, box, folder):
    box.next(prompt="a bear", action="missing_picture", fetches=1)
    first = await run()
    second = await run()

    assert first.status.answered == 1
    assert first.status.billed == 3
    assert first.status.links_expire is not None
    assert second.moved == {State.SAVED: 1}
    assert second.status.cost == pytest.approx(0.03)
    assert box.bill.total == 3


async def test_a_dead_link_is_told_and_made_again_only_when_asked(run, box):
    box.next(prompt="a bear", action="missing_picture")
    await run()
    second = await run()
    third = await run(on_unknown="resend")

    assert second.status.answered == second.status.dead_links == 1
    assert box.bill.total == 4
    assert third.status.saved == 3
    assert third.status.cost == pytest.approx(0.04)  # it was paid for twice


async def test_a_file_that_is_gone_or_cut_off_is_fetched_again(run, box, folder):
    await run()
    fox, bear, _ = sorted(folder.rglob("*.png"))
    fox.unlink()
    bear.write_bytes(bear.read_bytes()[:20])
    report = await run()

    assert report.moved == {State.SAVED: 2}
    assert box.bill.total == 3
    async with looking(folder) as job:
        assert [one async for one in job.verify()] == []


async def test_verifying_names_what_is_not_as_it_was_saved(run, folder):
    await run()
    fox, bear, cat = sorted(folder.rglob("*.png"))
    fox.unlink()
    bear.write_bytes(b"short")
    cat.write_bytes(bytes(cat.stat().st_size))

    async with looking(folder) as job:
        damages = [(one.number, one.reason) async for one in job.verify()]

    assert damages[0] == (1, "is missing")
    assert damages[1][1].startswith("has 5 bytes")
    assert damages[2] == (3, "has another content")


async def test_an_empty_balance_keeps_the_queue(run, box):
    box.next(action="answer", code="1113", times=None)
    report = await run([f"cat {n}" for n in range(50)])
    box.clear_faults()
    again = await run([f"cat {n}" for n in range(50)])

    assert isinstance(report.stopped_by, AccountError)
    assert report.status.pending == 50
    assert box.bill.total == again.status.saved == 50


async def test_a_model_that_is_not_for_the_account_keeps_its_queue_too(run, box):
    box.next(action="answer", code="1311", times=None)
    report = await run()

    assert isinstance(report.stopped_by, AccountError)
    assert report.status.pending == 3


@pytest.mark.parametrize(
    ("cap", "made"), [({"max_pictures": 2}, 2), ({"max_cost": 0.011}, 1)]
)
async def test_the_sessions_caps_are_never_exceeded(cap, made, run, box):
    async with ImageSession(config(box), **cap) as session:
        report = await run(session=session)

    assert isinstance(report.stopped_by, BudgetError)
    assert report.status.saved == box.bill.total == made
    assert report.status.pending == 3 - made


async def test_no_more_fail_than_may_counting_what_is_in_flight(run, box):
    box.next(action="answer", code="1210", times=None, delay=2.0)
    report = await run([f"cat {n}" for n in range(50)], max_failures=3)

    assert isinstance(report.stopped_by, BudgetError)
    assert report.status.failed == box.bill.faulted == 3
    assert report.status.pending == 47


async def test_a_cap_on_failures_that_is_not_reached_stops_nothing(run):
    report = await run([f"cat {n}" for n in range(20)], max_failures=1)

    assert report.status.saved == 20
    with pytest.raises(ConfigurationError, match="max_failures"):
        await run(max_failures=0)


async def test_stopping_sends_nothing_new_and_keeps_what_runs(box, folder, session):
    begun = []

    def observe(event):
        if isinstance(event, ItemMoved):
            begun.append(event)
            job.stop()

    async with ImageJob.open(folder, observer=observe) as job:
        report = await job.run(session, [f"cat {n}" for n in range(200)])

    status = report.status
    assert report.stopped_by is None
    assert 0 < status.saved < 200
    assert status.saved == box.bill.total
    assert status.pending == 200 - status.saved


async def test_cancelling_leaves_a_journal_that_can_be_resumed(box, folder, run):
    sent = asyncio.Event()

    def observe(event):
        if isinstance(event, events.Sent):
            sent.set()

    prompts = [f"cat {n}" for n in range(20)]
    async with ImageSession(config(box), observer=observe) as session:
        async with ImageJob.open(folder) as job:
            running = asyncio.create_task(job.run(session, prompts))
            await sent.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
    report = await run(prompts)

    assert report.status.sent == 0
    assert report.status.saved + report.status.unknown == 20
    assert all(len(box.bill.for_prompt(prompt)) == 1 for prompt in prompts)


ANSWERS = {
    "nothing": (None, State.UNKNOWN),
    "a refusal for want of a place": ((429, b'{"error":{"code":"1302"}}'), State.SAVED),
    "an empty balance": ((429, b'{"error":{"code":"1113"}}'), State.SAVED),
    "an unsafe prompt": ((400, b'{"error":{"code":"1301"}}'), State.REFUSED),
    "a bad field": ((400, b'{"error":{"code":"1210"}}'), State.FAILED),
    "a failure it owns up to": ((500, b'{"error":{"code":"1234"}}'), State.UNKNOWN),
    "a page of HTML": ((200, b"<html>"), State.UNKNOWN),
    "no picture": ((200, b'{"created":1,"data":[]}'), State.UNKNOWN),
}


@pytest.mark.parametrize(("answer", "state"), ANSWERS.values(), ids=ANSWERS)
async def test_after_a_kill_a_kept_answer_decides_what_the_item_is(
    answer, state, box, folder, session
):
    """The process died after the answer was kept, and before anything had read it."""
    async with ImageJob.open(folder) as job:
        await job.take(["a fox"])
        await job._store.do(intend(1))
        if answer is not None:
            status, body = answer
            await job._store.do(keep_answer(1, RawResponse(status=status, body=body)))
        report = await job.run(session)

    assert getattr(report.status, state) == report.status.total == 1
    assert box.bill.total == (state is State.SAVED)
    assert report.status.more_maybe_billed == 0


async def test_after_a_kill_a_kept_picture_is_only_downloaded(box, folder, session):
    response = await session.generate("a fox")
    body = b'{"created": 1, "data": [{"url": "%b"}]}' % response.url.encode()
    async with ImageJob.open(folder) as job:
        await job.take(["a fox"])
        await job._store.do(intend(1))
        await job._store.do(keep_answer(1, RawResponse(status=200, body=body)))
        report = await job.run(session)

    assert report.status.saved == box.bill.total == 1
    assert report.status.cost == pytest.approx(0.01)


async def test_a_kept_refusal_after_an_attempt_that_may_be_billed_is_unknown(
    box, folder, session
):
    refusal = RawResponse(status=429, body=b'{"error":{"code":"1302"}}')
    async with ImageJob.open(folder) as job:
        await job.take(["a fox"])
        await job._store.do(intend(1))
        await job._store.do(settle(1, State.UNKNOWN, maybe=True))
        await job._store.do(intend(1))
        await job._store.do(keep_answer(1, refusal))
        report = await job.run(session)

    assert report.status.unknown == 1
    assert report.status.more_maybe_billed == 0
    assert box.bill.requests == 0


async def test_a_job_that_runs_takes_nothing_more_and_runs_once(folder, session):
    async with ImageJob.open(folder) as job:
        running = asyncio.create_task(job.run(session, PROMPTS))
        while job._running is None:
            await asyncio.sleep(0)
        with pytest.raises(JobError, match="runs already"):
            await job.run(session)
        with pytest.raises(JobError, match="runs already"):
            await job.take(["more"])
        assert (await running).status.saved == 3


async def test_a_job_of_another_service_is_refused(run, box, folder):
    await run()
    async with Sandbox(speed=200, api_key=KEY, pictures="plain") as other:
        async with ImageSession(config(other)) as session:
            with pytest.raises(JobError, match="use another folder"):
                await run(["new"], session=session)
        assert other.bill.requests == 0

    async with ImageJob.open(folder, sandbox=True) as job:
        async with ImageSession(config(box)) as session:
            with pytest.raises(JobError, match="with sandbox"):
                await job.run(session)


async def test_a_private_sandboxs_links_die_with_it(box, folder, session):
    box.next(prompt="a bear", action="missing_picture")
    async with ImageJob.open(folder, sandbox=True) as job:
        first = await job.run(session, PROMPTS)
        second = await job.run(session, PROMPTS)

    assert first.status.answered == 1
    assert first.status.service == "sandbox"
    assert second.status.saved == 3
    assert box.bill.total == 4


async def test_one_process_at_a_time(folder):
    async with ImageJob.open(folder) as job:
        with pytest.raises(JobError, match="Another process is at work"):
            async with ImageJob.open(folder):
                pass
        async with looking(folder) as other:  # looking is always possible
            assert (await other.status()).total == 0
        with pytest.raises(JobError, match="open already"):
            await job.__aenter__()


async def test_a_strangers_folder_is_left_alone(folder):
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(JobError, match="no job's folder"):
        async with ImageJob.open(folder):
            pass

    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


async def test_a_folder_that_was_half_made_is_taken_up(folder, run):
    (folder / "pictures").mkdir(parents=True)
    (folder / "job.sqlite").touch()

    assert (await run()).status.saved == 3


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b"not a database" * 100), "damaged"),
        (lambda path: sqlite3.connect(path).execute("PRAGMA user_version=99"), "newer"),
        (lambda path: sqlite3.connect(path).execute("CREATE TABLE t (a)"), "not the"),
    ],
)
async def test_what_is_no_journal_is_refused_in_words(spoil, words, folder):
    folder.mkdir()
    (made := spoil(folder / "job.sqlite")) and hasattr(made, "connection") and (
        made.connection.close()
    )
    with pytest.raises(JobError, match=words):
        async with ImageJob.open(folder):
            pass


async def test_a_damaged_journal_sends_nothing_and_its_advice_loses_no_picture(
    run, folder, box
):
    await run()
    copy = shutil.copytree(folder, folder.with_name("copy"))
    await run([*PROMPTS, "one more"])
    # The first page holds the header and the names of the tables.
    with (folder / "job.sqlite").open("r+b") as journal:
        length = journal.seek(0, 2)
        journal.seek(4096)
        journal.write(b"\xff" * (length - 4096))

    with pytest.raises(DiskError, match="The journal is damaged") as caught:
        await run([*PROMPTS, "one more"])
    assert box.bill.total == 4
    assert "put an earlier copy of the folder in its place" in str(caught.value)

    renamed = folder.rename(folder.with_name("renamed"))
    copy.rename(folder)
    report = await run([*PROMPTS, "one more"])
    assert report.status.saved == 4
    assert box.bill.total == 5, "what was made since the copy, as it was told"
    assert len(files(renamed)) == 4


async def test_a_job_that_is_not_open_says_so(folder, session):
    job = ImageJob.open(folder)
    with pytest.raises(JobError, match="not open"):
        await job.run(session, PROMPTS)
    with pytest.raises(JobError, match="holds no job"):
        async with ImageJob.open(folder, read_only=True):
            pass


async def test_the_key_is_in_no_file_even_where_the_service_quotes_it(run, box, folder):
    quoting = b'{"created": 1, "data": [], "note": "you sent %b"}' % KEY.encode()
    box.next(prompt="a bear", action="empty", body=quoting)
    await run()

    written = b"".join(
        path.read_bytes() for path in folder.rglob("*") if path.is_file()
    )
    assert b"you sent ***" in written
    assert KEY.encode() not in written


async def test_everything_is_readable_by_its_owner_only(run, folder):
    import os

    before = os.umask(0)
    try:
        await run()
    finally:
        os.umask(before)

    modes = {
        path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()
    }
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    assert modes == {0o600}
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


async def test_what_was_left_half_written_is_removed(run, folder):
    await run()
    stale = folder / "pictures/000/.000001-a-fox.abc.part"
    stale.write_bytes(b"half")
    await run()

    assert not stale.exists()


async def test_observers_hear_of_each_item_with_the_callers_id(box, folder, session):
    box.next(prompt="a bear", action="answer", code="1210")
    heard = []
    async with ImageJob.open(folder, observer=heard.append) as job:
        await job.run(session, [ImageRequest("a fox", id="x"), {"prompt": "a bear"}])

    fox, bear = sorted(heard, key=lambda event: event.number)
    assert (fox.id, fox.state, fox.prompt) == ("x", State.SAVED, "a fox")
    assert (folder / fox.path).is_file()
    assert (bear.state, bear.error.code) == (State.FAILED, "1210")


async def test_names_follow_the_template_and_never_collide(folder, session):
    async with ImageJob.open(folder, name="{id}") as job:
        await job.run(
            session, [ImageRequest("a", id="same!"), ImageRequest("b", id="same?")]
        )

    first, second = files(folder)
    assert {first, second} & {"same.png"}
    assert first != second


async def test_a_plan_tells_and_changes_nothing(run, folder, box):
    await run()
    bad = []
    async with looking(folder) as job:
        plan = await job.plan(
            ["a fox", "new", "new", ""], price=lambda _: 0.01, on_bad=bad.append
        )

    assert plan.states == {State.SAVED: 1, State.PENDING: 2}
    assert (plan.requests, plan.duplicates, plan.bad_lines) == (3, 1, 1)
    assert plan.cost == pytest.approx(0.02)
    assert plan.models == {("cogview-4-250304", "standard"): 2}
    assert bad == [
        BadLine(line=4, message="prompt: is empty; say what the picture shall show")
    ]
    unknown = await ImageJob.plan_new(PROMPTS, price=lambda _: None, repeat=2)
    assert (unknown.requests, unknown.cost) == (6, None)
    assert box.bill.total == 3


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


async def test_an_answer_kept_by_a_call_that_was_cancelled_is_found(run, box, folder):
    """The cancelled attempt says that it may be billed, behind the answer it kept."""
    await run(["a fox"])
    raw = RawResponse(status=200, body=b'{"data": [{"url": "https://x.example/a"}]}')
    async with ImageJob.open(folder) as job:
        await job.take(["a bear"])
        await job._store.do(intend(2))
        await job._store.do(keep_answer(2, raw))
        await job._store.do(settle(2, State.UNKNOWN, maybe=True))
        assert (await job.status()).unknown == 1

    report = await run(["a bear"], on_unknown="resend")

    assert report.status.unknown == 0
    assert report.status.answered == 1  # its link leads nowhere, and it stays paid
    assert report.status.more_maybe_billed == 0
    assert len(box.bill.for_prompt("a bear")) == 0


async def test_what_the_input_asks_for_no_more_is_not_sent_again(run, box):
    box.next(prompt="a bear", action="reset", billed=True)
    await run()
    report = await run(["a fox", "a cat"], on_unknown="resend")

    assert report.status.unknown == 1
    assert box.bill.total == 3


async def test_what_an_empty_account_kept_from_being_sent_again_stays_unknown(
    run, box, folder, session
):
    box.next(prompt="a bear", action="reset", billed=True)
    await run()
    box.next(action="answer", code="1113", times=9)
    async with ImageJob.open(folder) as job:
        stopped = await job.retry(session, "unknown")
    box.clear_faults()
    plain = await run()
    asked = await run(on_unknown="resend")

    assert isinstance(stopped.stopped_by, AccountError)
    assert stopped.status.unknown == plain.status.unknown == 1
    assert stopped.status.maybe_billed == 1
    assert plain.moved == {}
    assert asked.status.saved == 3  # it was not spent on the empty account


async def test_a_link_that_was_called_dead_is_tried_before_it_is_paid_for_again(
    run, box
):
    box.next(prompt="a bear", action="expired_picture", fetches=2)
    await run()
    assert (await run()).status.dead_links == 1
    report = await run(on_unknown="resend")

    assert report.status.saved == box.bill.total == 3


async def test_what_is_taken_in_at_once_is_not_mixed(folder, session):
    gate = asyncio.Event()

    async def slowly():
        yield "a fox"
        await gate.wait()
        yield "a bear"

    async with ImageJob.open(folder) as job:
        taking = asyncio.create_task(job.take(slowly()))
        await asyncio.sleep(0)
        for more in (
            job.take(["a cat"]),
            job.run(session),
            job.retry(session, "failed"),
        ):
            with pytest.raises(JobError, match="takes an input in"):
                await more
        gate.set()
        await taking

        assert (await job.status()).pending == 2


async def test_a_job_stays_where_it_was_opened(box, session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    async with ImageJob.open("job") as job:
        monkeypatch.chdir(tmp_path / "elsewhere")
        await job.run(session, PROMPTS)

    assert len(files(tmp_path / "job")) == 3
    assert list((tmp_path / "elsewhere").iterdir()) == []


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


async def test_a_strangers_file_among_the_pictures_is_in_nobodys_way(run, folder):
    await run()
    (folder / "pictures/.DS_Store").touch()

    assert (await run()).stopped_by is None


async def test_what_was_refused_for_free_and_is_asked_for_no_more_is_forgotten(
    run, box
):
    box.next(prompt="a bear", code="1301")
    refused = await run()
    report = await run(["a fox", "a cat", "a better bear"])

    assert refused.status.refused == 1
    assert report.status.total == report.status.saved == 3


async def test_a_kept_link_does_not_hold_the_key(box, folder, session):
    async with ImageJob.open(folder) as job:
        await job.take(["a fox"])
        body = json.dumps({"data": [{"url": f"https://x.example/a.png?key={KEY}"}]})
        entry = WriteAheadLog(job._store.writer, KEY, print)
        await entry.keep(1, RawResponse(status=200, body=body.encode()))
        await job.run(session)

    for file in folder.glob("job.sqlite*"):
        assert KEY.encode() not in file.read_bytes()


async def test_a_disk_without_room_for_the_reserve_sends_nothing(box, session, folder):
    async with ImageJob.open(folder) as job:
        await job.take(PROMPTS)
        (folder / ".reserve").unlink()
        (folder / ".reserve").mkdir()
        with pytest.raises(DiskError, match=r"\.reserve.*Nothing was sent"):
            await job.run(session)

    assert box.bill.requests == 0


async def test_a_refusal_of_what_is_sent_again_does_not_make_it_free(run, box):
    box.next(prompt="a bear", action="reset", billed=True)
    await run()
    box.next(prompt="a bear", code="1301")
    report = await run(on_unknown="resend")

    assert report.status.unknown == report.status.maybe_billed == 1
    assert report.status.refused == 0
    assert report.moved == {State.UNKNOWN: 1}


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
