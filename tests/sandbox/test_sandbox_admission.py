"""The sandbox's clock, places, rate and bill, in virtual time."""

import asyncio
from itertools import pairwise

import attrs
import pytest

from zai_images.sandbox import Sandbox


@pytest.fixture
def post(http):
    async def post(sandbox, prompt="a fox", **fields):
        body = {"model": "cogview-4-250304", "prompt": prompt, **fields}
        headers = {"Authorization": f"Bearer {sandbox.api_key}"}
        url = f"{sandbox.base_url}/images/generations"
        async with http.post(url, json=body, headers=headers) as response:
            answer = await response.json()
            return answer["error"]["code"] if "error" in answer else response.status

    return post


@pytest.fixture
def timed(post):
    async def timed(sandbox, **fields):
        loop = asyncio.get_running_loop()
        start = loop.time()
        await post(sandbox, **fields)
        return loop.time() - start

    return timed


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("quality", "least", "most"), [("standard", 5, 10), ("hd", 17, 20)]
)
async def test_a_picture_takes_as_long_as_the_page_says(timed, quality, least, most):
    async with Sandbox() as sandbox:
        times = [await timed(sandbox, quality=quality) for _ in range(8)]
    assert all(least <= taken <= most for taken in times)
    assert max(times) - min(times) > (most - least) / 4


@pytest.mark.looptime
async def test_speed_divides_every_time(timed):
    async with Sandbox(speed=20) as sandbox:
        assert 0.25 <= await timed(sandbox) <= 0.5
        assert 0.0025 <= await timed(sandbox, prompt="") <= 0.0075
        sandbox.speed /= 10
        assert 2.5 <= await timed(sandbox) <= 5


@pytest.mark.looptime
async def test_a_refusal_is_quick(timed):
    async with Sandbox(limit=0) as sandbox:
        assert 0.05 <= await timed(sandbox) <= 0.15
        assert 0.05 <= await timed(sandbox, prompt=" ") <= 0.15


@pytest.mark.looptime
async def test_the_same_seed_gives_the_same_times(timed):
    async def times(seed):
        async with Sandbox(seed=seed) as sandbox:
            return [await timed(sandbox) for _ in range(3)]

    assert await times(7) == pytest.approx(await times(7), abs=1e-4)
    assert await times(7) != pytest.approx(await times(8), abs=1e-4)


@pytest.mark.looptime
async def test_more_than_the_limit_at_once_is_refused_and_free(post):
    async with Sandbox(limit=2) as sandbox:
        answers = await asyncio.gather(*(post(sandbox) for _ in range(5)))
        assert sorted(map(str, answers)) == ["1302", "1302", "1302", "200", "200"]
        assert (sandbox.bill.total, sandbox.bill.refusals) == (2, 3)
        assert sandbox.most_in_flight == 2


@pytest.mark.looptime
async def test_a_place_is_free_as_soon_as_its_answer_is_there(post):
    async with Sandbox(limit=1) as sandbox:
        for _ in range(4):
            assert await post(sandbox) == 200
            assert sandbox.in_flight == 0


@pytest.mark.looptime
async def test_the_limit_can_be_moved_while_pictures_are_made(post):
    async with Sandbox(limit=1) as sandbox:
        first = asyncio.create_task(post(sandbox))
        await asyncio.sleep(0.5)
        assert await post(sandbox) == "1302"
        sandbox.limit = 2
        second = asyncio.create_task(post(sandbox))
        await asyncio.sleep(0.5)
        sandbox.limit = 1
        assert sandbox.in_flight == 2
        assert await post(sandbox) == "1302"
        assert await asyncio.gather(first, second) == [200, 200]
        sandbox.limit = None
        assert sandbox.limit is None
        answers = await asyncio.gather(*(post(sandbox) for _ in range(20)))
        assert answers == [200] * 20


@pytest.mark.looptime
async def test_a_client_that_leaves_keeps_its_place_and_pays(post):
    async with Sandbox(limit=1) as sandbox:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await post(sandbox)
        assert (sandbox.bill.total, sandbox.in_flight) == (1, 1)
        await asyncio.sleep(3)
        assert await post(sandbox) == "1302"
        await asyncio.sleep(7)
        assert sandbox.in_flight == 0
        assert await post(sandbox) == 200
        assert sandbox.bill.total == 2


@pytest.mark.looptime
async def test_a_rate_allows_a_burst_of_ten_and_then_its_share(post):
    async with Sandbox(rate=60) as sandbox:
        answers = await asyncio.gather(*(post(sandbox) for _ in range(12)))
        assert sorted(map(str, answers)) == ["1303"] * 2 + ["200"] * 10
        # The pictures took their 5 to 10 seconds, so the bucket has 5 to 10 again.
        await asyncio.sleep(10)
        answers = await asyncio.gather(*(post(sandbox) for _ in range(11)))
        assert answers.count("1303") == 1
        assert sandbox.bill.refusals == 3


@pytest.mark.looptime
async def test_the_rate_counts_real_minutes_whatever_the_speed(post):
    async with Sandbox(rate=6, speed=1000) as sandbox:
        answers = await asyncio.gather(*(post(sandbox) for _ in range(10)))
        assert answers == [200] * 10
        assert await post(sandbox) == "1303"
        await asyncio.sleep(10)
        assert await post(sandbox) == 200
        assert await post(sandbox) == "1303"
        sandbox.rate = None
        assert sandbox.rate is None
        assert await post(sandbox) == 200


@pytest.mark.looptime
async def test_a_request_without_a_place_uses_up_no_rate(post):
    async with Sandbox(rate=1, limit=0, speed=1000) as sandbox:
        answers = await asyncio.gather(*(post(sandbox) for _ in range(30)))
        assert answers == ["1302"] * 30
        sandbox.limit = 10
        answers = await asyncio.gather(*(post(sandbox) for _ in range(10)))
        assert answers == [200] * 10


@pytest.mark.looptime
async def test_every_admitted_request_is_billed_at_its_admission(post):
    async with Sandbox() as sandbox:
        waiting = asyncio.create_task(post(sandbox, "a fox"))
        await asyncio.sleep(1)
        assert sandbox.bill.total == 1
        await waiting
        await post(sandbox, "a hen", quality="hd", size="512x768", user_id="user-1")
        await post(sandbox, "a fox")
        fox, hen, again = sandbox.bill.entries
    assert [entry.index for entry in (fox, hen, again)] == [0, 1, 2]
    assert hen.quality == "hd"
    assert (hen.size, hen.user_id, hen.outcome) == ("512x768", "user-1", "picture")
    assert all(earlier.at < later.at for earlier, later in pairwise((fox, hen, again)))
    assert len({fox.request_id, hen.request_id, again.request_id}) == 3
    assert sandbox.bill.for_prompt("a fox") == [fox, again]
    assert sandbox.bill.for_prompt("a f") == []
    assert sandbox.bill.prompts["a fox"] == 2
    assert sum(sandbox.bill.prompts.values()) == sandbox.bill.total
    assert len(sandbox.bill) == sandbox.bill.total == 3
    assert sandbox.bill.cost == 0.03
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        fox.prompt = "another"


@pytest.mark.looptime
async def test_the_bills_numbers_always_add_up(post):
    async with Sandbox(limit=3, speed=100) as sandbox:
        sandbox.next(code="1305", times=2)
        prompts = ["a", " ", "b", "", "c", "d", "e", "f"]
        await asyncio.gather(*(post(sandbox, prompt) for prompt in prompts))
        bill = sandbox.bill
        assert (bill.rejected, bill.faulted, bill.total, bill.refusals) == (2, 2, 3, 1)
        assert bill.requests == sandbox.requests == 8
        assert "3 pictures $0.03" in repr(bill)


async def test_an_empty_bill_is_not_false():
    assert Sandbox().bill


@pytest.mark.looptime
async def test_the_key_is_nowhere_on_record(post):
    async with Sandbox(api_key="sk-very-secret", speed=100) as sandbox:
        await post(sandbox)
        assert "sk-very-secret" not in repr(sandbox)
        assert "sk-very-secret" not in repr(sandbox.bill.entries)


@pytest.mark.parametrize(
    "wrong", [{"speed": 0}, {"speed": -1}, {"speed": float("inf")}, {"pictures": "no"}]
)
def test_a_senseless_setting_is_refused_at_once(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sandbox(**wrong)
