"""The way from a paid link to a checked picture, against a real host on loopback."""

import asyncio
import gzip
from datetime import UTC, datetime

import pytest
from aiohttp import web
from support.faults import unused_port
from support.pictures import PictureHost, picture

from zai_images import (
    DownloadError,
    ImageResponse,
    ImageSession,
    ImageURL,
    RetryPolicy,
    SessionConfig,
)
from zai_images._http.addresses import AddressRefusedError, check_address, check_link

pytestmark = pytest.mark.looptime

LOOPBACK = "http://127.0.0.1:9/api/paas/v4"


def session(base_url: str | None = LOOPBACK, **settings) -> ImageSession:
    return ImageSession(api_key="sk-canary-key", base_url=base_url, **settings)


def response(url: str, created: int | None = 1760335349) -> ImageResponse:
    return ImageResponse(created=created, images=(ImageURL(url=url),))


async def test_a_picture_is_fetched_and_checked():
    async with PictureHost() as host, session() as one:
        found = await one.download(response(host.url))

    assert (found.media_type, found.width, found.height) == ("image/png", 32, 16)
    assert found.data.startswith(b"\x89PNG")
    assert found.response.url == host.url


async def test_the_picture_host_never_sees_the_key_or_a_cookie():
    async def sets_a_cookie(request):
        answer = web.Response(body=picture())
        answer.set_cookie("track", "me")
        return answer

    async with PictureHost(sets_a_cookie) as host, session() as one:
        await one.download(host.url)
        await one.download(host.url)

    for request in host.requests:
        assert "Authorization" not in request.headers
        assert "Cookie" not in request.headers
        assert "canary" not in str(request.headers)
    assert len(host.requests) == 2


async def test_a_fresh_link_may_answer_404_for_some_seconds(looptime):
    """A picture reaches the host's edges a little later than its link reaches us."""
    fresh_until = 12.0

    async def not_yet(request):
        if asyncio.get_running_loop().time() < fresh_until:
            return web.json_response({"RetCode": -148654}, status=404)
        return web.Response(body=picture())

    async with PictureHost(not_yet) as host, session() as one:
        await one.download(host.url)

    assert fresh_until <= looptime < 25


async def test_a_link_that_stays_404_is_given_up_after_half_a_minute(looptime):
    async def never(request):
        return web.Response(status=404)

    async with PictureHost(never) as host, session() as one:
        with pytest.raises(DownloadError, match="HTTP 404"):
            await one.download(response(host.url))

    assert 30 <= looptime < 45


@pytest.mark.parametrize(("status", "most"), [(404, 0.6), (500, 0.6)])
async def test_the_patience_of_downloads_can_be_set(looptime, status, most):
    async def never(request):
        return web.Response(status=status)

    config = SessionConfig(base_url=LOOPBACK, retry=RetryPolicy(download_pause=0.01))
    async with PictureHost(never) as host, session(None, config=config) as one:
        with pytest.raises(DownloadError, match=f"HTTP {status}"):
            await one.download(response(host.url))

    assert 0.3 <= looptime < most


async def test_a_failed_download_keeps_the_paid_link():
    async def forbidden(request):
        return web.Response(status=403)

    async with PictureHost(forbidden) as host, session() as one:
        with pytest.raises(DownloadError) as caught:
            await one.download(response(host.url))

    error = caught.value
    assert len(host.requests) == 1
    assert error.billed == "yes"
    assert error.response.url == host.url
    assert error.url.endswith("/a.png?***")
    assert "s3cret" not in str(error) + repr(error) + error.url
    assert "session.download(error.response)" in str(error)
    assert error.expires == datetime(2025, 11, 12, 6, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "created", "expires"),
    [
        ("Expires=1800000000", 1, datetime(2027, 1, 15, 8, 0, tzinfo=UTC)),
        ("Expires=soon", None, None),
        ("Expires=99999999999999999999", None, None),
        ("", 10**18, None),
    ],
)
async def test_the_error_says_when_the_link_dies(query, created, expires):
    url = f"http://127.0.0.1:{unused_port()}/a.png?{query}"
    async with session() as one:
        with pytest.raises(DownloadError) as caught:
            await one.download(response(url, created))

    assert caught.value.expires == expires


WHOLE = picture("PNG")
JPEG = picture("JPEG", quality=90)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>error</html>", "not a picture"),
        (b'{"RetCode": -1}', "not a picture"),
        (b"", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (WHOLE[:-12], "cut off"),
        (WHOLE[:-1], "cut off"),
        (WHOLE[:20], "cut off"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 99, "no header chunk"),
        (WHOLE[:16] + b"\0" * 8 + WHOLE[24:], "0x0 pixels"),
        (JPEG[:-2], "cut off"),
        (JPEG[: len(JPEG) // 2], "cut off"),
        (JPEG[:12], "cut off"),
        (b"\xff\xd8\xff\xd9", "cut off"),
        (JPEG[:3] + b"\x00" * 50, "broken segment"),
        (picture("GIF"), "not a picture"),
        (picture("WEBP")[:-9], "cut off"),
        (b"RIFF\x04\0\0\0WAVEfmt ", "not a WebP"),
        (gzip.compress(WHOLE), "not a picture"),
    ],
)
async def test_what_is_not_a_whole_picture_is_tried_again_and_then_an_error(body, why):
    async def serve(request):
        return web.Response(body=body, content_type="image/png")

    async with PictureHost(serve) as host, session() as one:
        with pytest.raises(DownloadError, match=why):
            await one.download(response(host.url))

    assert len(host.requests) == 8


@pytest.mark.parametrize(
    ("kind", "options", "media_type"),
    [
        ("PNG", {}, "image/png"),
        ("JPEG", {}, "image/jpeg"),
        ("JPEG", {"progressive": True}, "image/jpeg"),
        ("WEBP", {}, "image/webp"),
        ("WEBP", {"lossless": True}, "image/webp"),
        ("WEBP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}, "image/webp"),
    ],
)
async def test_the_bytes_decide_what_a_picture_is(kind, options, media_type):
    data = picture(kind, (640, 48), **options) + b"trailing bytes do no harm"

    async def serve(request):
        return web.Response(body=data, content_type="text/html")

    async with PictureHost(serve) as host, session() as one:
        found = await one.download(host.url)

    assert (found.media_type, found.width, found.height) == (media_type, 640, 48)


async def test_more_than_64_mib_is_refused_by_its_header_and_while_it_streams():
    async def claims_much(request):
        answer = web.StreamResponse(headers={"Content-Length": str(65 * 2**20)})
        await answer.prepare(request)
        return answer

    async def streams_much(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(65):
            await answer.write(bytes(2**20))
        return answer

    for handler in (claims_much, streams_much):
        async with PictureHost(handler) as host, session() as one:
            with pytest.raises(DownloadError, match="more than 64 MiB"):
                await one.download(response(host.url))

        assert len(host.requests) == 1


async def test_a_body_shorter_than_its_length_is_not_a_picture():
    async def cut(request):
        answer = web.StreamResponse(headers={"Content-Length": str(len(WHOLE))})
        await answer.prepare(request)
        await answer.write(WHOLE[:50])
        request.transport.abort()
        return answer

    async with PictureHost(cut) as host, session() as one:
        with pytest.raises(DownloadError, match="connection failed"):
            await one.download(response(host.url))

    assert len(host.requests) == 8


async def test_a_slow_host_is_waited_for_and_then_left():
    async def sleeps(request):
        await asyncio.sleep(10_000)

    async with PictureHost(sleeps) as host, session() as one:
        with pytest.raises(DownloadError, match="too long"):
            await one.download(response(host.url))


async def test_redirects_are_followed_three_times_and_checked_each_time():
    targets = {"/0": "/1", "/1": "2", "/2": "/3", "/9": "file:///etc/passwd"}
    targets |= {
        "/8": "/8",
        "/7": "http://10.0.0.1/a.png",
        "/6": "https://me:pw@example.com/",
    }

    async def redirects(request):
        if request.path in targets:
            raise web.HTTPFound(targets[request.path])
        return web.Response(body=picture())

    async with PictureHost(redirects) as host, session() as one:
        base = f"http://127.0.0.1:{host.port}"
        await one.download(base + "/0")
        for path, why in [
            ("/8", "more than 3 redirects"),
            ("/9", "it is file, not https"),
            ("/7", "it is http, not https"),
            ("/6", "no plain host"),
        ]:
            with pytest.raises(DownloadError, match=why):
                await one.download(base + path)


async def test_no_redirect_to_a_private_address_even_by_name(monkeypatch):
    """The address is checked as the socket is made, after whatever resolved it."""

    async def redirects(request):
        raise web.HTTPFound("https://localhost:1/a.png")

    async with PictureHost(redirects) as host, session() as loopback:
        with pytest.raises(DownloadError, match="connection failed"):
            await loopback.download(host.url)

    async with session("https://api.z.ai/api/paas/v4") as public:
        with pytest.raises(DownloadError, match=r"127\.0\.0\.1 is not a public"):
            await public.download("https://127.0.0.1:1/a.png")
        with pytest.raises(DownloadError, match="is not a public address"):
            await public.download("https://localhost:1/a.png")
        with pytest.raises(DownloadError, match="it is http, not https"):
            await public.download(host.url)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"]
    + ["100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1"]
    + ["::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1"]
    + ["64:ff9b::7f00:1", "2002:7f00:1::", "2001::1", "fec0::1", "::127.0.0.1"],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(address):
    with pytest.raises(AddressRefusedError):
        check_address(address, loopback=False)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1", "::ffff:1.1.1.1"])
def test_public_addresses_are_allowed(address):
    check_address(address, loopback=False)


@pytest.mark.parametrize(
    "link",
    ["https://2130706433/a", "https://0x7f.1/a", "https://017700000001/a"]
    + ["https://127.1/a", "https://[::1]/a", "https://localhost./a"]
    + ["https://user@example.com/a", "ftp://example.com/a", "https:///a", "a.png"]
    + ["https://[::1/a", "https://example.com:x/a", "https://10.0.0.1/a"],
)  # fmt: skip
def test_behind_a_proxy_odd_spellings_of_private_addresses_are_refused(link):
    with pytest.raises(AddressRefusedError):
        check_link(link, loopback=False, proxied=True)


@pytest.mark.parametrize(
    "link", ["https://example.com/a", "https://1.1.1.1/a", "https://cafe.example/a"]
)
def test_behind_a_proxy_names_and_public_addresses_pass(link):
    check_link(link, loopback=False, proxied=True)
