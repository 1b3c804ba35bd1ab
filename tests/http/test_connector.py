"""What is told of a connection before something is written to it."""

import asyncio
import os

from zai_images._http.connector import is_dead


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
