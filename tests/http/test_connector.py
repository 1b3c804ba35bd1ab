"""What is told of a connection before and while something is written to it."""

import asyncio
import os

from zai_images._http.body import RequestBody
from zai_images._http.connector import is_dead
from zai_images._http.deadlines import Deadlines


async def test_of_what_is_no_socket_it_is_not_known_that_it_is_dead():
    reading, writing = os.pipe()
    loop = asyncio.get_running_loop()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb", buffering=0) as pipe:
        transport, _ = await loop.connect_write_pipe(asyncio.Protocol, pipe)
        alive = is_dead(transport)
        transport.close()
        closed = is_dead(transport)
        await asyncio.sleep(0)

    assert (alive, closed) == (False, True)


async def test_time_that_is_up_before_anything_is_written_closes_nothing():
    sending = RequestBody(b"{}", Deadlines(1), lambda: None)
    sending.expire()

    assert (sending.expired, sending.written) == (True, False)


async def test_after_the_end_no_attempt_begins_that_nobody_would_end():
    clock = Deadlines(1)
    clock.close()
    sending = RequestBody(b"{}", clock, lambda: None)
    clock.start(sending)

    assert sending.expired
