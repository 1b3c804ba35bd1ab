"""The log says what a client sent, and never the key it sent it with."""

import asyncio
import io

import aiohttp
import pytest

from zai_images import AnswerLostError, ImageSession
from zai_images.sandbox import Sandbox

KEY = "sk-a-key-nobody-may-see"


def kept(**settings):
    settings = {"speed": 1000, "pictures": "plain", "api_key": KEY, **settings}
    return Sandbox(record=True, **settings)


def at(sandbox, **settings):
    return ImageSession(api_key=KEY, base_url=sandbox.base_url, **settings)


@pytest.mark.looptime
async def test_it_tells_what_was_asked_and_when_and_what_was_answered():
    loop = asyncio.get_running_loop()
    async with kept(speed=1) as sandbox, at(sandbox) as session:
        begun = loop.time()
        await session.generate("a fox", size="512x512", user_id="user-7")
        await asyncio.sleep(100)
        sandbox.next(code="1301")
        refused = await asyncio.gather(session.generate("x"), return_exceptions=True)

    first, second = sandbox.log
    assert (first.method, first.path) == ("POST", "/api/paas/v4/images/generations")
    assert (first.prompt, first.status) == ("a fox", 200)
    assert first.json["user_id"] == "user-7"
    assert begun <= first.at < begun + 1
    assert second.at - first.at > 100
    assert (second.prompt, second.status) == ("x", refused[0].status)


async def test_headers_are_found_in_any_case_and_hold_no_key():
    secrets = {"cookie": f"a={KEY}", "x-note": f"it is {KEY}", "x-plain": "yes"}
    async with kept() as sandbox, aiohttp.ClientSession() as http:
        url = f"{sandbox.base_url}/images/generations?key={KEY}"
        await http.post(url, headers={"authorization": f"Bearer {KEY}"} | secrets)

    (entry,) = sandbox.log
    assert entry.headers["Authorization"] == entry.headers["Cookie"] == "***"
    assert entry.headers["X-Note"] == "it is ***"
    assert entry.headers["X-PLAIN"] == "yes"
    assert KEY not in repr(entry) + str(entry.headers) + entry.path


async def test_a_wrong_key_is_not_shown_either():
    async with kept() as sandbox, aiohttp.ClientSession() as http:
        url = f"{sandbox.base_url}/images/generations"
        await http.post(url, headers={"Authorization": "Bearer sk-wrong"})

    (entry,) = sandbox.log
    assert entry.status == 401
    assert "sk-wrong" not in str(entry.headers)


@pytest.mark.parametrize("action", ["reset", "hang"])
async def test_an_answer_that_nobody_got_has_no_status(action):
    async with kept() as sandbox, at(sandbox) as session:
        sandbox.next(action=action)
        call = asyncio.create_task(session.generate("a fox"))
        while not sandbox.log:
            await asyncio.sleep(0)
        if action == "hang":
            call.cancel()
        with pytest.raises((AnswerLostError, asyncio.CancelledError)):
            await call

        assert [entry.status for entry in sandbox.log] == [None]


async def test_requests_elsewhere_and_without_a_use_are_kept_too():
    async with kept() as sandbox, aiohttp.ClientSession() as http:
        await http.get(f"{sandbox.base_url}/models")
        await http.post(f"{sandbox.base_url}/images/generations", data=b"\xff")
        too_large = io.BytesIO(bytes(2**21))
        await http.post(f"{sandbox.base_url}/images/generations", data=too_large)

    models, unreadable, huge = sandbox.log
    assert (models.method, models.path) == ("GET", "/api/paas/v4/models")
    assert models.body == huge.body == b""
    assert unreadable.body == b"\xff"
    with pytest.raises(ValueError, match=r"."):
        _ = unreadable.json
    with pytest.raises(ValueError, match=r"."):
        _ = unreadable.prompt


async def test_a_body_without_a_prompt_says_so():
    async with kept() as sandbox, aiohttp.ClientSession() as http:
        await http.post(f"{sandbox.base_url}/images/generations", json={})

    with pytest.raises(LookupError):
        _ = sandbox.log[0].prompt


def test_a_sandbox_that_keeps_none_says_how():
    with pytest.raises(RuntimeError, match="record=True"):
        _ = Sandbox().log
