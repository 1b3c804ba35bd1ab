"""What users get for their own tests: a sandbox in a thread, a session, a script."""

import asyncio
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from zai_images import (
    AccountError,
    AnswerLostError,
    AuthenticationError,
    BatchRunner,
    BudgetError,
    BusyError,
    ConfigurationError,
    ConnectError,
    ContentRefusedError,
    Done,
    DownloadError,
    ImageSession,
    QuotaError,
    RateLimitedError,
    ResponseError,
    RetryPolicy,
    ServerError,
    Timeouts,
    events,
)
from zai_images.sandbox import Sandbox
from zai_images.testing import (
    Script,
    ScriptedTransport,
    quick_config,
    quick_session,
    sandbox_in_thread,
)


async def test_one_picture_is_asked_for_and_billed_once(zai_sandbox, zai_session):
    picture = await zai_session.generate_picture("a fox", size="512x768")

    assert (picture.width, picture.height, picture.cost) == (512, 768, 0.01)
    assert zai_sandbox.bill.prompts == {"a fox": 1}
    (asked,) = zai_sandbox.log
    assert asked.json["size"] == "512x768"
    assert asked.headers["Authorization"] == "***"


async def test_each_test_has_a_sandbox_of_its_own(zai_sandbox):
    assert zai_sandbox.requests == 0
    assert zai_sandbox.log == ()


async def test_a_batch_pays_for_each_prompt_once_through_refusals(
    zai_sandbox, zai_session
):
    zai_sandbox.next(status=429, code="1302", times=7)
    prompts = [f"fox {n}" for n in range(40)]

    outcomes = await BatchRunner(zai_session, download=True).run(prompts)

    assert all(isinstance(one, Done) and one.picture for one in outcomes)
    assert zai_sandbox.bill.prompts == dict.fromkeys(prompts, 1)
    assert [one.status for one in zai_sandbox.log].count(429) == 7


# The columns: what is declared, the error, whether it is billed, the POSTs, how often
# the sandbox has charged for it.
FAULTS = {
    "the account has no balance": ({"code": "1113"}, AccountError, "no", 1, 0),
    "the key is not valid": ({"code": "1000"}, AuthenticationError, "no", 1, 0),
    "the allowance is used up": ({"code": "1308"}, QuotaError, "no", 1, 0),
    "the prompt is refused": ({"code": "1301"}, ContentRefusedError, "no", 1, 0),
    "an unknown 429": ({"status": 429, "code": "9"}, RateLimitedError, "no", 3, 0),
    "the service fails twice": ({"code": "1234"}, ServerError, "maybe", 2, 0),
    "a proxy's web page": ({"action": "html"}, AnswerLostError, "maybe", 1, 0),
    "dropped before the bill": ({"action": "reset"}, AnswerLostError, "maybe", 1, 0),
    "dropped after the bill": (
        {"action": "reset", "billed": True},
        AnswerLostError,
        *("maybe", 1, 1),
    ),
    "half an answer": ({"action": "truncate"}, AnswerLostError, "maybe", 1, 1),
    "no picture in a 200": ({"action": "empty"}, ResponseError, "maybe", 1, 1),
    "no link in a 200": ({"action": "null_url"}, ResponseError, "maybe", 1, 1),
    "a link that leads nowhere": (
        {"action": "missing_picture"},
        DownloadError,
        *("yes", 1, 1),
    ),
    "half a picture": ({"action": "truncated_picture"}, DownloadError, "yes", 1, 1),
    "an expired link": ({"action": "expired_picture"}, DownloadError, "yes", 1, 1),
}


@pytest.mark.tried("faults that users declare")
@pytest.mark.parametrize(
    ("fault", "expected"), [(row[0], row[1:]) for row in FAULTS.values()], ids=FAULTS
)
async def test_a_declared_fault_is_the_error_it_stands_for(
    zai_sandbox, zai_session, fault, expected
):
    error, billed, posts, charged = expected
    zai_sandbox.next(times=None, **fault)

    with pytest.raises(error) as caught:
        await zai_session.generate_picture("a fox")

    assert type(caught.value) is error
    assert caught.value.billed == billed
    assert zai_sandbox.requests == len(zai_sandbox.log) == posts
    assert zai_sandbox.bill.total == charged


async def test_a_prompt_can_be_refused_and_the_others_made(zai_sandbox, zai_session):
    zai_sandbox.fail(prompt="b", code="1301")

    outcomes = await BatchRunner(zai_session).run(["a", "b", "c"])

    assert [type(one) is Done for one in outcomes] == [True, False, True]
    assert zai_sandbox.bill.prompts == {"a": 1, "c": 1}


@pytest.mark.parametrize("code", ["1302", "1303", "1305", "1312"])
async def test_a_refusal_costs_a_test_no_real_wait(zai_sandbox, zai_session, code):
    zai_sandbox.next(status=429, code=code, times=2, retry_after=60)

    async with asyncio.timeout(5):
        await zai_session.generate("a fox")

    assert zai_sandbox.bill.refusals + zai_sandbox.bill.faulted == 2
    assert zai_sandbox.bill.total == 1


@pytest.mark.zai_sandbox(limit=0)
@pytest.mark.zai_session(max_wait=0.05)
async def test_markers_set_what_the_fixtures_are(zai_sandbox, zai_session):
    with pytest.raises(BusyError):
        await zai_session.generate("a fox")

    assert zai_sandbox.bill.refusals == zai_sandbox.requests >= 1


@pytest.mark.zai_session(timeouts=Timeouts(total=0.5))
@pytest.mark.parametrize("billed", [False, True])
async def test_an_answer_that_never_comes_is_lost_when_the_test_says(
    zai_sandbox, zai_session, billed
):
    zai_sandbox.next(action="hang", billed=billed)
    with pytest.raises(AnswerLostError):
        await zai_session.generate("a fox")

    assert zai_sandbox.requests == 1
    assert zai_sandbox.bill.total == billed


@pytest.mark.zai_sandbox(3)
def test_a_marker_without_names_is_a_mistake(request):
    with pytest.raises(pytest.UsageError, match="zai_sandbox takes keywords"):
        request.getfixturevalue("zai_sandbox")


@pytest.mark.zai_sandbox(limit=3, api_key="sk-of-the-class")
class TestTheNearestMarker:
    @pytest.mark.zai_sandbox(limit=2)
    def test_wins_and_leaves_the_rest(self, zai_sandbox):
        assert (zai_sandbox.limit, zai_sandbox.api_key) == (2, "sk-of-the-class")


@pytest.mark.zai_session(max_pictures=1)
async def test_a_marker_sets_a_cap(zai_sandbox, zai_session):
    await zai_session.generate("a fox")
    with pytest.raises(BudgetError):
        await zai_session.generate("a heron")

    assert zai_sandbox.bill.prompts == {"a fox": 1}


async def test_a_session_of_ones_own_takes_the_quick_settings(zai_sandbox):
    seen = []
    config = quick_config(zai_sandbox, retry=RetryPolicy(server_errors=0))
    zai_sandbox.next(code="1234")
    async with ImageSession(config, observer=seen.append, max_cost=1) as session:
        with pytest.raises(ServerError):
            await session.generate("a fox")

    assert zai_sandbox.requests == 1
    assert events.Sent in map(type, seen)


def test_sync_code_asks_the_sandbox_too(zai_sandbox):
    """Whatever client it uses, and in the thread that a test is in."""
    zai_sandbox.next(code="1301")
    url = urlsplit(zai_sandbox.base_url)
    with closing(HTTPConnection(url.hostname, url.port)) as http:
        http.request(
            "POST",
            f"{url.path}/images/generations",
            body=b'{"model":"cogview-4-250304","prompt":"a fox"}',
            headers={
                "Authorization": f"Bearer {zai_sandbox.api_key}",
                "Content-Type": "application/json",
            },
        )
        answer = json.load(http.getresponse())

    assert answer["error"]["code"] == "1301"


def test_many_threads_with_loops_of_their_own_share_a_sandbox(zai_sandbox):
    def work(name):
        async def one():
            async with ImageSession(quick_config(zai_sandbox)) as session:
                zai_sandbox.fail(f"never {name}")
                with pytest.raises(ContentRefusedError):
                    await session.generate(f"never {name}")
                await session.generate(f"fox {name}")

        asyncio.run(one())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    assert zai_sandbox.bill.prompts == {f"fox {n}": 1 for n in range(8)}


def test_a_session_closes_with_each_loop_and_leaves_no_socket_open():
    def several(times):
        # The sandbox ends here, so that its ends of the connections count as well.
        with sandbox_in_thread() as sandbox:
            for _ in range(times):
                with quick_session(sandbox) as session:
                    for _ in range(2):
                        asyncio.run(session.generate_picture("a fox"))
                        assert session.requester.resources is None
                        assert session.requester._last.transport._session.closed
                    assert session.stats().pictures == 2

    several(1)
    before = len(os.listdir("/dev/fd"))
    several(10)
    assert len(os.listdir("/dev/fd")) <= before


def test_a_session_is_closed_on_a_loop_at_rest():
    loop = asyncio.new_event_loop()
    with sandbox_in_thread() as sandbox:
        with quick_session(sandbox) as session:
            loop.run_until_complete(session.generate("a fox"))
            engine = session.requester.resources
        assert engine.transport._session.closed
        with pytest.raises(ConfigurationError, match="closed"):
            loop.run_until_complete(session.generate("a fox"))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_a_session_that_was_closed_before_its_loop_ended_is_closed_once():
    async def used(session):
        response = await session.generate("a fox")
        await session.download(response)  # it is open already
        await session.aclose()

    with sandbox_in_thread() as sandbox, quick_session(sandbox) as session:
        asyncio.run(used(session))
        assert session.stats().pictures == 1


def test_a_session_is_closed_on_a_loop_that_runs_in_another_thread():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with sandbox_in_thread() as sandbox, quick_session(sandbox) as session:
            asked = asyncio.run_coroutine_threadsafe(session.generate("a fox"), loop)
            asked.result(10)
            engine = session.requester.resources
        assert engine.transport._session.closed
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def test_a_session_whose_loop_was_closed_without_a_word_is_let_go():
    loop = asyncio.new_event_loop()
    with sandbox_in_thread() as sandbox, quick_session(sandbox) as session:
        loop.run_until_complete(session.generate("a fox"))
        loop.close()
    assert session.requester.resources is None


async def test_a_session_closed_by_hand_stays_closed(zai_session):
    await zai_session.generate("a fox")
    await zai_session.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await zai_session.generate("a fox")


def test_a_sandbox_ends_with_what_hangs_in_it():
    before = threading.active_count()
    with sandbox_in_thread() as sandbox:
        sandbox.next(action="hang")

        async def given_up():
            async with ImageSession(quick_config(sandbox)) as session:
                call = asyncio.create_task(session.generate("a fox"))
                while not sandbox.log:
                    await asyncio.sleep(0.001)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
                assert session.stats().maybe_billed == 1

        asyncio.run(given_up())
    assert threading.active_count() == before


def test_a_sandbox_that_cannot_start_says_so_where_it_was_wanted(monkeypatch):
    before = threading.active_count()

    async def start(self, port=0):
        raise OSError("no port is free")

    monkeypatch.setattr(Sandbox, "start", start)
    with pytest.raises(OSError, match="no port"), sandbox_in_thread():
        pass
    assert threading.active_count() == before


def test_a_sandbox_that_fails_to_end_says_so_where_it_was_used(monkeypatch):
    ending = Sandbox.aclose

    async def fail(self):
        await ending(self)
        raise OSError("the disk is full")

    monkeypatch.setattr(Sandbox, "aclose", fail)
    with pytest.raises(OSError, match="disk"), sandbox_in_thread():
        pass


@pytest.mark.parametrize(
    ("code", "error", "status"),
    [("1301", ContentRefusedError, 400), ("1113", AccountError, 429)],
)
async def test_a_scripted_failure_is_the_services_envelope(code, error, status):
    transport = ScriptedTransport([Script.failure(code, "No."), Script()])
    async with ImageSession(api_key="any", http=transport) as session:
        with pytest.raises(error, match=r"No\.") as caught:
            await session.generate("a fox")
        response = await session.generate("a heron")

    assert caught.value.status == status
    assert response.url == "https://example.com/picture.png"
    assert transport.prompts == ["a fox", "a heron"]


@pytest.mark.looptime
async def test_a_scripted_refusal_names_its_time(looptime):
    script = [Script.failure("1302", retry_after="30", delay=1), Script(delay=5)]
    transport = ScriptedTransport(script)
    async with ImageSession(api_key="any", http=transport) as session:
        await session.generate("a fox")

    assert transport.posts == 2
    assert 36 <= looptime <= 46


async def test_a_connection_that_never_came_to_be_is_scripted():
    script = [Script(error=ConnectError("no route", retryable=False), written=False)]
    transport = ScriptedTransport(script)
    async with ImageSession(api_key="any", http=transport) as session:
        with pytest.raises(ConnectError):
            await session.generate("a fox")

        assert session.stats().maybe_billed == 0


@pytest.mark.parametrize("record", [True, False])
async def test_a_transport_keeps_what_it_was_sent_only_where_that_is_wanted(record):
    """In a test of a million prompts it would fill the memory."""
    transport = ScriptedTransport(record=record)
    async with ImageSession(api_key="any", http=transport) as session:
        for prompt in ("a fox", "a cat"):
            await session.generate(prompt)

    assert transport.posts == 2
    assert transport.prompts == (["a fox", "a cat"] if record else [])
    assert len(transport.bodies) == (2 if record else 0)
