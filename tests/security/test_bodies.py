"""Bodies that are not what they say: bounded in memory and in time, and never taken."""

import asyncio
import functools
import gzip
import resource
import time
import tracemalloc
import zlib

import pytest
from support.faults import FaultServer
from support.hostile_bodies import (
    HTML,
    JPEG,
    LOSSLESS,
    NO_PICTURES,
    PNG,
    POLYGLOTS,
    WEBP,
    chunk,
    cuts,
    png,
)

from zai_images import (
    AnswerLostError,
    DownloadError,
    ImageSession,
    ResponseError,
    RetryPolicy,
    SessionConfig,
    Timeouts,
)
from zai_images._http.downloader import FetchError
from zai_images._picture.header import EXTENSIONS, NotAPictureError, measure

pytestmark = pytest.mark.tried("bodies that are not what they say")
# Seconds of the processor on a slow machine; the file of a million parts takes 0.1.
MOMENT = 2.0


@pytest.mark.parametrize("data", NO_PICTURES.values(), ids=NO_PICTURES)
def test_what_is_no_picture_is_not_taken_for_one(data):
    begun = time.thread_time()
    with pytest.raises(NotAPictureError):
        measure(data)

    assert time.thread_time() - begun < MOMENT


@pytest.mark.parametrize(
    "data",
    [PNG, JPEG, WEBP, LOSSLESS],
    ids=["PNG", "JPEG", "WebP", "WebP without loss"],
)
def test_a_file_that_breaks_off_anywhere_is_no_picture(data, record_property):
    places = cuts(data)
    record_property("cases", len(places))
    measure(data)
    for place in places:
        with pytest.raises(NotAPictureError):
            measure(data[:place])


@pytest.mark.parametrize(("data", "kind"), POLYGLOTS.values(), ids=POLYGLOTS)
def test_what_is_two_things_is_named_after_the_picture(data, kind):
    assert measure(data)[0] == kind
    assert EXTENSIONS[kind] in {".png", ".jpg", ".webp"}


def test_a_picture_that_says_it_is_huge_is_not_unpacked():
    tracemalloc.start()
    found = measure(png(100_000, 100_000, chunk(b"IDAT", zlib.compress(bytes(99)))))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found == ("image/png", 100_000, 100_000)
    assert most < 2**20


def head(length: object = None, *more: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", *more]
    if length is not None:
        lines.append(f"Content-Length: {length}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"


@functools.cache
def bomb() -> bytes:
    """Compress 256 MiB to 256 KiB; this takes seconds, so only who needs it does it."""
    return gzip.compress(bytes(2**28), 9)


@functools.cache
def deflated_bomb() -> bytes:
    return zlib.compress(bytes(2**28), 9)


async def a_gzip_bomb(wire):
    await wire.send(head(len(bomb()), b"Content-Encoding: gzip") + bomb())


async def a_deflate_bomb(wire):
    data = deflated_bomb()
    await wire.send(head(len(data), b"Content-Encoding: deflate") + data)


async def a_bomb_in_chunks(wire):
    await wire.send(
        head(None, b"Content-Encoding: gzip", b"Transfer-Encoding: chunked")
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(bomb()), bomb())
    )


async def a_bomb_with_a_false_length(wire):
    await wire.send(head(20, b"Content-Encoding: gzip") + bomb())


async def an_endless_body(wire):
    await wire.send(head())
    while True:
        await wire.send(bytes(2**16))


async def endless_chunks(wire):
    await wire.send(head(None, b"Transfer-Encoding: chunked"))
    while True:
        await wire.send(b"10000\r\n" + bytes(2**16) + b"\r\n")


async def an_endless_header(wire):
    await wire.send(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        await wire.send(b"x" * 2**16)


async def endless_headers(wire):
    await wire.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await wire.send(b"X: y\r\n" * 2**12)


async def endless_hints(wire):
    while True:
        await wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 99)
        await asyncio.sleep(1)


async def endless_trailers(wire):
    await wire.send(head(None, b"Transfer-Encoding: chunked") + b"0\r\n")
    while True:
        await wire.send(b"X: y\r\n" * 2**12)


async def an_endless_chunk_extension(wire):
    await wire.send(head(None, b"Transfer-Encoding: chunked") + b"1;")
    while True:  # it is thrown away as it comes, until the time is up
        await wire.send(b"x" * 2**16)
        await asyncio.sleep(1)


async def a_length_beyond_all_bounds(wire):
    await wire.send(head(10**18) + b"x")
    await asyncio.sleep(10**6)


async def a_length_too_large(wire):
    await wire.send(head(10**4) + b"{")
    wire.writer.close()


async def a_length_of_its_own_kind(wire):
    await wire.send(head("-1") + b"{")


async def a_byte_a_second(wire):
    await wire.send(head(10**6))
    while True:
        await wire.send(b" ")
        await asyncio.sleep(1)


async def a_header_a_second(wire):
    await wire.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await wire.send(b"X: y\r\n")
        await asyncio.sleep(1)


async def nothing(wire):
    await asyncio.sleep(10**6)


async def html(wire):
    await wire.send(head(len(HTML)) + HTML)


async def not_compressed(wire):
    await wire.send(head(len(HTML), b"Content-Encoding: gzip") + HTML)


async def an_encoding_nobody_knows(wire):
    await wire.send(head(len(HTML), b"Content-Encoding: x-y, gzip") + HTML)


BODIES = [
    a_gzip_bomb,
    a_deflate_bomb,
    a_bomb_in_chunks,
    a_bomb_with_a_false_length,
    an_endless_body,
    endless_chunks,
    an_endless_header,
    endless_headers,
    endless_hints,
    endless_trailers,
    an_endless_chunk_extension,
    a_length_beyond_all_bounds,
    a_length_too_large,
    a_length_of_its_own_kind,
    a_byte_a_second,
    a_header_a_second,
    nothing,
    html,
    not_compressed,
    an_encoding_nobody_knows,
]


def peak() -> int:
    """Tell how many bytes this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def session(base_url: str) -> ImageSession:
    settings = SessionConfig(
        api_key="sk-canary-key",
        base_url=base_url,
        timeouts=Timeouts(total=60, download=60),
        retry=RetryPolicy(connect_errors=0),
    )
    return ImageSession(settings)


@pytest.mark.looptime
@pytest.mark.parametrize("body", BODIES)
async def test_the_service_answers_with(body, looptime):
    async def script(server, wire):
        await server.read(wire)
        await body(wire)

    before = peak()
    async with FaultServer(script) as server, session(server.base_url) as one:
        with pytest.raises((AnswerLostError, ResponseError)) as caught:
            await one.generate("a fox")

    assert caught.value.billed == "maybe"
    assert server.posts == 1
    assert looptime <= 62
    assert peak() - before < 64 * 2**20


@pytest.mark.looptime
@pytest.mark.parametrize("body", BODIES)
async def test_the_picture_host_answers_with(body, looptime):
    """Once: how often it is tried again is another matter."""

    async def script(server, wire):
        await wire.reader.readuntil(b"\r\n\r\n")
        await body(wire)

    before = peak()
    async with FaultServer(script) as server, session(server.base_url) as one:
        with pytest.raises(FetchError):
            await one.requester.resources.downloader.fetch(
                f"http://127.0.0.1:{server.port}/a.png"
            )

    assert looptime <= 62
    assert peak() - before < 160 * 2**20  # 64 MiB are taken, and held twice at most


@pytest.mark.looptime
async def test_a_host_that_drips_is_left_in_the_end(looptime):
    async def script(server, wire):
        await wire.reader.readuntil(b"\r\n\r\n")
        await a_byte_a_second(wire)

    async with FaultServer(script) as server, session(server.base_url) as one:
        with pytest.raises(DownloadError, match="too long"):
            await one.download(f"http://127.0.0.1:{server.port}/a.png")

    assert looptime <= 8 * 62 + 60
