"""The thread that writes the journal, and what a job writes ahead with it."""

import asyncio
import sqlite3
import threading

import pytest

from zai_images.jobs import DiskError, JobError
from zai_images.jobs._journal.schema import connect
from zai_images.jobs._journal.writer import Writer


@pytest.fixture
async def writer(tmp_path):
    lost, full = [], []
    writer = Writer(
        connect(tmp_path / "job.sqlite"),
        lost=lambda _: writer.taken,
        on_trouble=full.append,
        on_lost=lost.append,
    )
    writer.taken = None  # why the job is not ours any more
    writer.lost, writer.full = lost, full
    yield writer
    await writer.aclose()


def reader(folder, on_trouble):
    return Writer(
        connect(folder / "job.sqlite"), lost=None, on_trouble=on_trouble, on_lost=print
    )


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
    paid = asyncio.ensure_future(writer.do(add(b"paid"), "fact"))
    unpaid = asyncio.ensure_future(writer.do(add(b"unpaid")))
    writer.post(broken)
    with pytest.raises(DiskError, match=r"disk I/O error.*run the same command again"):
        await writer.do(broken)
    await asyncio.wait([paid, unpaid])
    await paid

    assert await writer.do(number_of_items) >= 1
    assert writer.full
    assert [type(error) for error in writer.lost] == [DiskError]


async def test_a_read_that_fails_takes_no_write_with_it(writer):
    def unreadable(_):
        raise sqlite3.OperationalError("disk I/O error")

    wait = threading.Event()
    writer.put(lambda _: wait.wait(10), "read")
    reading = asyncio.ensure_future(writer.do(unreadable, "read"))
    writing = asyncio.ensure_future(writer.do(add(b"a")))
    await asyncio.sleep(0)
    wait.set()
    with pytest.raises(DiskError):
        await reading
    await writing

    assert await writer.do(number_of_items, "read") == 1


async def test_a_cancelled_wait_does_not_take_a_step_back(writer):
    waiting = asyncio.ensure_future(writer.do(add(b"a")))
    await asyncio.sleep(0)
    waiting.cancel()

    assert await writer.do(number_of_items) == 1


async def test_closing_writes_what_waits(tmp_path):
    writer = reader(tmp_path, print)
    for number in range(50):
        writer.post(add(b"%d" % number))
    await writer.aclose()

    with connect(tmp_path / "job.sqlite") as connection:
        assert number_of_items(connection) == 50
    connection.close()


async def test_a_job_that_is_anothers_by_now_takes_facts_and_nothing_else(writer):
    await writer.do(add(b"a"))
    writer.taken = JobError("taken over")
    writer.post(add(b"b"))
    with pytest.raises(JobError, match="taken over"):
        await writer.do(add(b"c"))
    await writer.do(add(b"d"), "fact")

    assert writer.lost == [writer.taken]
    assert await writer.do(number_of_items, "read") == 2


async def test_a_fault_of_ours_leaves_no_transaction_open(writer):
    def fail(_):
        raise ValueError("a fault")

    writer._lost = fail
    with pytest.raises(ValueError, match="a fault"):
        await writer.do(add(b"a"))
    writer._lost = None

    await writer.do(add(b"b"))
    assert await writer.do(number_of_items, "read") == 1


async def test_reading_waits_for_no_lock_of_another_program(writer, tmp_path):
    await writer.do(lambda c: c.execute("PRAGMA busy_timeout=0").fetchall())
    await writer.do(add(b"a"))
    other = sqlite3.connect(tmp_path / "job.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    wait = threading.Event()
    writer.put(lambda _: wait.wait(10), "read")
    writing = asyncio.ensure_future(writer.do(add(b"b")))
    reading = asyncio.ensure_future(writer.do(number_of_items, "read"))
    await asyncio.sleep(0)
    wait.set()

    with pytest.raises(DiskError, match="locked"):
        await writing
    assert await reading == 1
    other.close()


async def test_another_program_is_waited_for_once_and_then_hardly(writer, monkeypatch):
    """Or each of many answers in flight would wait as long, one after another."""
    waits = []

    def patience(connection):
        waits.append(connection.execute("PRAGMA busy_timeout").fetchone()[0])

    await writer.do(patience, "read")
    with pytest.raises(DiskError):
        await writer.do(broken)
    await writer.do(patience, "read")
    await writer.do(patience, "read")
    await writer.do(add(b"a"))
    await writer.do(patience, "read")

    assert waits == [10_000, 100, 100, 10_000]


async def test_a_thread_that_has_nothing_to_do_shows_life(tmp_path, monkeypatch):
    monkeypatch.setattr("zai_images.jobs._journal.writer.BEAT", 0.001)
    alive = threading.Event()
    writer = Writer(
        connect(tmp_path / "job.sqlite"),
        lost=lambda _: alive.set(),
        on_trouble=print,
        on_lost=print,
    )
    assert await asyncio.to_thread(alive.wait, 10)
    await writer.aclose()


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

    writer = reader(tmp_path, fail)
    waiting = [asyncio.ensure_future(writer.do(broken)) for _ in range(2)]
    await asyncio.wait(waiting)

    assert [type(one.exception()) for one in waiting] == [PermissionError] * 2
    assert await writer.do(number_of_items) == 0
    await writer.aclose()
