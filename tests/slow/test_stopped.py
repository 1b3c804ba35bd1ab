"""
A client that was stopped, and reads what came meanwhile: real signals, real seconds.

The client is a process of its own, on asyncio's loop and on uvloop's. Its siblings on
virtual time are in `tests/http/test_deadline.py`.
"""

import asyncio
import json
import os
import signal
import ssl
import sys

import pytest
from support import plays as play
from support.certificates import Authority
from support.faults import FaultServer, Wire
from support.pictures import picture
from support.plays import CHUNKED, ENDLESS, Step, answer, body, chunks, plays
from support.stops import unsent

pytestmark = pytest.mark.tried("time: SIGSTOP and SIGCONT")

CLIENT = """
import asyncio, json, sys, time
import aiohttp, ssl
from zai_images import *

async def main(what, url, authority):
    timeouts = Timeouts(total=0.7, download=0.7)
    config = SessionConfig(api_key="sk-any", base_url=url, timeouts=timeouts)
    trust = ssl.create_default_context(cafile=authority)
    connector = aiohttp.TCPConnector(ssl=trust)
    async with aiohttp.ClientSession(connector=connector) as http:
        async with ImageSession(config, http=http) as session:
            begun = time.monotonic()
            try:
                if what == "answer":
                    found = (await session.generate("a fox")).url
                else:
                    fetch = session.requester.resources.downloader.fetch
                    found = len((await fetch(url)).data)
            except Exception as error:
                found = type(error).__name__
            seconds = time.monotonic() - begun
            maybe = session.stats().maybe_billed
    print(json.dumps([found, seconds, maybe]))

loop, *arguments = sys.argv[1:]
if loop == "uvloop":
    import uvloop
    factory = uvloop.new_event_loop
else:
    factory = asyncio.new_event_loop
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main(*arguments))
"""
AWAY = 1.5  # seconds; more than twice the client's time-out


class StoppedClient:
    """A client's process, and the steps that a server takes with it."""

    def __init__(self, loop: str, what: str) -> None:
        self.loop = loop
        self.what = what

    async def run(self, url: str, authority: str) -> tuple[object, float, int]:
        """Run it to its end; tell what it found, after how long, what may be billed."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CLIENT, self.loop, self.what, url, authority,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await self.process.communicate()
        return tuple(json.loads(said))

    async def stop(self, server: FaultServer, wire: Wire) -> None:
        await asyncio.sleep(0.1)  # it waits for its answer by now
        os.kill(self.process.pid, signal.SIGSTOP)
        await asyncio.to_thread(os.waitid, os.P_PID, self.process.pid, os.WSTOPPED)

    async def go_on(self, server: FaultServer, wire: Wire) -> None:
        await asyncio.sleep(AWAY)
        os.kill(self.process.pid, signal.SIGCONT)


STOP, GO_ON = object(), object()
WHOLE = answer(body())
LARGE = answer(body()[:-1] + b" " * 900_000 + b"}")
CLOSING = answer(body(), headers="Connection: close\r\n")
HEAVY = picture(size=(1400, 1200), compress_level=0)  # five megabytes

ANSWERS = {
    "whole": [STOP, WHOLE, GO_ON, play.stall],
    "in two segments": [STOP, WHOLE[:-9], GO_ON, WHOLE[-9:], play.stall],
    "its second segment later": [
        WHOLE[:40], STOP, GO_ON, play.wait(0.3), WHOLE[40:], play.stall,
    ],
    "in chunks": [STOP, CHUNKED + chunks(body()) + b"0\r\n\r\n", GO_ON, play.stall],
    "large": [STOP, unsent(LARGE), GO_ON, play.stall],
    "closed after it": [STOP, CLOSING, play.close, GO_ON],
    "without a length": [STOP, ENDLESS + body(), play.close, GO_ON],
    "reset after it": [STOP, WHOLE, play.reset, GO_ON],
}  # fmt: skip
LOST = {
    "nothing": [STOP, GO_ON, play.stall],
    "half of it": [WHOLE[:-9], STOP, GO_ON, play.stall],
    "a byte each 0.1 s": [CHUNKED, STOP, GO_ON, play.slowly(chunks(b" " * 99), 0.1)],
}
LOOPS = ["asyncio", "uvloop"]


def with_client(client: StoppedClient, steps: list[object]) -> list[Step]:
    verbs = {id(STOP): client.stop, id(GO_ON): client.go_on}
    return [verbs.get(id(step), step) for step in steps]


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


def tls_of(authority: Authority, folder) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate(folder, "127.0.0.1"))
    return context


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("steps", ANSWERS.values(), ids=ANSWERS)
async def test_a_client_that_was_stopped_reads_its_answer(
    loop, secure, steps, authority, tmp_path
):
    client = StoppedClient(loop, "answer")
    script = plays(play.read, *with_client(client, steps))
    tls = tls_of(authority, tmp_path) if secure else None
    async with FaultServer(script, tls) as server:
        found, _, _ = await client.run(server.base_url, str(authority.path))

    assert found == "https://example.com/1.png"
    assert server.posts == 1


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("steps", LOST.values(), ids=LOST)
async def test_a_client_that_was_stopped_gives_up_what_never_comes(
    loop, steps, authority
):
    client = StoppedClient(loop, "answer")
    async with FaultServer(plays(play.read, *with_client(client, steps))) as server:
        found, seconds, maybe = await client.run(server.base_url, str(authority.path))

    assert (found, maybe) == ("AnswerLostError", 1)
    assert AWAY < seconds < AWAY + 2


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "steps",
    [
        [STOP, unsent(answer(HEAVY)), GO_ON, play.stall],
        [unsent(answer(HEAVY)[:1_000_000]), STOP, GO_ON, answer(HEAVY)[1_000_000:]],
    ],
    ids=["half of it in the kernel", "begun before"],
)
async def test_a_client_that_was_stopped_takes_its_picture(loop, steps, authority):
    client = StoppedClient(loop, "picture")
    script = plays(play.read_head, *with_client(client, steps))
    async with FaultServer(script) as host:
        found, _, _ = await client.run(host.base_url, str(authority.path))

    assert found == len(HEAVY)
    assert host.connections == 1
