"""What is taken into a job, and what a run would do with it."""

import asyncio

import attrs
import pytest
from hypothesis import given, strategies as st
from support.jobs import PROMPTS, files, looking, records

from zai_images import (
    ImageRequest,
    InvalidRequestError,
)
from zai_images._api.wire import decode, encode
from zai_images.jobs import (
    BadLine,
    ImageJob,
    JobError,
    PromptFile,
    State,
)
from zai_images.jobs._input.intake import Intake
from zai_images.jobs._input.keys import Keys


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
    read = decode(body, 5)

    assert encode(read) == encode(request)
    assert (read.id, caller_id) == (5, "null")


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


async def test_pictures_are_counted_from_one(folder):
    async with ImageJob.open(folder) as job:
        with pytest.raises(InvalidRequestError, match="repeat: cannot be 0"):
            await job.take(PROMPTS, repeat=0)


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


async def test_what_was_refused_for_free_and_is_asked_for_no_more_is_forgotten(
    run, box
):
    box.next(prompt="a bear", code="1301")
    refused = await run()
    report = await run(["a fox", "a cat", "a better bear"])

    assert refused.status.refused == 1
    assert report.status.total == report.status.saved == 3


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


@pytest.mark.parametrize("skip_invalid", [True, False])
@pytest.mark.parametrize("more", [0, 1])
async def test_a_long_input_is_taken_in_whole_or_not_at_all(folder, more, skip_invalid):
    """It is read in blocks, which no item is made of before the last is read."""
    prompts = [f"cat {n}" for n in range(1_000 + more)]
    async with ImageJob.open(folder) as job:
        good = await job.take(prompts)
        again = await job.take(["first", "", *prompts], skip_invalid=skip_invalid)
        status = await job.status()
        numbers = [(one.number, one.body["prompt"]) async for one in job.records()]

    assert (good.requests, again.requests, again.bad_lines) == (
        len(prompts),
        len(prompts) + 1,
        1,
    )
    assert status.pending == status.total == len(prompts) + skip_invalid
    assert numbers[: len(prompts)] == list(enumerate(prompts, 1))


async def test_an_input_that_breaks_off_is_forgotten(folder):
    async def broken():
        for number in range(1_200):
            yield f"cat {number}"
        raise ValueError("the source is gone")

    async with ImageJob.open(folder) as job:
        with pytest.raises(ValueError, match="the source is gone"):
            await job.take(broken())
        await job.take([f"dog {number}" for number in range(600)])

        assert (await job.status()).total == 600


async def test_a_closed_job_reads_no_input(folder):
    def prompts():
        raise AssertionError("it was read")
        yield

    with pytest.raises(JobError, match="not open"):
        await ImageJob.open(folder).take(prompts())
