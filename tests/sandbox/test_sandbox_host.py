"""The picture host, and how a sandbox starts and ends."""

import ast
import asyncio
import io
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from PIL import Image
from yarl import URL

import zai_images.sandbox
from zai_images.sandbox import Fault, Sandbox


@pytest.fixture
def post(http):
    async def post(sandbox, prompt="a fox", **fields):
        body = {"model": "cogview-4-250304", "prompt": prompt, **fields}
        headers = {"Authorization": f"Bearer {sandbox.api_key}"}
        url = f"{sandbox.base_url}/images/generations"
        async with http.post(url, json=body, headers=headers) as response:
            return (await response.json())["data"][0]["url"]

    return post


@pytest.fixture
def fetch(http):
    async def fetch(url, method="GET", **options):
        async with http.request(method, url, **options) as response:
            return response.status, await response.read()

    return fetch


@pytest.mark.parametrize("pictures", ["drawn", "plain"])
@pytest.mark.parametrize("size", ["512x512", "720x1440", "2048x1024"])
async def test_a_picture_is_a_png_of_exactly_the_asked_size(http, post, pictures, size):
    async with Sandbox(speed=1000, pictures=pictures) as sandbox:
        link = await post(sandbox, size=size)
        async with http.get(link) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "image/png"
            data = await response.read()
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.format == "PNG"
        assert f"{image.width}x{image.height}" == size
        assert "not a real CogView-4 picture" in image.info["Comment"]


@pytest.mark.parametrize("pictures", ["drawn", "plain"])
async def test_a_link_serves_the_same_bytes_any_number_of_times(post, fetch, pictures):
    async with Sandbox(speed=1000, pictures=pictures) as sandbox:
        link = await post(sandbox, size="512x512")
        answers = {await fetch(link) for _ in range(3)}
        assert len(answers) == 1
        assert await fetch(link, "HEAD") == (200, b"")
        assert [seen.status for seen in sandbox.picture_requests] == [200] * 4


@pytest.mark.looptime
@pytest.mark.parametrize("pictures", ["drawn", "plain"])
async def test_fetching_moves_no_virtual_time(post, fetch, pictures):
    loop = asyncio.get_running_loop()
    async with Sandbox(pictures=pictures) as sandbox:
        link = await post(sandbox)
        start = loop.time()
        alarm = loop.call_later(3600, lambda: None)
        assert (await fetch(link))[0] == 200
        assert loop.time() - start < 1
        alarm.cancel()


async def test_unknown_pictures_are_missing(post, fetch):
    async with Sandbox(speed=1000, pictures="plain") as sandbox:
        link = URL(await post(sandbox))
        status, body = await fetch(link.with_path("/sandbox/other.png"))
        assert status == 404
        assert b'"RetCode":-148654' in body
        assert (await fetch(link.origin()))[0] == 404


async def test_a_link_with_another_query_is_forbidden(post, fetch):
    async with Sandbox(speed=1000, pictures="plain") as sandbox:
        link = URL(await post(sandbox))
        for query in (
            {**link.query, "Signature": "0" * 40},
            {**link.query, "Expires": "9999999999"},
            {**link.query, "more": "x"},
            {"Expires": link.query["Expires"]},
            {},
        ):
            status, body = await fetch(link.with_query(query))
            assert status == 403
            assert b"RetCode" in body


async def test_the_picture_host_only_gives(post, fetch):
    async with Sandbox(speed=1000, pictures="plain") as sandbox:
        assert (await fetch(await post(sandbox), "POST"))[0] == 405


async def test_what_reaches_the_picture_host_is_on_record_without_secrets(post, fetch):
    async with Sandbox(speed=1000, pictures="plain") as sandbox:
        link = await post(sandbox)
        await fetch(link, headers={"User-Agent": "test/1"})
        secrets = {"Authorization": f"Bearer {sandbox.api_key}", "Cookie": "a=b"}
        await fetch(link, headers=secrets)
        await fetch(link, headers={"X-Key": sandbox.api_key})
        clean, leaky, sly = sandbox.picture_requests
    assert (clean.method, clean.path, clean.status) == ("GET", URL(link).path, 200)
    assert clean.headers["User-Agent"] == "test/1"
    assert not {"Authorization", "Cookie"} & set(clean.headers)
    assert not clean.carried_key
    assert leaky.headers["Authorization"] == leaky.headers["Cookie"] == "***"
    assert leaky.carried_key
    assert sly.carried_key
    assert "sk-sandbox" not in repr((clean, leaky, sly))


async def test_a_fresh_picture_can_be_missing_for_some_fetches(post, fetch):
    fault = Fault(action="missing_picture", fetches=2)
    async with Sandbox(speed=1000, pictures="plain", faults=[fault]) as sandbox:
        link = await post(sandbox)
        assert [(await fetch(link))[0] for _ in range(4)] == [404, 404, 200, 200]
        assert sandbox.bill.entries[0].outcome == "missing_picture"


@pytest.mark.looptime
async def test_a_fresh_picture_can_be_missing_for_some_seconds(post, fetch):
    fault = Fault(action="missing_picture", seconds=30)
    async with Sandbox(speed=2, pictures="plain", faults=[fault]) as sandbox:
        link = await post(sandbox)
        assert (await fetch(link))[0] == 404
        await asyncio.sleep(14.9)
        assert (await fetch(link))[0] == 404
        await asyncio.sleep(0.2)
        assert (await fetch(link))[0] == 200


async def test_a_picture_can_be_missing_for_ever(post, fetch):
    fault = Fault(action="missing_picture")
    async with Sandbox(speed=1000, pictures="plain", faults=[fault]) as sandbox:
        link = await post(sandbox)
        assert {(await fetch(link))[0] for _ in range(20)} == {404}


async def test_a_pictures_link_can_have_expired(post, fetch):
    fault = Fault(action="expired_picture")
    async with Sandbox(speed=1000, pictures="plain", faults=[fault]) as sandbox:
        link = await post(sandbox)
        assert {(await fetch(link))[0] for _ in range(3)} == {403}
        assert sandbox.bill.entries[0].outcome == "expired_picture"


async def test_a_picture_can_break_off_half_way(post, fetch):
    fault = Fault(action="truncated_picture", fetches=1)
    async with Sandbox(speed=1000, pictures="plain", faults=[fault]) as sandbox:
        link = await post(sandbox)
        with pytest.raises(aiohttp.ClientPayloadError):
            await fetch(link)
        assert (await fetch(link))[0] == 200


@pytest.mark.looptime
async def test_closing_ends_everything_at_once(post):
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    sandbox = Sandbox(faults=[Fault(action="hang", prompt="hang", times=None)])
    await sandbox.start()
    prompts = ["hang"] * 5 + ["a fox"] * 5
    waiting = [asyncio.create_task(post(sandbox, prompt)) for prompt in prompts]
    await asyncio.sleep(1)
    start = loop.time()
    await sandbox.aclose()
    assert loop.time() - start < 0.5
    lost = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(error) for error in lost} == {aiohttp.ServerDisconnectedError}
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert sandbox.in_flight == 0


@pytest.mark.looptime
async def test_closing_does_not_wait_for_a_job_whose_client_left(post):
    loop = asyncio.get_running_loop()
    before = asyncio.all_tasks()
    async with Sandbox() as sandbox:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await post(sandbox)
        start = loop.time()
    assert loop.time() - start < 0.5
    assert asyncio.all_tasks() == before


async def test_closing_ends_a_request_that_was_half_sent():
    sandbox = Sandbox()
    await sandbox.start()
    port = URL(sandbox.base_url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /api/paas/v4/images/generations HTTP/1.1\r\nHost: x\r\n"
    writer.write(f"{head}Content-Length: 9\r\n\r\n{{".encode())
    await asyncio.sleep(0.01)
    async with asyncio.timeout(2):
        await sandbox.aclose()
        assert await reader.read() == b""
    assert sandbox.requests == 0
    writer.close()
    await writer.wait_closed()


async def test_closing_while_a_picture_is_drawn_leaves_nothing_behind(post, fetch):
    sandbox = Sandbox(speed=1000)
    await sandbox.start()
    link = await post(sandbox, size="2048x1024")
    fetching = asyncio.create_task(fetch(link))
    while not sandbox._answering:
        await asyncio.sleep(0)
    await sandbox.aclose()
    with pytest.raises(aiohttp.ClientConnectionError):
        await fetching


async def test_a_request_that_crosses_the_closing_is_turned_away(http):
    async with Sandbox() as sandbox:
        sandbox._closing = True
        async with http.post(f"{sandbox.base_url}/images/generations") as response:
            assert response.status == 503
        assert sandbox.requests == 0


async def test_closing_twice_or_before_starting_is_harmless():
    sandbox = Sandbox()
    await sandbox.aclose()
    await sandbox.start()
    await sandbox.aclose()
    await sandbox.aclose()
    assert "closed" in repr(sandbox)


async def test_a_closed_sandbox_refuses_connections(http, post):
    async with Sandbox() as sandbox:
        pass
    with pytest.raises(aiohttp.ClientConnectorError):
        await post(sandbox)


async def test_a_sandbox_starts_again_at_its_port_and_keeps_its_bill(post):
    sandbox = Sandbox(speed=1000)
    for pictures in (1, 2):
        port = URL(sandbox.base_url).port if pictures > 1 else 0
        await sandbox.start(port)
        await post(sandbox)
        assert sandbox.bill.total == pictures
        await sandbox.aclose()


async def test_a_running_sandbox_does_not_start_again():
    async with Sandbox() as sandbox:
        with pytest.raises(RuntimeError, match="running"):
            await sandbox.start()


async def test_a_taken_port_is_an_error_that_leaves_nothing_open():
    async with Sandbox() as first:
        second = Sandbox()
        with pytest.raises(OSError, match="in use"):
            await second.start(URL(first.base_url).port)
        with pytest.raises(RuntimeError, match="started"):
            _ = second.base_url
        await second.start()
        await second.aclose()


def test_the_sandbox_imports_nothing_of_the_client():
    for file in Path(zai_images.sandbox.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in getattr(node, "names", ())]
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, file
                names = [node.module]
            if isinstance(node, ast.Import | ast.ImportFrom):
                ours = [name for name in names if name.startswith("zai_images")]
                assert all(name.startswith("zai_images.sandbox.") for name in ours)


def test_importing_the_sandbox_does_not_load_pillow():
    check = "import sys, zai_images.sandbox; sys.exit('PIL' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
