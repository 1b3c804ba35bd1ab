"""Trouble that was declared comes, as declared, to the requests it is meant for."""

import asyncio
import errno
import json

import aiohttp
import attrs
import pytest

from zai_images.sandbox import Fault, Sandbox

UNSAFE = [{"role": "user", "level": 1}]


@attrs.frozen
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        error = self.json.get("error")
        return error["code"] if error else None


@pytest.fixture
def post(http):
    async def post(sandbox, prompt="a fox", **fields):
        body = {"model": "cogview-4-250304", "prompt": prompt, **fields}
        headers = {"Authorization": f"Bearer {sandbox.api_key}"}
        url = f"{sandbox.base_url}/images/generations"
        async with http.post(url, json=body, headers=headers) as response:
            return Answer(response.status, response.headers, await response.read())

    return post


def with_faults(*faults, **settings):
    return Sandbox(**{"speed": 1000, "pictures": "plain", **settings}, faults=faults)


async def test_a_fault_meets_the_nth_request_that_reached_the_endpoint(post):
    async with with_faults(Fault(nth=3, code="1305")) as sandbox:
        await post(sandbox, "")
        codes = [(await post(sandbox)).code for _ in range(3)]
    assert codes == [None, "1305", None]


async def test_a_fault_meets_exactly_its_prompt(post):
    async with with_faults(Fault(prompt="a fox", code="1301", times=None)) as sandbox:
        assert (await post(sandbox, "a fox")).code == "1301"
        assert (await post(sandbox, "a fox in the snow")).code is None
        assert (await post(sandbox, "a fox")).code == "1301"


async def test_nth_and_prompt_must_both_fit(post):
    fault = Fault(nth=2, prompt="b", code="1305")
    async with with_faults(fault) as sandbox:
        codes = [(await post(sandbox, prompt)).code for prompt in ("b", "a", "b")]
        assert codes == [None, None, None]
    async with with_faults(fault) as sandbox:
        codes = [(await post(sandbox, prompt)).code for prompt in ("a", "b", "b")]
        assert codes == [None, "1305", None]


@pytest.mark.parametrize(("times", "hit"), [(1, 1), (3, 3), (None, 5)])
async def test_a_fault_acts_so_many_times(post, times, hit):
    async with with_faults(Fault(code="1234", times=times)) as sandbox:
        answers = [await post(sandbox) for _ in range(5)]
        assert [answer.code for answer in answers].count("1234") == hit
        assert sandbox.bill.faulted == hit
        assert sandbox.bill.total == 5 - hit


async def test_the_first_declared_fault_that_fits_acts(post):
    async with with_faults(Fault(code="1305"), Fault(code="1234")) as sandbox:
        sandbox.next(code="1302", times=2)
        codes = [(await post(sandbox)).code for _ in range(5)]
    assert codes == ["1305", "1234", "1302", "1302", None]


async def test_the_same_faults_serve_two_sandboxes(post):
    faults = [Fault(code="1305")]
    for _ in range(2):
        async with Sandbox(speed=1000, faults=faults) as sandbox:
            assert (await post(sandbox)).code == "1305"


async def test_a_failing_prompt_fails_always_unless_told_otherwise(post):
    async with with_faults() as sandbox:
        sandbox.fail("a fox")
        sandbox.fail(prompt="a hen", code="1234", times=1)
        assert [(await post(sandbox)).code for _ in range(3)] == ["1301"] * 3
        assert [(await post(sandbox, "a hen")).code for _ in range(2)] == ["1234", None]


async def test_faults_can_be_forgotten(post):
    async with with_faults(Fault(code="1305", times=None)) as sandbox:
        assert (await post(sandbox)).code == "1305"
        sandbox.clear_faults()
        assert (await post(sandbox)).code is None


async def test_a_request_against_the_page_meets_no_fault(post):
    async with with_faults(Fault(code="1305")) as sandbox:
        assert (await post(sandbox, " ")).code == "1214"
        assert (await post(sandbox)).code == "1305"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *[("1000", 401), ("1113", 429), ("1211", 400), ("1220", 403), ("1234", 500)],
        *[("1301", 400), ("1302", 429), ("1303", 429), ("1305", 429), ("1310", 429)],
        *[("500", 500), ("9999", 400)],
    ],
)
async def test_a_codes_status_follows_from_the_table(post, code, status):
    async with with_faults(Fault(code=code)) as sandbox:
        answer = await post(sandbox)
    assert (answer.status, answer.code) == (status, code)
    assert answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "1210"), (401, "1000"), (429, "1302"), (500, "500"), (503, "503")],
)
async def test_a_statuss_code_follows_too(post, status, code):
    async with with_faults() as sandbox:
        sandbox.next(status=status)
        answer = await post(sandbox)
    assert (answer.status, answer.code) == (status, code)


async def test_a_fault_without_any_detail_is_a_server_error(post):
    async with with_faults(Fault()) as sandbox:
        answer = await post(sandbox)
    assert (answer.status, answer.code) == (500, "1234")


async def test_status_code_and_message_can_be_anything(post):
    fault = Fault(status=200, code=4711, message="Weg da!")
    async with with_faults(fault) as sandbox:
        answer = await post(sandbox)
    assert answer.status == 200
    assert answer.json == {"error": {"code": "4711", "message": "Weg da!"}}


async def test_a_content_refusal_carries_its_filter_in_camel_case(post):
    async with with_faults(Fault(code="1301"), Fault(code="1302")) as sandbox:
        refused = (await post(sandbox)).json
        other = (await post(sandbox)).json
    assert refused["contentFilter"] == UNSAFE
    assert "content_filter" not in refused
    assert set(other) == {"error"}


async def test_the_content_filter_can_be_given_or_left_out(post):
    found = [{"role": "assistant", "level": 0}]
    async with with_faults(
        Fault(code="1301", content_filter=found),
        Fault(code="1301", content_filter=()),
        Fault(action="picture", content_filter=UNSAFE),
    ) as sandbox:
        given, left_out, success = [(await post(sandbox)).json for _ in range(3)]
    assert given["contentFilter"] == found
    assert "contentFilter" not in left_out
    assert success["content_filter"] == UNSAFE


@pytest.mark.parametrize("body", ["<oops>", b"<oops>"])
async def test_body_and_headers_replace_what_would_be_sent(post, body):
    headers = {"Retry-After": "7", "content-type": "text/x-oops"}
    async with with_faults(Fault(code="1302", body=body, headers=headers)) as sandbox:
        answer = await post(sandbox)
    assert (answer.status, answer.body) == (429, b"<oops>")
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers.getall("Content-Type") == ["text/x-oops"]


@pytest.mark.parametrize(
    ("given", "sent"), [(7, "7"), (0.5, "0.5"), ("Fri, 31 Dec 1999 23:59:59 GMT",) * 2]
)
async def test_a_time_to_wait_is_sent_as_it_was_given(post, given, sent):
    async with with_faults(Fault(code="1302", retry_after=given)) as sandbox:
        assert (await post(sandbox)).headers["Retry-After"] == sent
        assert "Retry-After" not in (await post(sandbox)).headers


async def test_faults_are_declared_from_other_threads_while_requests_come(post):
    """What threads declare at once acts exactly as often as was declared."""
    threads, each = 4, 50
    async with with_faults() as sandbox:

        def declare():
            for _ in range(each):
                sandbox.next(code="1305")
                sandbox.fail("another prompt", times=1)

        declaring = [asyncio.to_thread(declare) for _ in range(threads)]
        early = [post(sandbox) for _ in range(40)]
        done = await asyncio.gather(*early, *declaring)
        codes = [answer.code for answer in done[:40]]
        while (answer := await post(sandbox)).code is not None:
            codes.append(answer.code)
        assert codes.count("1305") == threads * each
        assert sandbox.bill.faulted == threads * each
        sandbox.clear_faults()
        assert (await post(sandbox, "another prompt")).code is None


@pytest.mark.looptime
async def test_a_delay_replaces_the_time_taken_and_is_divided_by_speed(post):
    loop = asyncio.get_running_loop()
    slow = Fault(action="picture", delay=120)
    async with with_faults(slow, Fault(code="1305", delay=60), speed=2) as sandbox:
        start = loop.time()
        assert (await post(sandbox)).code is None
        assert loop.time() - start == pytest.approx(60, abs=0.01)
        assert (await post(sandbox)).code == "1305"
        assert loop.time() - start == pytest.approx(90, abs=0.01)


@pytest.mark.looptime
async def test_an_unbilled_fault_answers_as_fast_as_a_refusal_and_takes_no_place(post):
    loop = asyncio.get_running_loop()
    async with with_faults(Fault(code="1305"), speed=1, limit=0) as sandbox:
        start = loop.time()
        assert (await post(sandbox)).code == "1305"
        assert 0.05 <= loop.time() - start <= 0.15
        assert (sandbox.bill.total, sandbox.most_in_flight) == (0, 0)


@pytest.mark.looptime
async def test_a_billed_error_takes_its_place_and_its_time(post):
    loop = asyncio.get_running_loop()
    fault = Fault(code="1234", billed=True)
    async with with_faults(fault, speed=1, limit=1) as sandbox:
        start = loop.time()
        failing = asyncio.create_task(post(sandbox))
        await asyncio.sleep(1)
        assert (await post(sandbox)).code == "1302"
        assert (await failing).code == "1234"
        assert 5 <= loop.time() - start <= 10
        assert [entry.outcome for entry in sandbox.bill.entries] == ["answer"]


async def test_a_request_refused_for_want_of_a_place_leaves_a_billed_fault(post):
    async with with_faults(Fault(action="empty"), limit=0) as sandbox:
        assert (await post(sandbox)).code == "1302"
        sandbox.limit = 1
        assert (await post(sandbox)).json["data"] == []


@pytest.mark.parametrize("billed", [False, True])
async def test_a_reset_connection_is_reset(post, billed):
    async with with_faults(Fault(action="reset", billed=billed)) as sandbox:
        with pytest.raises(aiohttp.ClientOSError) as caught:
            await post(sandbox)
        assert caught.value.errno == errno.ECONNRESET
        assert sandbox.bill.total == billed
        assert (await post(sandbox)).status == 200


@pytest.mark.looptime
async def test_a_reset_that_finds_its_client_gone_is_harmless(post):
    fault = Fault(action="reset", delay=60)
    async with with_faults(fault, speed=1) as sandbox:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await post(sandbox)
        await asyncio.sleep(120)
        assert (await post(sandbox)).status == 200


@pytest.mark.looptime
@pytest.mark.parametrize("billed", [False, True])
async def test_a_hanging_request_is_never_answered(post, billed):
    fault = Fault(action="hang", billed=billed)
    async with with_faults(fault, speed=1, limit=1) as sandbox:
        hanging = asyncio.create_task(post(sandbox))
        await asyncio.sleep(1)
        assert sandbox.in_flight == sandbox.bill.total == billed
        await asyncio.sleep(200)
        assert not hanging.done()
        # The job is over, so its place is free; only the answer was lost.
        assert sandbox.in_flight == 0
        assert (await post(sandbox)).status == 200
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await hanging


async def test_a_truncated_answer_breaks_off_and_was_paid(post):
    async with with_faults(Fault(action="truncate")) as sandbox:
        with pytest.raises(aiohttp.ClientPayloadError):
            await post(sandbox)
        assert [entry.outcome for entry in sandbox.bill.entries] == ["truncate"]
        assert (await post(sandbox)).status == 200


@pytest.mark.parametrize(
    ("action", "data"), [("empty", []), ("null_url", [{"url": None}])]
)
async def test_a_success_without_a_picture_was_paid(post, action, data):
    async with with_faults(Fault(action=action)) as sandbox:
        answer = await post(sandbox)
        assert (answer.status, answer.json["data"]) == (200, data)
        assert sandbox.bill.total == 1


async def test_a_web_page_comes_as_from_a_proxy(post):
    async with with_faults(
        Fault(action="html"), Fault(action="html", status=405, body="<p>blocked</p>")
    ) as sandbox:
        gateway = await post(sandbox)
        firewall = await post(sandbox)
        assert sandbox.bill.total == 0
    assert gateway.status == 502
    assert gateway.body.startswith(b"<html>")
    assert gateway.headers["Content-Type"].startswith("text/html")
    assert (firewall.status, firewall.body) == (405, b"<p>blocked</p>")


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "explode"},
        {"nth": 0},
        {"times": 0},
        {"delay": -1},
        {"status": 100},
        {"status": 600},
        {"action": "reset", "code": "1302"},
        {"action": "empty", "message": "oops"},
        {"fetches": 2},
        {"action": "picture", "seconds": 2},
        {"action": "missing_picture", "fetches": 0},
        {"action": "missing_picture", "seconds": -1},
        {"action": "missing_picture", "fetches": 2, "seconds": 2},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_when_declared(wrong):
    with pytest.raises(ValueError, match=r"."):
        Fault(**wrong)


def test_a_field_that_does_not_exist_is_refused():
    with pytest.raises(TypeError):
        Sandbox().next(sttaus=500)
