"""What a broken server does, written as a list: bytes go out, the rest are verbs."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from support.faults import FaultServer, Script, Wire

Step = bytes | Callable[[FaultServer, Wire], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\n"
ENDLESS = HEAD + b"\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
FOREVER = 3600.0


def plays(*steps: Step) -> Script:
    """Do the steps on each connection, in order, and close it at their end."""

    async def script(server: FaultServer, wire: Wire) -> None:
        for step in steps:
            if isinstance(step, bytes):
                await wire.send(step)
            else:
                await step(server, wire)

    return script


def on_each(*scripts: Script) -> Script:
    """Play one script on the first connection, another on the second; then the last."""

    async def script(server: FaultServer, wire: Wire) -> None:
        await scripts[min(server.connections, len(scripts)) - 1](server, wire)

    return script


async def read(server: FaultServer, wire: Wire) -> None:
    """Take one request whole, and count it."""
    await server.read(wire)


async def read_head(server: FaultServer, wire: Wire) -> None:
    """Take the head of a request, and leave its body where it is."""
    server.seen.append(await wire.reader.readuntil(b"\r\n\r\n"))


async def read_some(server: FaultServer, wire: Wire) -> None:
    """Take a few bytes of a request, and no more."""
    await wire.reader.readexactly(10)


async def close(server: FaultServer, wire: Wire) -> None:
    wire.writer.close()


async def half_close(server: FaultServer, wire: Wire) -> None:
    """Say that nothing more will come, and go on listening."""
    wire.writer.write_eof()


async def reset(server: FaultServer, wire: Wire) -> None:
    await asyncio.sleep(0)  # else what was written last would not have left
    wire.reset()


async def stall(server: FaultServer, wire: Wire) -> None:
    await asyncio.sleep(FOREVER)


def wait(seconds: float) -> Step:
    async def step(server: FaultServer, wire: Wire) -> None:
        await asyncio.sleep(seconds)

    return step


def slowly(data: bytes, gap: float = 1.0) -> Step:
    """Send one byte, then wait, then the next."""

    async def step(server: FaultServer, wire: Wire) -> None:
        for byte in data:
            await wire.send(bytes([byte]))
            await asyncio.sleep(gap)

    return step


def sip(size: int, gap: float, most: int | None = None) -> Step:
    """Read `size` bytes, then wait, and so on until a request's body has come."""

    async def step(server: FaultServer, wire: Wire) -> None:
        left = length_of(server.seen[-1]) if most is None else most
        while left > 0:
            left -= len(await wire.reader.readexactly(min(size, left)))
            await asyncio.sleep(gap)
        server.posts += most is None

    return step


def length_of(head: bytes) -> int:
    """Find the length of the body that a request's head announces."""
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])


def endlessly(data: bytes, gap: float = 0.0) -> Step:
    async def step(server: FaultServer, wire: Wire) -> None:
        while True:
            await wire.send(data)
            await asyncio.sleep(gap)

    return step


def body(number: int = 1) -> bytes:
    """Write the answer to the request of this number: its link names it."""
    link = f"https://example.com/{number}.png"
    return json.dumps({"created": number, "data": [{"url": link}]}).encode()


def answer(
    data: bytes | None = None,
    *,
    status: int = 200,
    length: int | None = None,
    version: str = "1.1",
    headers: str = "",
) -> bytes:
    """Write an answer whole; `length` is what it claims, `headers` are more lines."""
    data = body() if data is None else data
    claimed = len(data) if length is None else length
    head = f"HTTP/{version} {status} X\r\nContent-Length: {claimed}\r\n{headers}\r\n"
    return head.encode() + data


async def picture(server: FaultServer, wire: Wire) -> None:
    """Answer as one should; the link says which request it is that was answered."""
    await wire.send(answer(body(server.posts)))


async def pictures(server: FaultServer, wire: Wire) -> None:
    """Answer every request as one should."""
    while True:
        await read(server, wire)
        await picture(server, wire)


def chunks(data: bytes, size: int = 10) -> bytes:
    """Write chunks without the last one."""
    parts = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def refusal(code: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": "why"}}).encode()
