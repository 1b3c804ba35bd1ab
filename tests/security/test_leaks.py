"""
A canary key through every kind of failure: it is seen nowhere.

Not on the screen, in logs at DEBUG (aiohttp's and asyncio's own, its debug mode on), in
tracebacks with the variables of their frames, events, pickles, or any file.
"""

import asyncio
import contextlib
import re
import ssl

import pytest
from support.certificates import self_signed
from support.faults import FaultServer, ok, unused_port
from support.leak_cases import ANSWERS, BAD_KEYS, K, config, failing, seen, then
from support.leaks import CANARY, hits, of_error
from support.strange import GOOD, answering, written

from zai_images import (
    ConfigurationError,
    ImageSession,
)

pytestmark = [
    pytest.mark.tried("kinds of failure that could show the key"),
    pytest.mark.usefixtures("logged"),
]


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.looptime
async def test_an_answer_that_quotes_it(answer, environment):
    async with answering(answer) as service:
        _, found = await failing(
            config, base_url=service.base_url, max_wait=0 if answer[0] == 429 else None
        )

    if b"url" in written(*answer):  # the link is kept, whatever it holds
        found = [one for one in found if not re.search("answer|response|locals", one)]
    assert found == [], found
    assert CANARY.encode() in service.seen[0]


async def reset(server, wire):
    await server.read(wire)
    wire.reset()


async def endless(server, wire):
    await server.read(wire)
    await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await wire.send(b" " * 65536)


KEY = K.encode()


BROKEN = {
    "reset": reset,
    "endless": endless,
    "silence": then(b"", close=False),
    "half an answer": then(ok(b'{"data": "' + KEY, length=999)),
    "a broken status line": then(b"HELLO " + KEY + b"\r\n\r\n"),
    "a broken version": then(b"HTTP/9 " + KEY + b"\r\n\r\n"),
    "a broken header": then(b"HTTP/1.1 200 OK\r\n" + KEY + b"\r\n\r\n"),
    "a header with an end of text": then(
        b"HTTP/1.1 200 OK\r\nX: Bearer " + KEY + b"\0\r\n\r\n"
    ),
    "a name of a header": then(b"HTTP/1.1 200 OK\r\nX(" + KEY + b": x\r\n\r\n"),
    "a header too long": then(
        b"HTTP/1.1 200 OK\r\nX: " + KEY + b"x" * 99_999 + b"\r\n\r\n"
    ),
    "a length that is none": then(
        b"HTTP/1.1 200 OK\r\nContent-Length: " + KEY + b"\r\n\r\n"
    ),
    "two lengths": then(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\nX: "
        + KEY
        + b"\r\n\r\n"
    ),
    "a chunk that is none": then(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + KEY + b"\r\n"
    ),
    "a body that is not compressed": then(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 23\r\n\r\n" + KEY
    ),
    "a switch of protocol": then(
        b"HTTP/1.1 101 X\r\nUpgrade: " + KEY + b"\r\nConnection: upgrade\r\n\r\n" + KEY
    ),
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
@pytest.mark.looptime
async def test_an_answer_that_breaks_off_or_is_none(script, environment):
    async with FaultServer(script) as service:
        _, found = await failing(config, base_url=service.base_url)

    assert found == [], found
    assert service.posts == 1


@contextlib.asynccontextmanager
async def nobody():
    yield f"http://127.0.0.1:{unused_port()}/api/paas/v4", {}


@contextlib.asynccontextmanager
async def no_name():
    yield "https://no-such-host.invalid/api/paas/v4", {}


@contextlib.asynccontextmanager
async def plain_text_for_tls():
    async def script(server, wire):
        await wire.reader.read(1)
        await wire.send(b"HTTP/1.1 400 " + KEY + b"\r\n\r\n")

    async with FaultServer(script) as server:
        yield f"https://127.0.0.1:{server.port}/api/paas/v4", {}


@contextlib.asynccontextmanager
async def proxy_says(answer):
    async def script(server, wire):
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(answer)

    async with FaultServer(script) as server:
        proxy = f"http://me:{K}@127.0.0.1:{server.port}"
        yield "https://x.example/api/paas/v4", {"proxy": proxy}


@contextlib.asynccontextmanager
async def no_proxy_there():
    proxy = f"http://{K}:pw@127.0.0.1:{unused_port()}"
    yield "https://x.example/api/paas/v4", {"proxy": proxy}


@contextlib.asynccontextmanager
async def setting(name, value):
    async with answering(GOOD) as service:
        yield service.base_url, {name: value}


UNREACHED = {
    "nobody listens": nobody,
    "no such name": no_name,
    "plain text for TLS": plain_text_for_tls,
    "a proxy that wants a password": lambda: proxy_says(
        b"HTTP/1.1 407 " + KEY + b"\r\nContent-Length: 0\r\n\r\n"
    ),
    "a proxy that says no": lambda: proxy_says(
        b"HTTP/1.1 502 " + KEY + b"\r\nX: " + KEY + b"\r\n\r\n"
    ),
    "a proxy that speaks nonsense": lambda: proxy_says(KEY + b"\r\n\r\n"),
    "a proxy that hangs up": lambda: proxy_says(b""),
    "no proxy there": no_proxy_there,
    "a header with a line's end": lambda: setting("headers", {"X": f"{K}\r\nY: 1"}),
    "a header that is a number": lambda: setting("headers", {"X": 5}),
    "a header that is nothing": lambda: setting("headers", {"X": None}),
    "a header of other letters": lambda: setting("headers", {"X": "\udc80"}),
    "a header's name with a blank": lambda: setting("headers", {"X Y\r\n": K}),
    "a length of its own": lambda: setting("headers", {"Content-Length": "7"}),
    "chunks of its own": lambda: setting("headers", {"Transfer-Encoding": "x"}),
}


@pytest.mark.parametrize("where", UNREACHED.values(), ids=UNREACHED)
@pytest.mark.looptime
async def test_a_request_that_does_not_get_there(where, environment):
    async with where() as (base_url, settings):
        async with FaultServer(reset):
            try:
                # A pickled config has the settings of its user, but for the key.
                _, found = await failing(
                    lambda: config(base_url, **settings),
                    but=["pickle of SessionConfig"],
                )
            except AssertionError:  # it got there after all, which is as good
                found = []

    assert found == [], found


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
@pytest.mark.parametrize("way", ["environment", "argument", "other argument"])
def test_a_key_that_is_none(key, way, monkeypatch):
    """Given as an argument it stands in the caller's frame, so that is left out."""
    monkeypatch.setenv("ZAI_API_KEY", key)
    bad = {"argument": "https://[bad", "other argument": "ftp://x"}.get(way)
    try:
        ImageSession(base_url=bad)
    except ConfigurationError as error:
        del key, bad
        found = seen(of_error(error))
    assert found == [], found


@pytest.mark.parametrize(
    "base_url",
    [K, f"{K}/paas/v4", f"https://{K}@x/v4", f"https://x.example/v4?key={K}"]
    + [f"https://x.example/#{K}", f"//{K}@x", f" {K} ", f"https://{K} @x"]
    + [f"http://{K}:x@10.0.0.1/v4"],
)
def test_a_key_in_the_place_of_the_base_url(base_url, monkeypatch):
    monkeypatch.setenv("ZAI_BASE_URL", base_url)
    monkeypatch.setenv("ZAI_API_KEY", "https://api.z.ai/api/paas/v4")
    del base_url
    try:
        ImageSession()
    except ConfigurationError as error:
        shown = [str(error), repr(error), repr(error.args)]
    assert not any(map(hits, shown))


async def test_a_certificate_nobody_vouches_for(environment, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    server = await asyncio.start_server(
        lambda r, w: w.close(), "127.0.0.1", 0, ssl=context
    )
    port = server.sockets[0].getsockname()[1]
    _, found = await failing(config, base_url=f"https://127.0.0.1:{port}/v4")
    server.close()

    assert found == [], found


async def test_what_can_be_copied_and_kept(environment):
    """A config goes to another process without its key, and a copy keeps it."""
    import copy
    import pickle

    one = config("https://x.example/paas/v4")
    there = pickle.loads(pickle.dumps(one))

    assert there.api_key is None
    assert there.base_url == one.base_url
    assert copy.copy(one) == copy.deepcopy(one) == one
    assert copy.deepcopy(one).api_key == K
