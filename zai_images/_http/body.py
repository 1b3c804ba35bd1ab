"""One request on its connection: its body going out, the answer's coming in."""

import asyncio
import json
from collections.abc import Callable
from typing import Self

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload

from zai_images._http.connector import is_dead, is_spoilt
from zai_images._http.deadline import Deadline

BODY_LIMIT = 2**20  # bytes; an answer is a few hundred
PAGE_LIMIT = 2**23  # bytes; a gateway may list hundreds of models, at length


class RequestBody(BytesPayload):
    """
    A request body that starts its deadline when its first byte is written.

    That is the last moment to find for free that a kept-alive connection is dead (the
    kernel knows that the service closed it, the loop does not yet), or that unrequested
    data came over it, which must not be taken for our answer.

    Args:
        body: The bytes to send.
        seconds: How long the whole exchange may take, from its first byte.
        on_write: Called just before that byte leaves.

    Attributes:
        written: Whether the first byte may have left.
        expired: Whether the time was up before the answer was there.
        received: The parts of the answer's body so far.
    """

    def __init__(
        self, body: bytes, seconds: float, on_write: Callable[[], None]
    ) -> None:
        super().__init__(body, content_type="application/json")
        self.written = False
        self.expired = False
        self.received: list[bytes] = []
        self._seconds = seconds
        self._deadline: Deadline | None = None
        self._on_write = on_write
        self._transport: asyncio.Transport | None = None
        self._plain: asyncio.Transport | None = None

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        if self.written:  # a borrowed session's middleware may try again by itself
            raise aiohttp.ClientError("it would have been sent, and billed, twice")
        self._transport = getattr(writer, "transport", None)
        if self.expired or is_spoilt(writer) or is_dead(self._transport):
            raise ConnectionResetError("the service had closed the idle connection")
        if self._transport and self._transport.get_extra_info("ssl_object") is None:
            self._plain = self._transport
        self.written = True
        self._deadline = Deadline(self._seconds, self.expire, self.received)
        self._on_write()
        await super().write_with_length(writer, content_length)

    def expire(self) -> None:
        """Close the connection, which ends whatever waits for its answer."""
        self.expired = True
        if self._transport is not None:
            self._transport.abort()

    def __deepcopy__(self, _: object) -> Self:
        return self  # tools that mock aiohttp copy what they are given

    def let_go(self) -> None:
        """
        Cancel the deadline, and drop unsent bytes that the peer may never read.

        Under TLS there is nothing to drop: closing has its own time-out there.
        """
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None  # or the two, in a circle, wait for the collector
        if self._plain is not None and self._plain.get_write_buffer_size():
            self._plain.abort()


async def read(response: aiohttp.ClientResponse, sent: RequestBody) -> bytes:
    """Read a body to its end and release the connection, or close it."""
    # What was never sent has no answer. (One made by a mock, such as aioresponses, came
    # over no wire and has no HTTP version.)
    if not sent.written and response.version is not None:
        response.close()
        raise aiohttp.ClientConnectionError("an answer that nobody had asked for")
    parts = sent.received
    size = 0
    try:
        while not response.content.at_eof():
            part = await response.content.readany()
            size += len(part)
            if size > BODY_LIMIT:
                raise aiohttp.ClientPayloadError(f"more than {BODY_LIMIT} bytes")
            parts.append(part)
    finally:
        response.release()  # where the body is not at its end, this closes
    content = b"".join(parts)
    # Without a length, closing at the deadline looks like the end of the body.
    if sent.expired and not _is_json(content):
        raise TimeoutError
    return content


async def read_page(response: aiohttp.ClientResponse) -> bytes:
    """Read the body of a page, the answer to a GET."""
    parts = bytearray()
    async for part in response.content.iter_any():
        parts += part
        if len(parts) > PAGE_LIMIT:
            raise aiohttp.ClientPayloadError(f"more than {PAGE_LIMIT} bytes")
    return bytes(parts)


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True
