"""A canary key through every command that fails: it is seen nowhere."""

import json
import os
from pathlib import Path

import pytest
from support.leak_cases import ANSWERS, BAD_KEYS, K, seen
from support.leaks import hits, of_files
from support.strange import answering

pytestmark = [
    pytest.mark.tried("kinds of failure that could show the key"),
    pytest.mark.usefixtures("logged"),
]


COMMANDS = {
    "generate": ("generate", "a fox"),
    "generate --json": ("generate", "a fox", "--json"),
    "batch": ("batch", "p.jsonl", "--out", "out"),
    "batch --json": ("batch", "p.jsonl", "--out", "out", "--json"),
    "doctor": ("doctor",),
    "doctor --json": ("doctor", "--json"),
}


QUOTING = [
    "wrong key, by code",
    "no balance",
    "content, in the filter",
    "unlisted code",
]


QUOTING += ["server error as a page", "no link", "a message that is cut off in it"]


QUOTING += ["a page whose beginning is", "request id in a header", "its Bearer"]


@pytest.mark.parametrize("answer", QUOTING)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
async def test_the_command_line(command, answer, cli, prompts, tmp_path):
    state = Path(os.environ["XDG_STATE_HOME"])
    prompts("a fox", "a bear")
    async with answering(ANSWERS[answer]) as service:
        ran = await cli(service.base_url, *command, key=K)

    assert ran.code != 0 or command[0] == "doctor"
    written_there = seen(of_files(tmp_path), of_files(state))
    assert seen([("stdout", ran.out), ("stderr", ran.err)]) + written_there == []


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
async def test_the_command_line_with_a_key_that_is_none(command, key, cli, prompts):
    prompts("a fox")
    ran = await cli("https://x.example/paas/v4", *command, key=key)

    assert ran.code in {2, 3}
    assert not hits(ran.out + ran.err)


async def test_a_request_id_of_a_picture_is_no_way_out_either(cli, tmp_path):
    from support.pictures import PictureHost

    async with PictureHost() as host:
        answer = (200, {"data": [{"url": host.url}]}, {"X-Request-Id": K})
        async with answering(answer) as service:
            ran = await cli(service.base_url, "generate", "a fox", "--json", key=K)

    assert json.loads(ran.out)["request_id"] == "***"
