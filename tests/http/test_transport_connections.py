"""
Connections that do not come to be, that end while idle, or that break inside TLS.

What fails before the request is written is free, and tried again; what fails after it
may be billed. The name of a case is the class of faults that it alone stands for.
"""

import asyncio
import gc
import socket
import ssl
from contextlib import asynccontextmanager

import aiohttp
import pytest
from support import plays as play, relay
from support.certificates import self_signed
from support.faults import FaultServer, open_sockets
from support.plays import ENDLESS, HEAD, answer, body, chunks, on_each, plays
from support.relay import Relay

from zai_images import (
    AnswerLostError,
    ConnectError,
    ImageSession,
    RetryPolicy,
    SessionConfig,
    Timeouts,
    events,
)

pytestmark = pytest.mark.looptime

MODEL = "cogview-4-250304"
CONNECT, TOTAL = 10.0, 60.0
JSON = body()


def config(base_url: str, **settings: object) -> SessionConfig:
    usual = {
        "retry": RetryPolicy(connect_errors=2, first_pause=0.5),
        "timeouts": Timeouts(connect=CONNECT, total=TOTAL),
    }
    return SessionConfig(
        api_key="sk-fault-canary", base_url=base_url, **(usual | settings)
    )


@asynccontextmanager
async def session_at(base_url, *, http=None, **settings):
    """Open a session; at the end no place, no budget and no connection is held."""
    seen: list[events.Event] = []
    one = ImageSession(
        config(base_url, **settings), http=http, observer=seen.append, max_pictures=9
    )
    async with one:
        yield one, seen
        await asyncio.sleep(0)
        assert one.stats().models[MODEL].in_flight == 0
        assert not one.requester.resources.transport._session.connector._acquired
    stats = one.stats()
    assert one.requester._budget._pictures == stats.billed + stats.maybe_billed


async def nothing_is_sent(base_url, server, *, tries=3, **settings):
    """Ask; the error says that it was free, and so does everything else."""
    async with session_at(base_url, **settings) as (one, seen):
        with pytest.raises(ConnectError) as caught:
            await one.generate("a fox")

        assert one.stats().maybe_billed == 0
    assert caught.value.billed == "no"
    assert "sk-fault-canary" not in str(caught.value)
    assert not any(isinstance(event, events.Sent) for event in seen)
    if server is not None:
        assert (server.posts, server.connections) == (0, tries)
        await server.all_gone()


SPEAKS_FIRST = {
    "an answer before any request": [answer(), play.stall],
    "a greeting before any request": [b"220 mail at your service\r\n", play.stall],
}
# Everything that can be in place of a server's half of a TLS handshake.
NO_TLS = {
    "closed as it was accepted": ([play.close], 0),
    "reset as it was accepted": ([play.reset], 0),
    "closed in place of a TLS hello": ([play.read_some, play.close], 0),
    "reset in place of a TLS hello": ([play.read_some, play.reset], 0),
    "silence in place of a TLS hello": ([play.stall], CONNECT),
    "HTTP in the clear in place of a TLS hello": (
        [play.read_some, answer(status=400), play.stall],
        0,
    ),
    "garbage in place of a TLS hello": ([play.read_some, b"\0" * 99, play.stall], 0),
    "a TLS alert in place of a hello": (
        [play.read_some, b"\x15\x03\x03\0\x02\x02\x28", play.stall],
        0,
    ),
    "a TLS hello of one byte a second": (
        [play.read_some, play.slowly(b"\x16\x03\x03\0\x7f" + b"\0" * 99)],
        CONNECT,
    ),
}


@pytest.mark.tried("network: no connection")
@pytest.mark.parametrize("steps", SPEAKS_FIRST.values(), ids=SPEAKS_FIRST)
async def test_a_server_that_speaks_first_is_no_http_and_gets_no_request(steps):
    async with FaultServer(plays(*steps)) as server:
        await nothing_is_sent(server.base_url, server)


@pytest.mark.tried("network: no connection")
@pytest.mark.parametrize(("steps", "seconds"), NO_TLS.values(), ids=NO_TLS)
async def test_a_handshake_that_fails_is_free(steps, seconds, looptime):
    async with FaultServer(plays(*steps)) as server:
        base_url = server.base_url.replace("http:", "https:")
        await nothing_is_sent(base_url, server)

    assert 3 * seconds <= looptime < 3 * seconds + 5


@pytest.mark.tried("network: no connection")
async def test_a_queue_that_is_full_is_waited_for_until_the_connect_time_out(looptime):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        before = open_sockets()
        kept = [socket.socket() for _ in range(3)]
        for one in kept:  # nobody accepts them, so the next is not let in
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        base_url = f"http://127.0.0.1:{full.getsockname()[1]}/api/paas/v4"
        await nothing_is_sent(base_url, None)
        for one in kept:
            one.close()
        assert open_sockets() == before

    assert 3 * CONNECT <= looptime < 3 * CONNECT + 5


PROXY = {
    "a proxy that wants a password": ([407], 0),
    "a proxy that forbids": ([403], 0),
    "a proxy that cannot reach the host": ([502], 0),
    "a proxy that closes": ([play.close], 0),
    "a proxy that resets": ([play.reset], 0),
    "a proxy that says nothing": ([play.stall], CONNECT),
    "a proxy that breaks off": ([HEAD[:9], play.close], 0),
    "a proxy that speaks no HTTP": ([b"\x05\xff\r\n\r\n", play.stall], 0),
    "a proxy without an end of headers": ([HEAD, play.stall], CONNECT),
    "a tunnel that closes": ([ENDLESS, play.read_some, play.close], 0),
    "a tunnel that leads to no TLS": ([ENDLESS, play.read_some, answer()], 0),
    "a tunnel that leads nowhere": ([ENDLESS, play.stall], CONNECT),
}


@pytest.mark.tried("network: no connection")
@pytest.mark.parametrize(("steps", "seconds"), PROXY.values(), ids=PROXY)
async def test_a_proxy_that_makes_no_tunnel_costs_nothing(steps, seconds, looptime):
    steps = [answer(b"", status=s) if isinstance(s, int) else s for s in steps]
    async with FaultServer(plays(play.read_head, *steps)) as proxy:
        base_url = "https://api.example.invalid/api/paas/v4"
        address = f"http://127.0.0.1:{proxy.port}"
        await nothing_is_sent(base_url, proxy, proxy=address)

    assert all(b"CONNECT api.example.invalid:443" in one for one in proxy.seen)
    assert not any(b"fault-canary" in one for one in proxy.seen)
    assert 3 * seconds <= looptime < 3 * seconds + 5


@pytest.mark.tried("network: no connection")
async def test_a_silent_proxy_holds_no_place_of_a_borrowed_pool_for_ever(looptime):
    async with FaultServer(plays(play.stall)) as proxy:
        async with aiohttp.ClientSession() as http:
            base_url = "https://api.example.invalid/api/paas/v4"
            address = f"http://127.0.0.1:{proxy.port}"
            await nothing_is_sent(base_url, proxy, proxy=address, http=http)

    assert looptime < 3 * TOTAL + 5


@pytest.mark.tried("network: no connection")
async def test_a_proxy_gets_its_own_password_and_never_the_key():
    async with FaultServer(plays(play.read_head, answer(b"", status=407))) as proxy:
        base_url = "https://api.example.invalid/api/paas/v4"
        address = f"http://me:secret@127.0.0.1:{proxy.port}"
        await nothing_is_sent(base_url, proxy, proxy=address)

    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0" in proxy.seen[0]
    assert b"fault-canary" not in proxy.seen[0]


# What the server does after an answer, while nobody asks it for anything. The next
# request has to go over another connection, and must get its own answer.
IDLE = {
    "reset while idle": [play.picture, play.reset],
    "closed while idle": [play.picture, play.wait(1), play.close],
    "half-closed while idle": [play.picture, play.half_close, play.stall],
    "a close that was announced, and does not come": [
        answer(headers="Connection: close\r\n"),
        play.stall,
    ],
    "HTTP/1.0, which keeps nothing": [answer(version="1.0"), play.stall],
    "a time-out told while idle (408)": [
        play.picture,
        play.wait(1),
        answer(b"", status=408),
        play.stall,
    ],
    "word to go on while idle": [
        play.picture,
        play.wait(1),
        b"HTTP/1.1 100 C\r\n\r\n",
        play.stall,
    ],
    "bytes of nothing while idle": [play.picture, play.wait(1), b"\0", play.stall],
    "another answer behind the first": [answer() + answer(body(99)), play.stall],
    "another answer while idle": [
        play.picture,
        play.wait(1),
        answer(body(99)),
        play.stall,
    ],
    "something behind the last chunk": [
        play.CHUNKED + chunks(JSON) + b"0\r\n\r\n" + answer(body(99)),
        play.stall,
    ],
}


@pytest.mark.tried("network: kept-alive traps")
@pytest.mark.parametrize("steps", IDLE.values(), ids=IDLE)
async def test_what_comes_of_an_idle_connection_is_never_the_next_answer(steps):
    script = on_each(plays(play.read, *steps), play.pictures)
    async with FaultServer(script) as server:
        async with session_at(server.base_url) as (one, _):
            first = await one.generate("a fox")
            await asyncio.sleep(2)
            second = await one.generate("a bear")

            assert one.stats().maybe_billed == 0
        await server.all_gone()

    assert first.url == "https://example.com/1.png"
    assert second.url == "https://example.com/2.png"
    assert (server.posts, server.connections) == (2, 2)


@pytest.mark.tried("network: kept-alive traps")
@pytest.mark.parametrize("name", ["another answer while idle", "closed while idle"])
async def test_nor_is_it_where_the_pool_is_borrowed(name):
    script = on_each(plays(play.read, *IDLE[name]), play.pictures)
    async with FaultServer(script) as server:
        async with (
            aiohttp.ClientSession() as http,
            session_at(server.base_url, http=http) as (one, _),
        ):
            await one.generate("a fox")
            await asyncio.sleep(2)
            second = await one.generate("a bear")

            assert (one.stats().billed, one.stats().maybe_billed) == (2, 0)
        await server.all_gone()

    assert second.url == "https://example.com/2.png"
    assert (server.posts, server.connections) == (2, 2)


# As above, but the first answer is lost by what came with it.
SPOILT = {
    "a status without a body, with one (204)": [answer(status=204), play.stall],
    "a length of nothing before a body": [answer(length=0), play.stall],
    "a length that is too short": [answer(length=20), play.stall],
}


@pytest.mark.tried("network: kept-alive traps")
@pytest.mark.parametrize("steps", SPOILT.values(), ids=SPOILT)
async def test_what_is_left_of_an_answer_spoils_no_other(steps):
    script = on_each(plays(play.read, *steps), play.pictures)
    async with FaultServer(script) as server:
        async with session_at(server.base_url) as (one, _):
            with pytest.raises(AnswerLostError):
                await one.generate("a fox")
            answered = await one.generate("a bear")

            assert (one.stats().billed, one.stats().maybe_billed) == (1, 1)
        await server.all_gone()

    assert answered.url == "https://example.com/2.png"
    assert (server.posts, server.connections) == (2, 2)


@pytest.mark.tried("network: kept-alive traps")
async def test_a_second_request_that_is_never_answered_may_be_billed():
    async with FaultServer(plays(play.read, play.picture, play.read)) as server:
        async with session_at(server.base_url) as (one, _):
            await one.generate("a fox")
            with pytest.raises(AnswerLostError):
                await one.generate("a bear")

            assert (one.stats().billed, one.stats().maybe_billed) == (1, 1)
        await server.all_gone()

    assert (server.posts, server.connections) == (2, 1)


@pytest.mark.tried("network: kept-alive traps")
async def test_a_service_that_is_gone_after_a_picture_costs_nothing():
    async with FaultServer(plays(play.read, play.picture)) as server:
        async with session_at(server.base_url) as (one, seen):
            await one.generate("a fox")
            server.stop_listening()
            with pytest.raises(ConnectError) as caught:
                await one.generate("a bear")

            assert (one.stats().billed, one.stats().maybe_billed) == (1, 0)
        await server.all_gone()

    assert caught.value.billed == "no"
    assert server.posts == sum(isinstance(event, events.Sent) for event in seen) == 1


@pytest.fixture
def tls(tmp_path):
    """Give both ends what they need to trust each other."""
    pem = self_signed(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    server.num_tickets = 0  # or their records would be counted with the answer's
    client = ssl.create_default_context(cafile=pem)
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    return server, client


@asynccontextmanager
async def trusting(base_url, context):
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        async with session_at(base_url, http=http) as opened:
            yield opened


# Records of the server's, in the order in which TLS 1.3 sends them.
HELLO, MIDDLE, FINISHED, ANSWER = 1, 4, 6, 7
HANDSHAKE = {
    "cut before the server's hello": (HELLO, relay.cut, 0),
    "cut in the server's hello": (HELLO, relay.halve, 0),
    "cut after the server's hello": (2, relay.cut, 0),
    "cut in the certificate": (MIDDLE, relay.halve, 0),
    "cut before the handshake's end": (FINISHED, relay.cut, 0),
    "reset in the handshake": (MIDDLE, relay.reset, 0),
    "a certificate spoilt on the way": (MIDDLE, relay.spoil, 0),
    "an end of the handshake spoilt on the way": (FINISHED, relay.spoil, 0),
    "words in the clear in the handshake": (MIDDLE, relay.swap, 0),
    "silence after the server's hello": (2, relay.withhold, CONNECT),
    "silence before the handshake's end": (FINISHED, relay.withhold, CONNECT),
}


@pytest.mark.tried("network: broken TLS")
@pytest.mark.parametrize(("nth", "verb", "seconds"), HANDSHAKE.values(), ids=HANDSHAKE)
async def test_tls_that_breaks_in_its_handshake_is_free(
    tls, nth, verb, seconds, looptime
):
    async with FaultServer(play.pictures, tls[0]) as service:
        async with FaultServer(Relay(service.port, "server", nth, verb)) as between:
            base_url = between.base_url.replace("http:", "https:")
            async with trusting(base_url, tls[1]) as (one, seen):
                with pytest.raises(ConnectError) as caught:
                    await one.generate("a fox")

                assert one.stats().maybe_billed == 0

    assert caught.value.billed == "no"
    assert not any(isinstance(event, events.Sent) for event in seen)
    assert (service.posts, between.connections) == (0, 3)
    assert 3 * seconds <= looptime < 3 * seconds + 5


@pytest.mark.tried("network: broken TLS")
async def test_no_common_version_of_tls_is_free(tls):
    tls[0].maximum_version = ssl.TLSVersion.TLSv1_2
    async with FaultServer(play.pictures, tls[0]) as service:
        async with trusting(service.base_url, tls[1]) as (one, _):
            with pytest.raises(ConnectError):
                await one.generate("a fox")

    assert service.posts == 0


AFTER = {
    "the request withheld, and cut": ("client", 4, relay.cut, 0, 0),
    "the request withheld, and reset": ("client", 4, relay.reset, 0, 0),
    "the request withheld, and silence": ("client", 4, relay.withhold, 0, TOTAL),
    "the request spoilt on the way": ("client", 4, relay.halve, 0, 0),
    "the answer withheld, and cut": ("server", ANSWER, relay.cut, 1, 0),
    "the answer withheld, and reset": ("server", ANSWER, relay.reset, 1, 0),
    "the answer withheld, and silence": ("server", ANSWER, relay.withhold, 1, TOTAL),
    "half a record of the answer": ("server", ANSWER, relay.halve, 1, 0),
    "the answer spoilt on the way": ("server", ANSWER, relay.spoil, 1, 0),
    "words in the clear in place of the answer": ("server", ANSWER, relay.swap, 1, 0),
}


@pytest.mark.tried("network: broken TLS")
@pytest.mark.parametrize("case", AFTER.values(), ids=AFTER)
async def test_tls_that_breaks_after_the_request_may_be_billed(tls, case, looptime):
    side, nth, verb, posts, seconds = case
    async with FaultServer(play.pictures, tls[0]) as service:
        async with FaultServer(Relay(service.port, side, nth, verb)) as between:
            base_url = between.base_url.replace("http:", "https:")
            async with trusting(base_url, tls[1]) as (one, _):
                with pytest.raises(AnswerLostError) as caught:
                    await one.generate("a fox")

                assert one.stats().maybe_billed == 1

    assert caught.value.billed == "maybe"
    assert (service.posts, between.connections) == (posts, 1)
    assert seconds <= looptime < seconds + 5


@pytest.mark.tried("network: broken TLS")
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_body_that_nobody_reads_is_dropped_inside_tls_too(tls, looptime):
    async with FaultServer(plays(play.read_head, play.stall), tls[0]) as service:
        async with trusting(service.base_url, tls[1]) as (one, _):
            with pytest.raises(AnswerLostError):
                await one.generate("a fox", extra={"padding": "x" * 2**23})

            assert TOTAL <= looptime < TOTAL + 1
        await asyncio.sleep(30)  # Python's own time-out for closing TLS
        await service.all_gone()


INSIDE = {
    "closed in place of an answer": ([play.read, play.close], False),
    "reset in place of an answer": ([play.read, play.reset], False),
    "closed in a body that its end delimits": (
        [play.read, ENDLESS + JSON[:-9], play.close],
        False,
    ),
    "a whole body that its end delimits": (
        [play.read, ENDLESS + JSON, play.close],
        True,
    ),
    "a whole body, and a cut without TLS's goodbye": (
        [play.read, answer(), play.reset],
        True,
    ),
}


@pytest.mark.tried("network: broken TLS")
@pytest.mark.parametrize(("steps", "whole"), INSIDE.values(), ids=INSIDE)
async def test_an_answer_inside_tls_is_a_picture_only_where_it_is_whole(
    tls, steps, whole
):
    async with FaultServer(plays(*steps), tls[0]) as service:
        async with trusting(service.base_url, tls[1]) as (one, _):
            if whole:
                assert (await one.generate("a fox")).created == 1
            else:
                with pytest.raises(AnswerLostError):
                    await one.generate("a fox")

            assert (one.stats().billed, one.stats().maybe_billed) == (whole, not whole)
        await service.all_gone()

    assert (service.posts, service.connections) == (1, 1)


async def test_a_call_frees_all_that_it_held_when_it_ends():
    """What holds itself in a circle waits for the collector, which then runs often."""
    async with (
        FaultServer(plays(*[FaultServer.read, answer(JSON)] * 2)) as server,
        session_at(server.base_url) as (one, _),
    ):
        await one.generate("a fox")
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await one.generate("a fox")
            gc.collect()
            ours = [
                found
                for found in gc.garbage
                if type(found).__module__.startswith("zai_images")
            ]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()

        assert ours == []
