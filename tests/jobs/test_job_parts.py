"""The parts of a durable job that need no service: keys, names, states, the writer."""

import asyncio
import sqlite3
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zai_images import ImageRequest, InvalidRequestError
from zai_images._api.response import ImageResponse, ImageURL
from zai_images._api.wire import RawResponse, encode
from zai_images._batch.outcomes import Done
from zai_images.jobs import MOVES, DiskError, State
from zai_images.jobs._input.intake import Intake, Keys
from zai_images.jobs._journal.queries import request_of
from zai_images.jobs._journal.schema import connect
from zai_images.jobs._journal.steps import intend
from zai_images.jobs._journal.writer import Writer
from zai_images.jobs._names import NameTemplate, slug
from zai_images.jobs._results import ResultWriter, _item
from zai_images.jobs._states import sources
from zai_images.jobs._write_ahead import JournalLedger, WriteAheadLog


def keys_of(requests, repeat=1):
    return [key for key, *_ in Intake(repeat).rows(requests)]


REQUESTS = st.lists(
    st.builds(
        ImageRequest,
        st.sampled_from(["a fox", "a bear", "a cat"]),
        quality=st.sampled_from(["standard", "hd"]),
        id=st.sampled_from([None, "x", 1, "1"]),
    ),
    max_size=12,
)


@given(REQUESTS)
def test_no_two_items_of_an_input_have_the_same_key(requests):
    keys = keys_of(requests, repeat=2)

    assert len(set(keys)) == len(keys) == 2 * len(requests)


@given(REQUESTS, st.randoms())
def test_the_order_of_an_input_does_not_change_its_keys(requests, random):
    moved = list(requests)
    random.shuffle(moved)

    assert set(keys_of(requests)) == set(keys_of(moved))


@given(REQUESTS, REQUESTS)
def test_a_grown_input_has_the_keys_it_had(requests, more):
    assert set(keys_of(requests)) <= set(keys_of([*requests, *more]))
    assert set(keys_of(requests)) <= set(keys_of(requests, repeat=2))


def test_a_line_that_is_repeated_is_no_duplicate_but_an_equal_line_is():
    request = ImageRequest("a fox")
    keys = Keys()
    for repeat in range(3):
        keys.key(request, encode(request), repeat=repeat)
    assert keys.duplicates == 0
    keys.key(request, encode(request))
    assert keys.duplicates == 1


def test_a_stored_request_is_the_one_that_was_taken_in():
    request = ImageRequest("a fox", quality="hd", user_id="user-1", extra={"seed": 7})
    ((_, _, body, caller_id),) = Intake().rows([request])
    read = request_of(body, 5)

    assert encode(read) == encode(request)
    assert (read.id, caller_id) == (5, "null")


def test_every_state_is_reached_and_none_is_left_out_of_the_table():
    reached = frozenset().union(*MOVES.values())

    assert set(MOVES) == set(State)
    assert reached == set(State)
    assert MOVES[State.REFUSED] == frozenset()
    assert State.SENT not in MOVES[State.ANSWERED]  # paid: never straight back out
    assert State.SENT not in MOVES[State.SAVED]
    assert sources(State.SAVED) == (State.ANSWERED,)


NAME = "{index:06d}-{slug}-{key8}"
KEY = "0123456789abcdef0123456789abcdef"


def name(template, prompt="a fox", caller_id=None, number=7):
    return NameTemplate(template).name(number, KEY, caller_id, ImageRequest(prompt))


@pytest.mark.parametrize(
    ("template", "made"),
    [
        (NAME, "000007-a-fox-01234567"),
        ("{index}", "7"),
        ("{key}", KEY),
        (
            "{model}_{quality}_{size}_{index:3d}",
            "cogview-4-250304_standard_1024x1024_  7",
        ),
        ("{id}", "order-12"),
        ("con-{index}", "con-7"),
        ("{{x}}{index}", "{x}7"),
        ("com{index}", "picture-com7-01234567"),
    ],
)
def test_a_template_makes_names(template, made):
    assert name(template, caller_id="order/12") == made


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("../{index}", "cannot stand in a name"),
        ("a/{index}", "cannot stand in a name"),
        ("a\\{index}", "cannot stand in a name"),
        ("{index}\0", "cannot stand in a name"),
        ("{index}:x", "cannot stand in a name"),
        (".{index}", "hidden"),
        ("{prompt}", "is not one of"),
        ("{index.__class__}", "is not one of"),
        ("{slug[0]}", "is not one of"),
        ("{slug!r}", "is not one of"),
        ("{}", "is not one of"),
        ("{0}", "is not one of"),
        ("{slug:>9999999}", "is not understood"),
        ("{index:999999d}", "is not understood"),
        ("{index:{key}}", "is not understood"),
        ("{index", "expected '}'"),
        ("picture", "alike"),
        ("", "alike"),
    ],
)
def test_a_template_that_could_lead_outside_or_names_all_alike_is_refused(
    template, why
):
    with pytest.raises(InvalidRequestError, match="name: ") as caught:
        NameTemplate(template)

    assert why in str(caught.value)


def test_a_name_is_cut_where_a_file_system_would_refuse_it():
    made = name("{id}-{slug}", prompt="雪" * 50, caller_id="狐" * 100)

    assert made == "狐" * 60
    assert len(made.encode()) == 180


@given(st.text(min_size=1).filter(str.strip), st.text() | st.integers() | st.none())
def test_no_prompt_and_no_id_makes_a_name_that_is_not_safe(prompt, caller_id):
    try:
        request = ImageRequest(prompt)
    except InvalidRequestError:
        return
    for template in (NAME, "{id}", "{slug}"):
        made = NameTemplate(template).name(7, KEY, caller_id, request)

        assert made
        assert not set(made) & set('/\\\0:*?"<>|')
        assert not made.startswith(".")
        assert len(made.encode()) <= 220
        assert made.split(".")[0].lower() not in {"con", "nul", "aux", "prn", "com1"}


@pytest.mark.parametrize("prompt", ["con", "NUL", "com1", "...", "/", "\u202e", "😀"])
def test_a_slug_is_never_a_device_or_nothing(prompt):
    assert slug(prompt).startswith("picture")


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


def outcome(request):
    response = ImageResponse(created=1, images=(ImageURL(url="https://x.example"),))
    return Done(
        index=0,
        request=request,
        response=response,
        picture=None,
        queued=0.0,
        latency=0.0,
        attempts=1,
    )


async def test_what_is_not_of_a_job_is_not_kept_as_if_it_were():
    """Of a batch that does not download, or with other requests than a job's."""
    with pytest.raises(RuntimeError, match="was not downloaded"):
        await ResultWriter.write_made(None, outcome(ImageRequest("a fox", id=1)))
    with pytest.raises(TypeError, match="the number of its item"):
        _item(outcome(ImageRequest("a fox", id="x")))
