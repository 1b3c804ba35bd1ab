"""The sandbox that the command line serves."""

import asyncio
import json
import re
import signal
import sys

import zai_images
from zai_images.sandbox import Sandbox


async def test_the_sandbox_says_what_a_client_needs_and_ends_with_ctrl_c():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "zai_images", "sandbox", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said = (await process.stdout.readuntil(b"curl ")).decode()
    found = re.search(r"export ZAI_BASE_URL=(\S+) ZAI_API_KEY=(\S+)\n", said)
    async with zai_images.ImageSession(base_url=found[1], api_key=found[2]) as session:
        picture = await session.generate_picture("a fox")
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()

    assert picture.width == 1024
    assert process.returncode == 0
    assert b"1 picture made, nothing paid" in err


async def test_the_sandbox_takes_another_port_when_the_usual_one_is_taken(
    cli, monkeypatch
):
    async with Sandbox() as other:
        taken = int(other.base_url.split(":")[2].split("/")[0])
        monkeypatch.setattr("zai_images.cli._commands.sandbox.USUAL_PORT", taken)
        monkeypatch.setattr(asyncio.Event, "wait", lambda _: asyncio.sleep(0))

        ran = await cli("sandbox", "--json")
        refused = await cli("sandbox", "--port", str(taken))

    assert ran.code == 0
    assert json.loads(ran.out)["base_url"] != other.base_url
    assert refused.code == 2
    assert f"--port {taken} cannot be used" in refused.err
