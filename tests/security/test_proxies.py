"""Proxies as they are set: they pass things on, and learn nothing but where to."""

import ssl

import aiohttp
import pytest
from support.certificates import Authority
from support.faults import FaultServer, ok
from support.internet import HOST, Internet, SecureHost
from support.leaks import CANARY, hits
from support.pictures import PictureHost
from support.proxies import Proxy
from support.strange import GOOD, answering

from zai_images import ConnectError, ImageSession, RetryPolicy, SessionConfig

pytestmark = pytest.mark.tried("proxies")
API = f"https://{HOST}/api/paas/v4"


def session(**settings) -> ImageSession:
    once = RetryPolicy(connect_errors=0)
    return ImageSession(SessionConfig(api_key=CANARY, retry=once, **settings))


@pytest.fixture
async def service(monkeypatch, tmp_path):
    """Serve the API and its pictures over TLS, under a name only the proxy knows."""
    authority = Authority(tmp_path)
    trusting = ssl.create_default_context(cafile=authority.path)
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)

    async def handle(request):
        if request.method == "GET":
            return await PictureHost.plain(host, request)
        link = f"https://{HOST}/a.png?Signature=s3cret"
        return aiohttp.web.json_response({"created": 1, "data": [{"url": link}]})

    async with SecureHost(authority, tmp_path, handle) as host:
        yield host


WAYS = ["proxy=", "HTTPS_PROXY", "https_proxy"]


@pytest.mark.parametrize("way", WAYS)
async def test_https_goes_through_a_tunnel_and_the_proxy_sees_no_key(
    way, service, monkeypatch
):
    async with Proxy(service.port) as proxy:
        settings = {"proxy": proxy.url} if way == "proxy=" else {"trust_env": True}
        if way != "proxy=":
            monkeypatch.setenv(way, proxy.url)
        async with session(base_url=API, **settings) as one:
            await one.generate("a fox in the snow")

    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {HOST}:443 HTTP/1.1\r\n".encode())
    assert not hits(head)
    assert b"authorization" not in head.lower()
    assert not hits(proxy.tunnelled)
    assert b"a fox" not in proxy.tunnelled
    assert service.requests[0].headers["Authorization"] == f"Bearer {CANARY}"


async def test_a_tunnel_for_pictures_carries_neither_key_nor_link(service):
    async with Proxy(service.port) as proxy:
        async with session(base_url=API, proxy=proxy.url) as one:
            await one.generate_picture("a fox")

    assert len(proxy.heads) == 2
    assert not any(map(hits, proxy.heads))
    assert b"s3cret" not in b"".join(proxy.heads) + proxy.tunnelled
    assert "Authorization" not in service.requests[1].headers


async def test_the_proxys_password_is_for_the_proxy_alone(service):
    async with Proxy(
        service.port, secret="Proxy-Authorization: Basic bWU6cHc="
    ) as proxy:
        url = proxy.url.replace("//", "//me:pw@")
        async with session(base_url=API, proxy=url) as one:
            await one.generate_picture("a fox")

    assert len(proxy.heads) == 2
    for request in service.requests:
        assert "Proxy-Authorization" not in request.headers
        assert "bWU6cHc=" not in str(request.headers)


async def test_without_the_password_nothing_goes_through(service):
    async with Proxy(service.port, secret="Basic bWU6cHc=") as proxy:
        async with session(base_url=API, proxy=proxy.url) as one:
            with pytest.raises(ConnectError) as caught:
                await one.generate("a fox")

    assert caught.value.billed == "no"
    assert service.requests == []
    assert not any(map(hits, proxy.heads))


async def test_a_proxy_that_reads_what_it_passes_on_is_refused(service, tmp_path):
    """It shows a certificate of its own, which nobody vouches for."""
    (tmp_path / "theirs").mkdir()
    theirs = Authority(tmp_path / "theirs")
    async with SecureHost(theirs, tmp_path / "theirs") as reading:
        async with Proxy(reading.port) as proxy:
            async with session(base_url=API, proxy=proxy.url) as one:
                with pytest.raises(ConnectError) as caught:
                    await one.generate("a fox")

    assert not caught.value.retryable
    assert reading.requests == []


async def test_a_proxy_never_answers_for_the_service(service):
    """What it says to CONNECT is no answer to a request, whatever it looks like."""

    async def script(server, wire):
        server.seen.append(await wire.reader.readuntil(b"\r\n\r\n"))
        await wire.send(ok(status=201))

    async with FaultServer(script) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        async with session(base_url=API, proxy=url) as one:
            with pytest.raises(ConnectError):
                await one.generate("a fox")

    assert not any(map(hits, proxy.seen))


async def test_a_proxy_that_is_asked_for_serves_this_machine_too():
    """A sandbox has no TLS; its key opens nothing."""
    async with answering(GOOD) as server, Proxy(server.port) as proxy:
        async with session(base_url=server.base_url, proxy=proxy.url) as one:
            await one.generate("a fox")

    assert server.posts == 1
    assert proxy.heads[0].startswith(b"POST http://127.0.0.1:")


@pytest.mark.parametrize(
    "name", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"]
)
async def test_the_environment_is_not_asked_unless_it_is_wanted(name, monkeypatch):
    async with answering(GOOD) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv(name, proxy.url)
        async with session(base_url=server.base_url) as one:
            await one.generate("a fox")

    assert server.posts == 1
    assert proxy.heads == []


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_the_environments_proxy_is_not_for_this_machine(name, monkeypatch):
    """What goes to loopback is not encrypted, and a proxy elsewhere would read it."""
    async with answering(GOOD) as server:
        monkeypatch.setenv(name, "http://proxy.invalid:3128")
        async with session(base_url=server.base_url, trust_env=True) as one:
            await one.generate("a fox")

    assert server.posts == 1


@pytest.mark.parametrize("value", ["*", HOST, f".{HOST}"])
async def test_who_is_excepted_is_reached_without(value, service, monkeypatch):
    internet = Internet()
    internet.port = service.port
    async with Proxy(service.port) as proxy:
        internet.attach(monkeypatch)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", value)
        async with session(base_url=API, trust_env=True) as one:
            await one.generate("a fox")

    assert proxy.heads == []
    assert len(service.requests) == 1


async def test_a_netrc_gives_away_nothing_and_replaces_nothing(
    service, monkeypatch, tmp_path
):
    (tmp_path / ".netrc").write_text(f"machine {HOST} login me password theirs\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    async with Proxy(service.port) as proxy:
        async with session(base_url=API, proxy=proxy.url, trust_env=True) as one:
            await one.generate_picture("a fox")

    api, pictures = service.requests
    assert api.headers["Authorization"] == f"Bearer {CANARY}"
    assert "Authorization" not in pictures.headers
    assert not any(map(hits, proxy.heads))
