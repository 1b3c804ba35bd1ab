"""The free check of the key and the service, against real servers on this machine."""

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from support.certificates import Authority
from support.faults import FaultServer, ok, unused_port
from support.keys import KEY
from support.strange import GOOD, answering, refusal

from zai_images import (
    AccountError,
    AnswerLostError,
    AuthenticationError,
    BudgetError,
    ConfigurationError,
    ConnectError,
    ImageSession,
    RateLimitedError,
    RequestRejectedError,
    ServerError,
    SessionConfig,
    TransportError,
)
from zai_images._session.check import EMPTY_PROMPT, ServiceChecker
from zai_images.sandbox import Sandbox
from zai_images.testing import Script, ScriptedTransport

GATEWAY = "https://gateway.example/v1"
PATIENCE = "zai_images._session.check.PATIENCE"


@pytest.fixture
async def sandbox():
    async with Sandbox(api_key=KEY, record=True) as sandbox:
        yield sandbox


async def ask(base_url, **settings):
    """Check once, and see that nothing was counted."""
    async with ImageSession(api_key=KEY, base_url=base_url, **settings) as session:
        found = await session.check()
        stats = session.stats()
    assert (stats.pictures, stats.billed, stats.refusals) == (0, 0, 0)
    assert KEY not in f"{found!r} {found.error!r} {vars(found.error or object)}"
    return found


# Z.AI's hosts and this machine: the empty prompt.


async def test_a_service_that_refuses_the_empty_prompt_is_fine(sandbox):
    found = await ask(sandbox.base_url)

    assert found.ok
    assert "refused the empty prompt" in found.reason
    assert isinstance(found.error, RequestRejectedError)
    assert 0 < found.latency < 5
    assert (sandbox.requests, sandbox.bill.total) == (1, 0)
    assert sandbox.log[0].body == EMPTY_PROMPT


async def test_a_key_that_is_not_accepted_is_told(sandbox):
    async with ImageSession(api_key="wrong", base_url=sandbox.base_url) as session:
        found = await session.check()

    assert not found.ok
    assert found.reason == str(found.error)
    assert isinstance(found.error, AuthenticationError)


@pytest.mark.parametrize(
    ("status", "code", "ok", "kind", "words"),
    [
        (429, "1113", False, AccountError, "has no balance"),
        (429, "1302", True, RateLimitedError, "is busy"),
        (400, "1301", True, Exception, "refused the empty prompt"),
        (400, "1222", False, RequestRejectedError, "does not exist"),
        (500, "1234", False, ServerError, "a network failure"),
        (502, None, False, AnswerLostError, "not the service's own"),
    ],
)
async def test_what_the_service_says_is_judged(*, status, code, ok, kind, words):
    body = refusal(code) if code else b"<html>"
    async with answering((status, body)) as server:
        found = await ask(server.base_url)

    assert (found.ok, server.posts) == (ok, 1)
    assert isinstance(found.error, kind)
    assert words in found.reason


async def test_a_service_that_quotes_the_key_gives_nothing_away():
    async with answering((400, refusal("1222", f"not you, {KEY}"))) as server:
        found = await ask(server.base_url)

    assert "not you, ***" in str(found.error)
    assert (found.error.__traceback__, found.error.__context__) == (None, None)


async def test_a_picture_for_the_empty_prompt_is_counted_and_never_asked_for_again():
    async with (
        answering(GOOD) as server,
        ImageSession(api_key=KEY, base_url=server.base_url) as session,
    ):
        first = await session.check()
        again = [await session.check() for _ in range(2)]
        stats = session.stats()

    assert first.ok
    assert "answered with a picture" in first.reason
    assert first.latency is not None
    assert (server.posts, stats.maybe_billed, stats.pictures) == (1, 1, 0)
    assert stats.cost == 0
    assert [one.ok for one in again] == [True, True]
    assert all(one.reason.startswith("Nothing was sent") for one in again)
    assert [one.latency for one in again] == [None, None]


async def test_a_check_takes_no_budget_and_no_second_try():
    async with (
        answering((500, refusal("1234"))) as server,
        ImageSession(api_key=KEY, base_url=server.base_url, max_pictures=0) as session,
    ):
        with pytest.raises(BudgetError):
            await session.generate("a fox")
        found = await session.check()

    assert isinstance(found.error, ServerError)
    assert server.posts == 1


async def test_a_check_goes_out_while_every_place_is_taken(sandbox):
    async with ImageSession(
        SessionConfig(
            api_key=KEY, base_url=sandbox.base_url, max_in_flight=1, adaptive=False
        )
    ) as session:
        call = asyncio.create_task(session.generate("a fox"))
        await asyncio.sleep(0.1)
        found = await session.check()
        assert session.stats().models["cogview-4-250304"].in_flight == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert found.ok


async def test_no_connection_is_told_and_free():
    found = await ask(f"http://127.0.0.1:{unused_port()}/api/paas/v4")

    assert not found.ok
    assert found.reason.startswith("No connection to http://127.0.0.1")
    assert isinstance(found.error, ConnectError)


async def silent(server, wire):
    await server.read(wire)
    await asyncio.sleep(60)


async def test_a_service_that_does_not_answer_is_not_waited_for_long(monkeypatch):
    monkeypatch.setattr(PATIENCE, 0.1)
    async with FaultServer(silent) as server:
        found = await ask(server.base_url)
        await server.all_gone()

    assert not found.ok
    assert isinstance(found.error, AnswerLostError)
    assert "no complete answer within 0.1 s" in str(found.error)
    assert found.latency >= 0.1


async def test_a_connection_that_does_not_come_to_be_is_not_waited_for_long(
    monkeypatch,
):
    async def never(*_, **__):
        await asyncio.sleep(60)

    monkeypatch.setattr(PATIENCE, 0.1)
    monkeypatch.setattr(aiohttp.ClientSession, "_request", never)
    found = await ask("http://127.0.0.1:9/api/paas/v4")

    assert not found.ok
    assert "No answer from 127.0.0.1 within 0.1 s" in str(found.error)
    assert not found.error.maybe_billed


async def test_cancelling_a_check_passes_and_leaves_no_connection():
    async with FaultServer(silent) as server:
        async with ImageSession(api_key=KEY, base_url=server.base_url) as session:
            check = asyncio.create_task(session.check())
            while not server.posts:
                await asyncio.sleep(0.01)
            check.cancel()
            with pytest.raises(asyncio.CancelledError):
                await check
        await server.all_gone()


async def test_settings_that_cannot_be_sent_are_told():
    borrowed = aiohttp.ClientSession()
    await borrowed.close()
    for base_url in ("http://127.0.0.1:9/api/paas/v4", GATEWAY):
        found = await ask(base_url, http=borrowed)

        assert not found.ok
        assert found.reason.startswith("The aiohttp session given as http= is closed")
        assert isinstance(found.error, ConfigurationError)


async def test_a_closed_session_cannot_check(sandbox):
    session = ImageSession(api_key=KEY, base_url=sandbox.base_url)
    await session.aclose()

    with pytest.raises(ConfigurationError, match="closed"):
        await session.check()


async def test_a_session_opens_with_its_first_check(sandbox):
    session = ImageSession(api_key=KEY, base_url=sandbox.base_url)
    try:
        assert (await session.check()).ok
    finally:
        await session.aclose()


async def test_a_scripted_transport_answers_without_its_script():
    transport = ScriptedTransport([Script.failure("1113")])
    async with ImageSession(api_key="any", http=transport) as session:
        found = await session.check()

    assert found.ok
    assert (found.latency, found.error) == (None, None)
    assert "scripted" in found.reason
    assert (transport.posts, transport.bodies) == (0, [])


@pytest.mark.parametrize(
    ("base_url", "known"),
    [
        ("https://api.z.ai/api/paas/v4", True),
        ("https://z.ai/api/paas/v4", True),
        ("http://localhost:8787/api/paas/v4", True),
        ("https://api.z.ai.example/api/paas/v4", False),
        ("https://quiz.ai/api/paas/v4", False),
    ],
)
def test_only_zais_hosts_and_this_machine_are_sent_an_empty_prompt(base_url, known):
    config = SessionConfig(api_key=KEY, base_url=base_url)

    assert ServiceChecker(config, lambda *_: None)._is_known() is known


# Every other host: its list of models.


class ToThisMachine(AbstractResolver):
    """Find every name on this machine."""

    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self):
        """Nothing is open."""


@asynccontextmanager
async def gateway(folder, handler):
    """Serve `gateway.example` on this machine, over TLS; yield what talks to it."""
    authority = Authority(folder)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(authority.certificate(folder, "gateway.example"))
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=served).start()
    port = runner.addresses[0][1]
    connector = aiohttp.TCPConnector(
        ssl=ssl.create_default_context(cafile=str(authority.path)),
        resolver=ToThisMachine(),
    )
    try:
        async with aiohttp.ClientSession(connector=connector) as http:
            yield {"base_url": f"https://gateway.example:{port}/v1", "http": http}
    finally:
        await runner.cleanup()


async def test_a_strange_host_is_asked_for_its_models_with_the_key(tmp_path):
    """Also where an entry with a link looks like a picture."""
    seen = []

    async def handler(request):
        seen.append(request)
        return web.json_response({"object": "list", "data": [{"id": "a", "url": "b"}]})

    async with gateway(tmp_path, handler) as settings:
        found = await ask(**settings)

    assert found.ok
    assert "listed its models" in found.reason
    assert (found.error, found.latency > 0) == (None, True)
    (request,) = seen
    assert (request.method, request.path) == ("GET", "/v1/models")
    assert request.headers["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("status", "body", "ok", "kind", "words"),
    [
        (401, refusal("1000"), False, AuthenticationError, "The key was not accepted"),
        (429, refusal("1302"), True, RateLimitedError, "is busy"),
        (404, {}, False, RequestRejectedError, "rejected the request"),
        (400, refusal("1214"), False, RequestRejectedError, "not valid"),
        (200, b"<html>", False, TransportError, "no list of models"),
        (200, {"data": "none"}, False, TransportError, "no list of models"),
        (200, b"[" * 10**5, False, TransportError, "no list of models"),
        (500, refusal("1234"), False, TransportError, "no list of models"),
        (200, b" " * (2**23 + 1), False, TransportError, "more than 8388608"),
    ],
)
async def test_an_answer_in_place_of_the_models_is_judged(
    *, tmp_path, status, body, ok, kind, words
):
    async def handler(request):
        if isinstance(body, bytes):
            return web.Response(status=status, body=body)
        return web.json_response(body, status=status)

    async with gateway(tmp_path, handler) as settings:
        found = await ask(**settings)

    assert found.ok is ok
    assert isinstance(found.error, kind)
    assert words in found.reason
    assert not found.error.maybe_billed
    assert "picture" not in str(found.error)


async def test_a_redirect_is_not_followed_with_the_key(tmp_path):
    paths = []

    async def handler(request):
        paths.append(request.path)
        raise web.HTTPFound("/elsewhere")

    async with gateway(tmp_path, handler) as settings:
        found = await ask(**settings)

    assert not found.ok
    assert paths == ["/v1/models"]


async def test_a_strange_host_that_is_silent_is_not_waited_for_long(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(PATIENCE, 0.1)

    async def handler(request):
        await asyncio.sleep(60)

    async with gateway(tmp_path, handler) as settings:
        found = await ask(**settings)

    assert not found.ok
    assert "No answer from gateway.example within 0.1 s" in str(found.error)


async def test_a_strange_host_that_breaks_off_may_be_asked_again(tmp_path):
    async def handler(request):
        request.transport.abort()
        await asyncio.sleep(60)

    async with gateway(tmp_path, handler) as settings:
        found = await ask(**settings)

    assert not found.ok
    assert type(found.error) is TransportError
    assert "Nothing was billed" in str(found.error)


async def test_a_strange_host_that_is_not_there_is_told():
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=ToThisMachine())
    ) as http:
        base_url = f"https://gateway.example:{unused_port()}/v1"
        found = await ask(base_url, http=http)

    assert found.reason.startswith("No answer from https://gateway.example")
    assert isinstance(found.error, ConnectError)


async def test_the_models_are_asked_for_over_a_session_of_our_own_too(monkeypatch):
    """The same pool, headers and time to connect as for a picture."""
    calls = []

    async def script(server: FaultServer, wire):
        head = await wire.reader.readuntil(b"\r\n\r\n")
        calls.append(head)
        await wire.send(ok(b'{"data":[]}'))

    monkeypatch.setattr(ServiceChecker, "_is_known", lambda _: False)
    async with FaultServer(script) as server:
        found = await ask(server.base_url)

    assert found.ok
    assert calls[0].startswith(b"GET /api/paas/v4/models HTTP/1.1\r\n")
    assert f"Bearer {KEY}".encode() in calls[0]
