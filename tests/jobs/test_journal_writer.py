"""The thread that writes the journal, and what a job writes ahead with it."""

import asyncio
import sqlite3
import threading

import pytest

from zai_images import (
    ImageRequest,
)
from zai_images._api.response import RawResponse
from zai_images.jobs import (
    DiskError,
)
from zai_images.jobs._journal.schema import connect
from zai_images.jobs._journal.steps import intend
from zai_images.jobs._journal.writer import Writer
from zai_images.jobs._write_ahead import (
    JournalLedger,
    WriteAheadLog,
)


@pytest.fixture
async def writer(tmp_path):
    lost, full = [], []
    writer = Writer(
        connect(tmp_path / "job.sqlite"),
        on_trouble=full.append,
        on_lost=lost.append,
    )
    writer.lost, writer.full = lost, full
    yield writer
    await writer.aclose()


def add(key):
    def step(connection):
        connection.execute(
            "INSERT INTO items (key, position, body) VALUES (?, 1, '{}')", (key,)
        )

    return step


def number_of_items(connection):
    return connection.execute("SELECT count(*) FROM items").fetchone()[0]


async def test_what_is_awaited_is_committed(writer, tmp_path):
    await writer.do(add(b"a"))

    other = sqlite3.connect(tmp_path / "job.sqlite")
    assert number_of_items(other) == 1
    other.close()


async def test_a_step_that_refuses_fails_alone(writer):
    def refuse(_):
        raise RuntimeError("no")

    good, bad = asyncio.ensure_future(writer.do(add(b"a"))), writer.do(refuse)
    with pytest.raises(RuntimeError, match="no"):
        await bad
    await good

    assert await writer.do(number_of_items) == 1


def broken(connection):
    connection.execute(
        "INSERT INTO items (key, position, body) VALUES (x'00', 1, '{}')"
    )
    raise sqlite3.OperationalError("disk I/O error")


async def test_a_commit_that_fails_keeps_what_is_paid_and_tells_the_others(writer):
    paid = asyncio.ensure_future(writer.do(add(b"paid"), paid=True))
    unpaid = asyncio.ensure_future(writer.do(add(b"unpaid")))
    writer.post(broken)
    with pytest.raises(DiskError, match=r"disk I/O error.*run the same command again"):
        await writer.do(broken)
    await asyncio.wait([paid, unpaid])
    await paid

    assert await writer.do(number_of_items) >= 1
    assert writer.full
    assert [type(error) for error in writer.lost] == [DiskError]


async def test_a_cancelled_wait_does_not_take_a_step_back(writer):
    waiting = asyncio.ensure_future(writer.do(add(b"a")))
    await asyncio.sleep(0)
    waiting.cancel()

    assert await writer.do(number_of_items) == 1


async def test_closing_writes_what_waits(tmp_path):
    writer = Writer(connect(tmp_path / "job.sqlite"), on_trouble=print, on_lost=print)
    for number in range(50):
        writer.post(add(b"%d" % number))
    await writer.aclose()

    with connect(tmp_path / "job.sqlite") as connection:
        assert number_of_items(connection) == 50
    connection.close()


async def test_an_item_is_not_sent_where_its_state_does_not_allow_it(writer):
    await writer.do(add(b"a"))
    await writer.do(intend(1))

    with pytest.raises(RuntimeError, match="item 1 may not be sent"):
        await writer.do(intend(1))


async def test_a_fault_of_ours_in_a_step_nobody_waits_for_is_heard_of(writer):
    def refuse(_):
        raise ValueError("a fault")

    heard = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
    writer.post(refuse)
    await writer.do(number_of_items)

    assert [str(error) for error in heard] == ["a fault"]
    assert writer.lost == []


async def test_nobody_waits_for_ever_where_making_room_fails(tmp_path):
    def fail(error):
        raise PermissionError("no room can be made")

    writer = Writer(connect(tmp_path / "job.sqlite"), on_trouble=fail, on_lost=print)
    waiting = [asyncio.ensure_future(writer.do(broken)) for _ in range(2)]
    await asyncio.wait(waiting)

    assert [type(one.exception()) for one in waiting] == [PermissionError] * 2
    assert await writer.do(number_of_items) == 0
    await writer.aclose()


ANSWER = RawResponse(status=200, body=b'{"data": [{"url": "https://x.example"}]}')


@pytest.fixture
async def books(writer):
    """Be the books of a job whose one item is out."""
    await writer.do(add(b"a"))
    await writer.do(intend(1))
    return WriteAheadLog(writer, None, writer.full.append)


def number_of_answers(connection):
    return connection.execute("SELECT count(*) FROM answers").fetchone()[0]


@pytest.mark.parametrize("once_more", [False, True])
async def test_an_answer_is_paid_and_outlives_a_commit_that_fails_beside_it(
    writer, books, once_more
):
    together = threading.Event()
    writer.post(lambda _: together.wait(10))
    if once_more:
        books.unwritten[1] = ANSWER
    keeping = books.keep_unwritten() if once_more else books.keep(1, ANSWER)
    keeping = asyncio.ensure_future(keeping)
    await asyncio.sleep(0)
    writer.post(broken)
    together.set()
    await keeping

    assert [type(error) for error in writer.full] == [sqlite3.OperationalError]
    assert books.unwritten == {}
    assert await writer.do(number_of_answers) == 1


async def test_an_answer_the_disk_does_not_take_is_in_memory_until_it_does(
    writer, books
):
    full = "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
    await writer.do(
        lambda c: c.execute(f"CREATE TRIGGER full BEFORE INSERT ON answers {full}")
    )
    await books.keep(1, ANSWER)
    assert isinstance(writer.full[-1], DiskError)  # the job is told: send no more
    await books.keep_unwritten()
    assert books.unwritten == {1: ANSWER}

    await writer.do(lambda c: c.execute("DROP TRIGGER full"))
    await books.keep_unwritten()
    assert books.unwritten == {}
    assert await writer.do(number_of_answers) == 1


async def test_an_answer_kept_after_its_call_was_given_up_is_found_answered(
    writer, books
):
    books.settle(1, maybe=True, ever=True)
    assert await writer.do(state_of_the_first) == "unknown"
    await books.keep(1, ANSWER)

    assert await writer.do(state_of_the_first) == "answered"


def state_of_the_first(connection):
    (state,) = connection.execute("SELECT state FROM items WHERE number=1").fetchone()
    return state


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


@pytest.mark.parametrize(
    ("ends", "state"),
    [
        (["no"], "pending"),
        (["no", "no"], "pending"),
        (["maybe"], "unknown"),
        (["no", "maybe"], "unknown"),
        (["maybe", "no"], "unknown"),
    ],
)
async def test_what_may_be_paid_stays_so_whatever_a_later_attempt_costs(
    writer, books, ends, state
):
    await writer.do(add(b"b"))
    entry = JournalLedger(books, Heard(), 2)
    for attempt, billed in enumerate(ends, 1):
        await entry.before_send(ImageRequest(prompt="a fox"), attempt)
        await entry.settled(attempt, billed)
    item = await writer.do(
        lambda c: c.execute("SELECT state, maybe FROM items WHERE number=2").fetchone()
    )

    assert item == (state, ends.count("maybe"))
    assert writer.lost == []


async def test_the_batch_hears_of_each_step_of_a_jobs_call(writer, books):
    await writer.do(add(b"b"))
    batch = Heard()
    entry = JournalLedger(books, batch, 2)
    await entry.before_send(ImageRequest(prompt="a fox"), 1)
    await entry.answered(ANSWER)
    await entry.settled(1, "yes")

    assert batch.told == [("sent", 1), ("answered", ANSWER), ("yes", 1)]
