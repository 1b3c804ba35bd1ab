"""
A canary key through every kind of failure: it is seen nowhere.

Not on the screen, in logs at DEBUG (aiohttp's and asyncio's own, its debug mode on), in
tracebacks with the variables of their frames, events, pickles, or any file.
"""

import asyncio
import contextlib
import gc
import json
import logging
import os
import re
import ssl
import warnings
from pathlib import Path

import aiohttp
import pytest
from support.certificates import self_signed
from support.faults import FaultServer, ok, unused_port
from support.leaks import CANARY, Records, hits, of_error, of_files, of_object, warned
from support.strange import GOOD, answering, refusal, written

from zai_images import (
    BatchRunner,
    ConfigurationError,
    ImageRequest,
    ImageSession,
    RetryPolicy,
    SessionConfig,
    Timeouts,
)

pytestmark = pytest.mark.tried("kinds of failure that could show the key")
K = CANARY


def seen(*shown):
    """List where the key was seen."""
    return [where for part in shown for where, text in part if hits(text)]


@pytest.fixture(autouse=True)
def logged(request):
    """Hear everything that anybody logs."""
    records, root = Records(), logging.getLogger()
    names = ("aiohttp", "aiohttp.client", "aiohttp.internal", "asyncio", "zai_images")
    loggers = [root, *map(logging.getLogger, names)]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.DEBUG)
    root.addHandler(records)
    yield records
    root.removeHandler(records)
    for one, level in zip(loggers, before, strict=True):
        one.setLevel(level)
    assert not any(map(hits, records.texts))


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("ZAI_API_KEY", K)


def config(base_url, **settings):
    """Take the key from the environment, so that no frame of the test holds it."""
    quick = RetryPolicy(first_pause=0.0, connect_errors=1)
    return SessionConfig.from_env(
        base_url=base_url,
        **({"retry": quick, "timeouts": Timeouts(total=9)} | settings),
    )


async def failing(make, *, http=None, session_options=None, but=(), **settings):
    """Make a call that fails, and look for the key everywhere."""
    asyncio.get_running_loop().set_debug(True)
    events = []
    caught = None
    try:
        one = ImageSession(
            make(**settings),
            http=http,
            **({"observer": events.append} | (session_options or {})),
        )
        try:
            await one.generate_picture("a fox")
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is looked at
            caught = error
        looked = [of_object(x) for x in (one, one.config, one.stats())]
        if one.requester.resources is not None:
            parts = (
                one.requester.resources,
                one.requester.resources.transport,
                one.requester.resources.downloader,
            )
            looked += [of_object(x) for x in parts]
        found = [one for one in seen(*looked) if one not in but]
        await one.aclose()
    except Exception as error:  # noqa: BLE001 - same
        caught, found = error, []
    found += seen(*map(of_object, events))
    for event in events:
        if (error := getattr(event, "error", None)) is not None:
            found += seen(of_error(error))
    assert caught is not None
    return caught, found + seen(of_error(caught))


# What a service, or a proxy that believes itself one, may answer with the key in it.
ANSWERS = {
    "wrong key, by code": (401, refusal("1000", f"bad key {K}")),
    "wrong key, by status": (401, {"message": f"Bearer {K}"}),
    "wrong key, as a page": (401, f"<html>{K}</html>".encode()),
    "no balance": (429, refusal("1113", f"{K} has no balance")),
    "quota": (429, refusal("1304", f"{K} until 2030-01-01 00:00:00")),
    "one model": (429, refusal("1311", K)),
    "forbidden": (403, {"error": K}),
    "content": (400, refusal("1301", K)),
    "content, in the filter": (
        400,
        refusal("1301") | {"contentFilter": [{"role": K, "level": 0}]},
    ),
    "server error": (500, refusal("1234", K)),
    "server error as a page": (502, f"<pre>Authorization: {K}</pre>".encode()),
    "rejected": (400, refusal("1210", K)),
    "not there": (404, {"code": 404, "msg": K, "success": False}),
    "error in a list": (400, {"error": [{"code": "1210", "message": K}]}),
    "error with 200": (200, refusal("1210", K)),
    "unlisted code": (200, refusal("9999", K)),
    "the key for a code": (200, refusal(K, "x")),
    "the key for a code, with 400": (400, refusal(K, "x")),
    "a code that is cut off in it": (400, refusal("x" * 29 + K, "x")),
    "a message that is cut off in it": (400, refusal("1210", "x" * 285 + K)),
    "a page that is cut off in it": (200, b"x" * 1985 + K.encode()),
    "a page whose beginning is": (200, b"x" * 286 + K.encode()),
    "no picture": (200, {"created": 1, "data": [], "debug": K}),
    "no link": (200, {"data": [{"b64_json": K}]}),
    "request id in the body": (400, refusal("1210") | {"request_id": K}),
    "request id in a header": (400, refusal("1210"), {"X-Request-Id": K}),
    "Retry-After": (429, refusal("1302"), {"Retry-After": K}),
    "written as escapes": (
        400,
        b'{"error":{"code":"1210","message":"%b"}}'
        % "".join(f"\\u{ord(char):04x}" for char in K).encode(),
    ),
    "with what is not seen in it": (400, refusal("1210", "\0".join(K))),
    "twice": (400, refusal("1210", f"{K}{K} {K[:12]} {K}")),
    "in a link that is refused": (200, {"data": [{"url": f"ftp://x.example/{K}"}]}),
    "in a link's host": (200, {"data": [{"url": f"http://{K}.example/"}]}),
    "in a link's user": (200, {"data": [{"url": f"https://{K}@x.example/"}]}),
    "in a link's query": (200, {"data": [{"url": f"ftp://x.example/?k={K}"}]}),
    "a redirect with it": (307, b"", {"Location": f"https://x.example/?key={K}"}),
    "a cookie with it": (400, refusal("1210"), {"Set-Cookie": f"k={K}; Domain=\\"}),
    "its Bearer": (400, refusal("1210", f"Authorization: Bearer {K}")),
}


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


def then(data, *, close=True):
    async def script(server, wire):
        await server.read(wire)
        await wire.send(data)
        if close:
            wire.writer.close()
        else:
            await asyncio.sleep(3600)

    return script


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


BAD_KEYS = {
    "a line's end within": f"{K}\nx{K}",
    "a line's end and a header": f"{K}\r\nX: y",
    "a letter of another script": f"{K}é",
    "a blank within": f"{K} {K}",
    "an end of text": f"{K}\x01",
    "half of a surrogate pair": f"{K}\udc80",
    "with its Bearer": f"Bearer {K}",
    "in quotes of another kind": f"“{K}”",
}


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


class End(BaseException):
    """Stand for what ends a process, and would end the loop of the test."""


async def in_flight(service):
    while not service.posts:
        await asyncio.sleep(0)


@pytest.mark.looptime
class TestOnTheWay:
    """Calls that are cut short, crashes of others, and objects that stay behind."""

    @pytest.fixture(autouse=True)
    async def service(self, environment):
        asyncio.get_running_loop().set_debug(True)
        async with FaultServer(then(b"", close=False)) as service:
            yield service

    async def test_cancelled_before_it_was_written(self, service):
        async with ImageSession(config(service.base_url)) as session:
            task = asyncio.create_task(session.generate("a fox"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task

        assert seen(of_error(caught.value)) == []

    async def test_cancelled_in_flight(self, service):
        async with ImageSession(config(service.base_url)) as session:
            task = asyncio.create_task(session.generate("a fox"))
            await in_flight(service)
            shown = [("task", repr(task)), ("tasks", repr(asyncio.all_tasks()))]
            task.cancel("stop")
            with pytest.raises(asyncio.CancelledError) as caught:
                await task

        assert seen(of_error(caught.value), shown) == []

    async def test_timed_out_by_the_caller(self, service):
        async with ImageSession(config(service.base_url)) as session:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(2):
                    await session.generate("a fox")

        assert seen(of_error(caught.value)) == []

    async def test_one_of_a_group(self, service):
        async with ImageSession(config(service.base_url)) as session:
            with pytest.raises(BaseExceptionGroup) as caught:
                async with asyncio.TaskGroup() as group:
                    group.create_task(session.generate("a fox"))
                    group.create_task(session.generate("a bear"))

        assert seen(of_error(caught.value)) == []

    async def test_a_crash_in_an_observer(self, service, logged):
        def crash(event):
            raise RuntimeError(f"on {event!r}")

        async with ImageSession(config(service.base_url), observer=crash) as session:
            with pytest.raises(Exception, match="sent") as caught:
                await session.generate("a fox")

        assert seen(of_error(caught.value)) == []
        assert any("An observer failed" in text for text in logged.texts)

    async def test_an_observer_that_ends_the_process(self, service):
        def end(event):
            if type(event).__name__ == "Sent":
                raise End(f"{event!r}")

        _, found = await failing(
            lambda: config(service.base_url), session_options={"observer": end}
        )

        assert found == [], found

    async def test_a_crash_within_aiohttp(self, service, monkeypatch):
        def crash(*_, **__):
            raise RuntimeError("of a library")

        monkeypatch.setattr(aiohttp.ClientResponse, "start", crash)
        _, found = await failing(config, base_url=service.base_url)

        assert found == [], found

    async def test_no_memory_within_aiohttp(self, service, monkeypatch):
        def crash(*_, **__):
            raise MemoryError

        monkeypatch.setattr(aiohttp.ClientRequest, "send", crash)
        _, found = await failing(config, base_url=service.base_url)

        assert found == [], found

    async def test_an_error_nobody_asked_for(self, service, logged):
        async def forget():
            async with ImageSession(config(service.base_url)) as session:
                asyncio.create_task(session.generate("a fox"))  # noqa: RUF006 - it is lost
                await asyncio.sleep(20)

        await forget()
        gc.collect()

        assert any("never retrieved" in text for text in logged.texts)

    async def test_a_session_that_was_never_closed(self, service):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")

            async def forget():
                session = ImageSession(config(service.base_url))
                with contextlib.suppress(Exception):
                    await session.generate("a fox")

            await forget()
            await asyncio.sleep(0)  # the connection's end is told in the next turn
            gc.collect()
            await asyncio.sleep(0)

        assert seen(warned(caught)) == []
        assert len(caught) > 0

    async def test_a_closed_session(self, service):
        session = ImageSession(config(service.base_url))
        await session.aclose()
        with pytest.raises(Exception, match="closed") as caught:
            await session.generate("a fox")

        assert seen(of_error(caught.value)) == []

    async def test_a_budget_that_is_used_up(self, service):
        _, found = await failing(
            config, base_url=service.base_url, session_options={"max_pictures": 0}
        )

        assert found == [], found

    async def test_a_batch_that_is_left(self, service):
        async with ImageSession(config(service.base_url)) as session:
            run = BatchRunner(session).run(ImageRequest(f"fox {n}") for n in range(9))
            async with run:
                await in_flight(service)
                shown = [("batch", repr(run)), ("left", repr(run.abandoned))]

        assert seen(shown, of_object(run)) == []

    @pytest.mark.parametrize("kind", ["open", "closed", "not one"])
    async def test_a_borrowed_session(self, kind, service):
        async with aiohttp.ClientSession() as http:
            if kind == "closed":
                await http.close()
            given = object() if kind == "not one" else http
            _, found = await failing(config, base_url=service.base_url, http=given)

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
