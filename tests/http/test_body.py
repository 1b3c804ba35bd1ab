"""A request's body going out, and the answer's coming in, on their connection."""

import asyncio
import copy

import aiohttp
import pytest
from support.faults import FaultServer, Wire

from zai_images._http.body import BODY_LIMIT, RequestBody, read


def sending(on_write=lambda: None) -> RequestBody:
    return RequestBody(b"{}", 60, on_write)


def answering(data: bytes, head: str = "HTTP/1.1 200 OK\r\n\r\n") -> FaultServer:
    """Answer with a body that ends where the connection does."""

    async def script(server: FaultServer, wire: Wire) -> None:
        await server.read(wire)
        await wire.send(head.encode() + data)
        wire.writer.close()

    return FaultServer(script)


async def test_time_that_is_up_before_anything_is_written_closes_nothing():
    body = sending()
    body.expire()

    assert (body.expired, body.written) == (True, False)


async def silence(server: FaultServer, wire: Wire) -> None:
    await server.read(wire)
    await asyncio.sleep(1000)


@pytest.mark.looptime
async def test_its_time_runs_from_its_first_byte_and_ends_the_connection():
    body = RequestBody(b"{}", 10, lambda: None)
    await asyncio.sleep(60)  # what passes before does not count
    async with FaultServer(silence) as server, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientError):
            await http.post(server.base_url, data=body)

    assert body.expired
    assert asyncio.get_running_loop().time() == pytest.approx(70, abs=0.1)


@pytest.mark.looptime
async def test_one_that_was_answered_leaves_no_timer_behind():
    body = RequestBody(b"{}", 10, lambda: None)
    async with answering(b"{}") as server, aiohttp.ClientSession() as http:
        async with http.post(server.base_url, data=body) as response:
            await read(response, body)
    body.let_go()
    await asyncio.sleep(60)

    assert not body.expired


async def test_one_whose_time_was_up_before_is_not_sent():
    body = sending()
    body.expire()
    async with answering(b"{}") as server, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientError):
            await http.post(server.base_url, data=body)

    assert not body.written
    assert server.seen in ([], [b""])


async def test_it_tells_when_its_first_byte_is_about_to_leave():
    told = []
    body = sending(lambda: told.append(body.written))
    async with answering(b"{}") as server, aiohttp.ClientSession() as http:
        assert not body.written
        async with http.post(server.base_url, data=body) as response:
            assert await read(response, body) == b"{}"

    assert told == [True]
    assert server.seen[0].endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize("more", [0, 1])
async def test_an_answer_is_read_up_to_a_mebibyte(more):
    body = sending()
    data = b"x" * (BODY_LIMIT + more)
    async with answering(data) as server, aiohttp.ClientSession() as http:
        async with http.post(server.base_url, data=body) as response:
            if more:
                with pytest.raises(aiohttp.ClientPayloadError, match="1048576 bytes"):
                    await read(response, body)
            else:
                assert await read(response, body) == data


@pytest.mark.parametrize(("data", "whole"), [(b'{"a": 1}', True), (b'{"a": ', False)])
async def test_of_what_came_as_its_time_ran_out_only_a_whole_answer_counts(data, whole):
    """Without a length, the close that ends an attempt looks like the body's end."""
    body = sending()
    async with answering(data) as server, aiohttp.ClientSession() as http:
        async with http.post(server.base_url, data=body) as response:
            body.expired = True
            if whole:
                assert await read(response, body) == data
            else:
                with pytest.raises(TimeoutError):
                    await read(response, body)

    assert b"".join(body.received) == data


async def test_an_answer_to_what_was_never_sent_is_none():
    body = sending()
    async with answering(b"{}") as server, aiohttp.ClientSession() as http:
        async with http.post(server.base_url, data=b"another's") as response:
            with pytest.raises(aiohttp.ClientConnectionError, match="nobody had asked"):
                await read(response, body)

            assert response.connection is None


async def test_time_that_is_up_ends_the_connection():
    body = sending()

    async def silence(server: FaultServer, wire: Wire) -> None:
        await server.read(wire)
        body.expire()
        await wire.reader.read()

    async with FaultServer(silence) as server, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.post(server.base_url, data=body)

    assert (body.written, body.expired) == (True, True)


async def test_tools_that_copy_what_they_are_given_get_the_body_itself():
    body = sending()

    assert copy.deepcopy(body) is body
    body.let_go()  # nothing was written, so there is nothing to drop
    await asyncio.sleep(0)
