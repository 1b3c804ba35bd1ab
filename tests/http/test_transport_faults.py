"""
Rule 2, proven on real sockets: what breaks before the write is free, after it is not.

Here are the rules; every way in which a connection or an answer can break is in
`test_transport_answers`, `test_transport_connections` and `test_downloader_faults`.
"""

import asyncio
import ssl
from collections.abc import Iterator

import aiohttp
import pytest
from support.faults import PICTURE, FaultServer, Wire, ok, unused_port

from zai_images import (
    AnswerLostError,
    ConnectError,
    ImageSession,
    RetryPolicy,
    SessionConfig,
    Timeouts,
    events,
)
from zai_images._http.connector import is_dead

pytestmark = pytest.mark.looptime


def config(base_url: str, **settings: object) -> SessionConfig:
    return SessionConfig(
        api_key="sk-fault-canary",
        base_url=base_url,
        **({"retry": RetryPolicy(connect_errors=2)} | settings),
    )


async def reset_after_headers(server: FaultServer, wire: Wire) -> None:
    await server.read(wire)
    await wire.send(ok()[: -len(PICTURE)])
    wire.reset()


async def silence(server: FaultServer, wire: Wire) -> None:
    await server.read(wire)
    await asyncio.sleep(3600)


async def test_a_silent_server_is_waited_for_exactly_the_total_timeout(looptime):
    async with (
        FaultServer(silence) as server,
        ImageSession(config(server.base_url)) as session,
    ):
        with pytest.raises(AnswerLostError, match="300 s"):
            await session.generate("a fox")

        assert 300 <= looptime < 301


async def half_a_body_without_an_end(server: FaultServer, wire: Wire) -> None:
    await server.read(wire)
    await wire.send(b"HTTP/1.1 200 OK\r\n\r\n" + PICTURE[:20])
    await asyncio.sleep(3600)


async def a_whole_body_without_an_end(server: FaultServer, wire: Wire) -> None:
    await server.read(wire)
    await wire.send(b"HTTP/1.1 200 OK\r\n\r\n" + PICTURE)
    await asyncio.sleep(3600)


async def half_a_body_and_silence(server: FaultServer, wire: Wire) -> None:
    await server.read(wire)
    await wire.send(ok(PICTURE[:20], length=len(PICTURE)))
    await asyncio.sleep(3600)


async def test_what_came_of_an_answer_that_broke_off_is_kept_for_its_link():
    async def framed_too_long(server: FaultServer, wire: Wire) -> None:
        await server.read(wire)
        await wire.send(ok(PICTURE, length=len(PICTURE) + 1))
        wire.writer.close()

    async with FaultServer(framed_too_long) as server:
        async with ImageSession(config(server.base_url)) as session:
            with pytest.raises(AnswerLostError) as caught:
                await session.generate("a fox")

    assert caught.value.body == PICTURE.decode()


@pytest.mark.parametrize(
    "script", [silence, half_a_body_without_an_end, half_a_body_and_silence]
)
async def test_the_total_timeout_is_told_as_what_it_is(script, looptime):
    """Wherever it strikes: a body without a length must not seem to end there."""
    async with FaultServer(script) as server:
        settings = config(server.base_url, timeouts=Timeouts(total=60))
        async with ImageSession(settings) as session:
            with pytest.raises(AnswerLostError, match="no complete answer within 60 s"):
                await session.generate("a fox")

        assert 60 <= looptime < 61
        assert server.posts == 1


async def test_closing_ends_what_waits_in_a_borrowed_pool_too(looptime):
    async with (
        FaultServer(silence) as server,
        aiohttp.ClientSession() as http,
        ImageSession(config(server.base_url), http=http) as session,
    ):
        waiting = asyncio.create_task(session.generate("a fox"))
        while not server.posts:
            await asyncio.sleep(0)
        await session.aclose()
        with pytest.raises(AnswerLostError):
            await waiting

        assert looptime < 1


async def test_a_paid_answer_that_is_whole_is_kept_though_its_time_ran_out():
    async with FaultServer(a_whole_body_without_an_end) as server:
        settings = config(server.base_url, timeouts=Timeouts(total=60))
        async with ImageSession(settings) as session:
            answer = await session.generate("a fox")

        assert answer.url
        assert server.posts == 1


async def test_under_tls_the_total_timeout_is_the_same(tmp_path, looptime):
    context = self_signed_context(tmp_path)
    connector = aiohttp.TCPConnector(ssl=False)
    async with (
        FaultServer(silence, context) as server,
        aiohttp.ClientSession(connector=connector) as http,
        ImageSession(config(server.base_url), http=http) as session,
    ):
        with pytest.raises(AnswerLostError, match="no complete answer within 300 s"):
            await session.generate("a fox")

        assert 300 <= looptime < 301
        assert server.posts == 1


async def test_the_policy_may_send_a_lost_answer_again():
    """It is the caller's risk, so only the caller can take it."""
    retry = RetryPolicy(lost_answers=2)
    async with (
        FaultServer(reset_after_headers) as server,
        ImageSession(config(server.base_url, retry=retry)) as session,
    ):
        with pytest.raises(AnswerLostError):
            await session.generate("a fox")

        assert server.posts == 3


async def reset_on_accept(server: FaultServer, wire: Wire) -> None:
    wire.reset()


@pytest.mark.parametrize("case", ["refused", "dns", "tls"])
async def test_what_breaks_before_the_write_is_free_and_tried_again(case):
    cut = FaultServer(reset_on_accept)
    async with cut:
        base_url = {
            "refused": f"http://127.0.0.1:{unused_port()}/api/paas/v4",
            "dns": "https://no-such-host.invalid/api/paas/v4",
            "tls": f"https://127.0.0.1:{cut.port}/api/paas/v4",
        }[case]
        seen: list[events.Event] = []
        async with ImageSession(config(base_url), observer=seen.append) as session:
            with pytest.raises(ConnectError) as caught:
                await session.generate("a fox")

            assert session.stats().maybe_billed == 0
        retries = [event for event in seen if isinstance(event, events.Retried)]

    assert caught.value.billed == "no"
    assert len(retries) == 2
    assert cut.posts == 0
    assert not any(isinstance(event, events.Sent) for event in seen)


async def test_a_certificate_nobody_vouches_for_is_final(tls_server):
    base_url, posts = tls_server
    async with ImageSession(config(base_url)) as session:
        with pytest.raises(ConnectError) as caught:
            await session.generate("a fox")

    assert not caught.value.retryable
    assert posts() == 0


@pytest.fixture
async def tls_server(tmp_path) -> Iterator[tuple[str, object]]:
    """Serve TLS with a certificate signed by nobody."""
    async with FaultServer(one_picture_each, self_signed_context(tmp_path)) as server:
        yield server.base_url, lambda: server.posts


def self_signed_context(tmp_path) -> ssl.SSLContext:
    from support.certificates import self_signed

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    return context


async def one_picture_each(server: FaultServer, wire: Wire) -> None:
    while True:
        await server.read(wire)
        await wire.send(ok())


async def one_picture_a_connection(server: FaultServer, wire: Wire) -> None:
    await server.read(wire)
    await wire.send(ok())
    wire.writer.close()


async def test_connections_are_kept_alive():
    async with (
        FaultServer(one_picture_each) as server,
        ImageSession(config(server.base_url)) as session,
    ):
        for _ in range(3):
            await session.generate("a fox")

        assert (server.connections, server.posts) == (1, 3)


async def test_a_connection_closed_between_two_requests_costs_nothing():
    async with (
        FaultServer(one_picture_a_connection) as server,
        ImageSession(config(server.base_url)) as session,
    ):
        for _ in range(3):
            await session.generate("a fox")

        assert (server.connections, server.posts) == (3, 3)
        assert session.stats().maybe_billed == 0


async def test_a_connection_closed_just_before_the_write_costs_nothing():
    """The news is in the kernel, and the loop has not had a turn to hear it."""
    async with (
        FaultServer(one_picture_each) as server,
        ImageSession(config(server.base_url)) as session,
    ):
        await session.generate("a fox")
        server.wires[0].shut()
        await session.generate("a fox")

        assert server.posts == 2
        assert session.stats().maybe_billed == 0


async def test_a_close_that_crosses_our_bytes_may_be_billed():
    """Nobody can tell how far the server had got."""
    server = FaultServer(one_picture_each)

    def cut(event: events.Event) -> None:
        if isinstance(event, events.Sent) and server.posts == 1:
            server.wires[0].shut()

    async with server, ImageSession(config(server.base_url), observer=cut) as session:
        await session.generate("a fox")
        with pytest.raises(AnswerLostError):
            await session.generate("a fox")

        assert server.connections == 1


async def test_a_dead_connection_is_told_from_a_live_one():
    heard = asyncio.Event()
    async with FaultServer(silence_after_hello(heard)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"x")
        await heard.wait()

        assert not is_dead(writer.transport)
        server.wires[0].shut()
        assert is_dead(writer.transport)
        writer.close()
        assert is_dead(writer.transport)
        await writer.wait_closed()

    assert is_dead(None)


def silence_after_hello(heard: asyncio.Event):
    async def script(server: FaultServer, wire: Wire) -> None:
        await wire.reader.readexactly(1)
        heard.set()
        await wire.reader.read()

    return script


async def test_a_server_that_quotes_the_key_does_not_get_it_into_the_error():
    async def quotes(server: FaultServer, wire: Wire) -> None:
        await server.read(wire)
        body = b'{"error":{"code":"1000","message":"bad key sk-fault-canary"}}'
        await wire.send(ok(body, status=401))

    async with (
        FaultServer(quotes) as server,
        ImageSession(config(server.base_url)) as session,
    ):
        with pytest.raises(Exception, match=r"bad key \*\*\*"):
            await session.generate("a fox")


async def test_a_redirect_is_not_followed_with_the_key():
    async def redirects(server: FaultServer, wire: Wire) -> None:
        await server.read(wire)
        await wire.send(
            b"HTTP/1.1 307 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
        )

    async with (
        FaultServer(redirects) as server,
        ImageSession(config(server.base_url)) as session,
    ):
        with pytest.raises(Exception, match="redirects"):
            await session.generate("a fox")

        assert server.posts == 1
