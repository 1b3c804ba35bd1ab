"""A man in the middle of TLS: he sees records and no words, and cuts or spoils them."""

import asyncio
from collections.abc import Awaitable, Callable

from support.faults import FaultServer, Wire
from support.plays import FOREVER

HANDSHAKE, DATA = 22, 23

Verb = Callable[[FaultServer, Wire, bytes], Awaitable[None]]


class Relay:
    """
    Pass TLS records on between a client and a server, up to one of them.

    Args:
        port: Where the server listens.
        side: Whose record it is, "client" or "server".
        nth: Which of that side's records, from 1; under TLS 1.3 the server's are its
            hello, a formality, four parts of its handshake, and its answer.
        verb: What becomes of it.
    """

    def __init__(self, port: int, side: str, nth: int, verb: Verb) -> None:
        self._port = port
        self._nth = {"client": 0, "server": 0} | {side: nth}
        self._verb = verb

    async def __call__(self, server: FaultServer, wire: Wire) -> None:
        """Play this on one connection of a `FaultServer`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        there = Wire(reader, writer)
        try:
            async with asyncio.TaskGroup() as group:
                up = self._pass(server, wire, wire, there, "client")
                down = self._pass(server, wire, there, wire, "server")
                tasks = [group.create_task(up), group.create_task(down)]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
        finally:
            writer.transport.abort()

    async def _pass(
        self, server: FaultServer, wire: Wire, origin: Wire, target: Wire, side: str
    ) -> None:
        count = 0
        while True:
            try:
                head = await origin.reader.readexactly(5)
                record = head + await origin.reader.readexactly(
                    int.from_bytes(head[3:], "big")
                )
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            count += 1
            if count == self._nth[side]:
                await self._verb(server, wire, record)
                return
            await target.send(record)


async def cut(server: FaultServer, wire: Wire, record: bytes) -> None:
    """Withhold the record, and close."""
    wire.writer.close()


async def reset(server: FaultServer, wire: Wire, record: bytes) -> None:
    wire.reset()


async def halve(server: FaultServer, wire: Wire, record: bytes) -> None:
    """Pass on a half of it, and close."""
    await wire.send(record[: len(record) // 2])
    wire.writer.close()


async def spoil(server: FaultServer, wire: Wire, record: bytes) -> None:
    """Change its last byte."""
    await wire.send(record[:-1] + bytes([record[-1] ^ 1]))
    await asyncio.sleep(FOREVER)


async def swap(server: FaultServer, wire: Wire, record: bytes) -> None:
    """Put words in the clear in its place."""
    await wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await asyncio.sleep(FOREVER)


async def withhold(server: FaultServer, wire: Wire, record: bytes) -> None:
    """Say nothing more."""
    await asyncio.sleep(FOREVER)
