"""What a run writes ahead and after, and where it goes where the disk is in trouble."""

import asyncio
import itertools
import json
import os
import sqlite3
import threading

import pytest
from support.keys import KEY

from zai_images import ImageRequest, SessionConfig
from zai_images._api.response import RawResponse
from zai_images.jobs import DiskError
from zai_images.jobs._journal.schema import connect
from zai_images.jobs._journal.steps import Received, Saved, Settled
from zai_images.jobs._journal.writer import Writer
from zai_images.jobs._overflow import NAME, Overflow
from zai_images.jobs._write_ahead import JournalLedger, WriteAheadLog

PAID = b'{"data": [{"url": "https://x.example/a.png"}]}'
ANSWER = RawResponse(status=200, request_id="r", body=PAID)
NO_PLACE = RawResponse(status=429, body=b'{"error": {"code": "1302"}}')
REQUEST = ImageRequest("a fox")


@pytest.fixture
async def log(tmp_path):
    """Be the log of a job of one item, in a folder and with a state folder."""
    folder = tmp_path / "job"
    folder.mkdir()
    trouble = []
    writer = Writer(
        connect(folder / "job.sqlite"),
        lost=None,
        on_trouble=trouble.append,
        on_lost=trouble.append,
    )
    await writer.do(
        lambda c: c.execute("INSERT INTO items (key, position, body) VALUES (1, 1, 1)")
    )
    config = SessionConfig(api_key=KEY, prices={REQUEST.model: 0.01})
    overflow = Overflow(folder, "name", lambda: True)
    log = WriteAheadLog(writer, config, itertools.count(1), overflow, trouble.append)
    log.folder, log.trouble, log.writer = folder, trouble, writer
    log.aside = overflow.facts
    yield log
    await writer.aclose()


async def stands(log):
    def step(connection):
        row = "SELECT state, billed, maybe FROM items"
        return connection.execute(row).fetchone()

    return await log.writer.do(step, "read")


class Lock:
    """Hold the journal as another program would."""

    def __init__(self, log):
        self._log = log

    async def __aenter__(self):
        await self._log.writer.do(
            lambda c: c.execute("PRAGMA busy_timeout=0").fetchall()
        )
        self._other = sqlite3.connect(
            self._log.folder / "job.sqlite", isolation_level=None
        )
        self._other.execute("BEGIN IMMEDIATE")

    async def __aexit__(self, *_):
        self._other.close()


async def sent(log):
    attempt = log.attempt(1, REQUEST.model)
    await log.intend(attempt)
    return attempt


async def test_an_answer_is_recorded_before_anything_else_is_done(log):
    await log.keep(await sent(log), ANSWER)

    assert await stands(log) == ("answered", 1, 0)
    assert (log.aside(), log.unwritten, log.trouble) == ([], [], [])


async def test_what_the_journal_does_not_take_lies_beside_it_until_it_does(log):
    attempt = await sent(log)
    async with Lock(log):
        await log.keep(attempt, ANSWER)
        assert isinstance(log.trouble[-1], DiskError)
        await log.close()
        assert log.unwritten == []
        (fact,) = log.aside()
    assert (fact.attempt, fact.raw) == (attempt, ANSWER)
    assert (log.folder / NAME).stat().st_mode & 0o777 == 0o600

    await log.take_in()
    assert await stands(log) == ("answered", 1, 0)
    assert not (log.folder / NAME).exists()


async def test_what_lies_beside_the_journal_is_synced_and_its_name_too(
    log, monkeypatch
):
    synced = []
    sync = os.fsync
    attempt = await sent(log)
    async with Lock(log):
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", lambda f: (synced.append(inode(f)), sync(f)))
            await log.keep(attempt, ANSWER)

    assert synced == [inode(log.folder / NAME), inode(log.folder)]


def inode(file):
    return os.stat(file).st_ino  # noqa: PTH116 - it takes descriptors too


async def test_where_the_folder_takes_nothing_the_state_folder_does(log, monkeypatch):
    (log.folder / NAME).mkdir()
    attempt = await sent(log)
    async with Lock(log):
        await log.keep(attempt, ANSWER)
    (log.folder / NAME).rmdir()

    assert log.unwritten == []
    assert len(log.aside()) == 1
    await log.take_in()
    assert await stands(log) == ("answered", 1, 0)


@pytest.fixture
def nowhere(log, monkeypatch):
    """Let no second place take anything."""
    monkeypatch.setattr("zai_images.jobs._overflow._appended", lambda *_: False)


async def test_what_no_disk_takes_is_in_memory_and_tried_at_the_end(log, nowhere):
    attempt = await sent(log)
    async with Lock(log):
        await log.keep(attempt, ANSWER)
        await log.close()
        assert [fact.raw for fact in log.unwritten] == [ANSWER]
    await log.close()

    assert log.unwritten == []
    assert await stands(log) == ("answered", 1, 0)


async def test_every_kind_of_fact_comes_back_as_it_was(log):
    attempt = await sent(log)
    odd = RawResponse(status=200, body=bytes(range(256)), retry_after="3")
    facts = [
        Received(attempt=attempt, raw=odd, at=1.5),
        Settled(attempt=attempt, billed="no"),
        Saved(number=1, path="a.png", size=3, sha256="ab", at=2.5, latency=0.5),
    ]
    async with Lock(log):
        for fact in facts:
            await log.record(fact)

    assert log.aside() == facts


STRANGE = ("[]", '"x"', "3", "null", '{"Nope":{}}', '{"Received":[]}', '{"Settled":{}}')


@pytest.mark.parametrize("line", [None, *STRANGE])
async def test_a_line_that_cannot_be_read_is_kept_apart_and_spoils_no_other(
    log, line, caplog
):
    attempt = await sent(log)
    async with Lock(log):
        await log.keep(attempt, ANSWER)
        whole = (log.folder / NAME).read_bytes()
        torn = whole[: len(whole) // 2] if line is None else line.encode()
        (log.folder / NAME).write_bytes(torn + whole)
        await log.keep(attempt, ANSWER)
    await log.take_in()

    assert await stands(log) == ("answered", 1, 0)
    (kept,) = log.folder.glob("*.unread")
    assert torn.strip() in kept.read_bytes()
    assert str(kept) in caplog.text
    assert not (log.folder / NAME).exists()


async def test_a_second_place_that_cannot_be_read_sends_nothing(log):
    (log.folder / NAME).mkdir()

    with pytest.raises(DiskError, match=r"\.unrecorded\.jsonl: .*Nothing was sent"):
        await log.take_in()


async def test_a_pipe_in_the_second_place_holds_nobody_up(log):
    os.mkfifo(log.folder / NAME)
    attempt = await sent(log)
    async with Lock(log):
        await log.keep(attempt, ANSWER)
        assert log.unwritten == []  # it is in the state folder
    with pytest.raises(DiskError, match="is not a file"):
        await log.take_in()


async def test_an_end_that_nobody_waits_for_is_set_aside_as_well(log):
    attempt = await sent(log)
    async with Lock(log):
        log.settle(attempt, "no")
        await log.close()
        assert [fact.billed for fact in log.aside()] == ["no"]
    await log.take_in()

    assert await stands(log) == ("pending", 0, 0)


async def test_a_wait_that_is_cancelled_does_not_take_a_fact_back(log):
    attempt = await sent(log)
    async with Lock(log):
        keeping = asyncio.ensure_future(log.keep(attempt, ANSWER))
        await asyncio.sleep(0)
        keeping.cancel()
        await log.close()
        assert len(log.aside()) == 1


async def test_a_fault_of_ours_in_a_fact_is_heard_of_and_the_fact_is_kept(
    log, monkeypatch
):
    heard = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: heard.append(context["exception"])
    )

    def fail(_):
        raise ValueError("a fault")

    attempt = await sent(log)
    log.writer._lost = fail
    with pytest.raises(ValueError, match="a fault"):
        await log.keep(attempt, ANSWER)
    log.writer._lost = None
    await log.close()

    assert await stands(log) == ("answered", 1, 0)
    assert [str(error) for error in heard] == ["a fault"]


async def test_an_answer_outlives_a_commit_that_fails_beside_it(log):
    together, attempt = threading.Event(), await sent(log)

    def broken(_):
        raise sqlite3.OperationalError("disk I/O error")

    log.writer.post(lambda _: together.wait(10))
    keeping = asyncio.ensure_future(log.keep(attempt, ANSWER))
    await asyncio.sleep(0)
    log.writer.post(broken)
    together.set()
    await keeping

    assert (log.aside(), log.unwritten) == ([], [])
    assert await stands(log) == ("answered", 1, 0)


async def test_the_key_is_in_no_stored_answer(log):
    body = json.dumps({"data": [{"url": f"https://x.example/?key={KEY}"}]}).encode()
    attempt = await sent(log)
    async with Lock(log):
        await log.keep(attempt, RawResponse(status=200, body=body))
    assert KEY.encode() not in (log.folder / NAME).read_bytes()

    await log.take_in()
    for file in log.folder.iterdir():
        assert KEY.encode() not in file.read_bytes()


class Heard:
    """Be a batch's ledger that refuses nothing and remembers what it was told."""

    def __init__(self):
        self.told = []

    async def before_send(self, request, attempt):
        self.told.append(("sent", attempt))

    async def answered(self, raw):
        self.told.append(("answered", raw))

    async def settled(self, attempt, billed):
        self.told.append((billed, attempt))


async def test_the_batch_hears_of_each_step_of_a_jobs_call(log):
    batch = Heard()
    ledger = JournalLedger(log, batch, 1)
    await ledger.before_send(REQUEST, 1)
    await ledger.answered(ANSWER)
    await ledger.settled(1, "yes")

    assert batch.told == [("sent", 1), ("answered", ANSWER), ("yes", 1)]


@pytest.mark.parametrize(
    ("ends", "standing"),
    [
        (["no"], ("pending", 0, 0)),
        (["no", "no"], ("pending", 0, 0)),
        (["maybe"], ("unknown", 0, 1)),
        (["no", "maybe"], ("unknown", 0, 1)),
        (["maybe", "no"], ("unknown", 0, 1)),
        ([NO_PLACE, NO_PLACE], ("pending", 0, 0)),
        (["maybe", NO_PLACE], ("unknown", 0, 1)),
        (["maybe", ANSWER], ("answered", 1, 1)),
    ],
)
async def test_each_attempt_of_a_call_stands_for_itself(log, ends, standing):
    ledger = JournalLedger(log, Heard(), 1)
    for attempt, end in enumerate(ends, 1):
        await ledger.before_send(REQUEST, attempt)
        if isinstance(end, RawResponse):
            await ledger.answered(end)
        # What is said of an attempt whose answer is kept changes nothing.
        await ledger.settled(attempt, end if isinstance(end, str) else "maybe")

    assert await stands(log) == standing
    assert log.trouble == []


async def test_an_attempt_that_was_never_begun_leaves_nothing(log):
    batch = Heard()
    ledger = JournalLedger(log, batch, 1)
    await ledger.answered(ANSWER)
    await ledger.settled(1, "no")

    assert len(batch.told) == 2
    assert await stands(log) == ("pending", 0, 0)
