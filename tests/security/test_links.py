"""
Hostile picture links: where nobody is sent, with a proxy, by name, or by a redirect.

The session believes that it talks to Z.AI, so only the public internet is allowed; the
one host there is ours, over TLS.
"""

import asyncio
import ssl

import pytest
from aiohttp import web
from support.certificates import Authority
from support.faults import FaultServer
from support.hostile_links import BEHIND_A_PROXY, LITERALS, NAMES, SHAPES
from support.internet import HOST, PUBLIC, Internet, SecureHost
from support.pictures import PictureHost, picture

from zai_images import DownloadError, ImageSession, SessionConfig
from zai_images._http.addresses import check_link

pytestmark = [pytest.mark.looptime, pytest.mark.tried("hostile picture links")]


def cases(*corpora):
    return [
        pytest.param(link, id=fault) for corpus in corpora for fault, link in corpus
    ]


def session(**settings) -> ImageSession:
    return ImageSession(SessionConfig(api_key="sk-canary-key", **settings))


@pytest.fixture
def internet(monkeypatch):
    internet = Internet()
    internet.attach(monkeypatch)
    return internet


@pytest.fixture
async def host(internet, monkeypatch, tmp_path):
    """Serve pictures at a public address, vouched for by an authority we trust."""
    authority = Authority(tmp_path)
    trusting = ssl.create_default_context(cafile=authority.path)
    trusting.set_alpn_protocols(["http/1.1"])
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    async with SecureHost(authority, tmp_path) as host:
        internet.port = host.port
        yield host


@pytest.mark.parametrize("link", cases(LITERALS, SHAPES))
async def test_nobody_is_connected_to_and_the_paid_link_is_kept(link, internet):
    async with session() as one:
        with pytest.raises(DownloadError, match="the link was refused") as caught:
            await one.download(link)

    assert internet.strangers == []
    assert caught.value.billed == "yes"


@pytest.mark.parametrize("link", cases(LITERALS, SHAPES, BEHIND_A_PROXY))
async def test_a_proxy_hears_nothing_of_it_either(link):
    async def hear(server, wire):
        await wire.reader.read()

    async with FaultServer(hear) as proxy:
        async with session(proxy=f"http://127.0.0.1:{proxy.port}") as one:
            with pytest.raises(DownloadError, match="the link was refused"):
                await one.download(link)

    assert proxy.connections == 0


@pytest.mark.parametrize("addresses", cases(NAMES))
async def test_a_name_is_judged_by_the_address_it_has(addresses, internet):
    internet.answers["innocent.example"] = [addresses]
    async with session() as one:
        with pytest.raises(DownloadError, match="is not a public address"):
            await one.download("https://innocent.example/a.png")

    assert internet.strangers == []


@pytest.mark.parametrize("location", cases(LITERALS, SHAPES))
async def test_a_redirect_leads_nowhere_else_either(location, internet, host):
    # What no header can hold is left out: others test what a client makes of that.
    written = "".join(char for char in location if char >= " " or char == "\t")
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: "

    async def redirects(request):
        request.transport.write(head + written.encode(errors="replace") + b"\r\n\r\n")
        raise web.HTTPFound("/second")  # comes too late

    host.handler = redirects
    async with session() as one:
        with pytest.raises(DownloadError):
            await one.download(host.url)

    assert internet.strangers == []


async def test_the_public_host_is_reached_all_the_same(internet, host):
    """The corpus would prove nothing, were everything refused."""
    async with session() as one:
        found = await one.download(host.url)

    assert found.data.startswith(b"\x89PNG")
    assert internet.looked_up == [HOST]


@pytest.mark.parametrize(
    "link",
    cases(
        [
            ("a name", "https://example.com/a"),
            ("a name of digits and letters", "https://1e3.example/a"),
            ("a bucket with an underscore", "https://my_bucket.oss.example.com/a"),
            ("a name in another script", "https://bücher.example/a"),
            ("a port of its own", "https://example.com:8443/a"),
            ("a trailing dot", "https://example.com./a"),
            ("a public address", "https://1.1.1.1/a"),
            ("a public IPv6 address", "https://[2606:4700::1111]/a"),
            ("a signed query", "https://example.com/a?Signature=a%2Fb%3D&Expires=1"),
        ]
    ),
)
@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "behind a proxy"])
def test_what_is_public_passes(link, proxied):
    check_link(link, loopback=False, proxied=proxied)


async def test_a_resolver_may_change_its_mind_between_two_connections(internet, host):
    async def once(request):
        return web.Response(body=picture(), headers={"Connection": "close"})

    host.handler = once
    internet.answers[HOST] = [[PUBLIC], ["127.0.0.1"]]
    async with session() as one:
        await one.download(host.url)
        one.requester.resources.downloader._session.connector.clear_dns_cache()
        with pytest.raises(DownloadError, match=r"127\.0\.0\.1 is not a public"):
            await one.download(host.url)

    assert internet.strangers == []


async def test_there_is_one_look_up_and_it_is_the_one_connected_to(internet, host):
    """No second answer can slip in between a check and its use."""
    internet.answers[HOST] = [[PUBLIC], ["127.0.0.1"]]
    async with session() as one:
        await one.download(host.url)

    assert internet.looked_up == [HOST]
    assert internet.strangers == []


async def test_of_good_and_bad_addresses_only_the_good_are_tried(internet, host):
    internet.answers[HOST] = [["127.0.0.1", "10.0.0.1", PUBLIC, "::1"]]
    async with session() as one:
        await one.download(host.url)

    assert internet.strangers == []


async def test_a_redirect_to_another_public_name_is_followed(internet, host):
    async def redirects(request):
        if request.path == "/a.png":
            raise web.HTTPTemporaryRedirect(f"https://{HOST}./b.png")
        return web.Response(body=picture())

    internet.answers[f"{HOST}."] = [[PUBLIC]]
    host.handler = redirects
    async with session() as one:
        await one.download(host.url)

    assert [request.path for request in host.requests] == ["/a.png", "/b.png"]


@pytest.mark.parametrize(
    ("status", "location", "hops"),
    [
        pytest.param(302, "/a.png", 4, id="a loop of one"),
        pytest.param(307, "https://pictures.example/a.png?x", 4, id="with a query"),
        pytest.param(302, "", 4, id="an empty target"),
        pytest.param(300, "https://pictures.example/b", 1, id="a choice"),
        pytest.param(304, "https://pictures.example/b", 1, id="not modified"),
        pytest.param(305, "http://127.0.0.1:1/", 1, id="use a proxy"),
        pytest.param(399, "https://pictures.example/b", 1, id="no known redirect"),
    ],
)
async def test_a_redirect_that_leads_round_ends(status, location, hops, internet, host):
    async def redirects(request):
        return web.Response(status=status, headers={"Location": location})

    host.handler = redirects
    async with session() as one:
        with pytest.raises(DownloadError):
            await one.download(host.url)

    assert len(host.requests) == hops
    assert internet.strangers == []


async def test_a_redirect_with_an_endless_body_is_not_read(internet, host):
    async def redirects(request):
        answer = web.StreamResponse(status=302, headers={"Location": "http://x/"})
        await answer.prepare(request)
        while True:
            await answer.write(bytes(2**16))
            await asyncio.sleep(0)

    host.handler = redirects
    async with session() as one:
        with pytest.raises(DownloadError, match="it is http"):
            await one.download(host.url)


@pytest.mark.parametrize(
    "target", ["https://10.0.0.1/", "http://10.0.0.1/", "file:///etc/passwd"]
)
async def test_what_a_sandbox_may_do_its_redirects_may_not(target):
    """With a sandbox this machine's own addresses are allowed, and no others."""

    async def redirects(request):
        raise web.HTTPFound(target)

    local = "http://127.0.0.1:9/api/paas/v4"
    async with PictureHost(redirects) as host, session(base_url=local) as one:
        with pytest.raises(DownloadError, match="the link was refused"):
            await one.download(host.url)
