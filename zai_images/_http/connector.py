"""Connections, and the checks on one before a request is written to it."""

import asyncio
import select

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

# Set by the kernel when the peer has closed its half; Linux only.
_PEER_CLOSED: int = getattr(select, "POLLRDHUP", 0)


def is_dead(transport: asyncio.Transport | None) -> bool:
    """Tell whether the peer has closed this connection before we wrote to it."""
    if transport is None or transport.is_closing():
        return True
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return sock is not None
    # HTTP servers do not speak first, so anything readable means the end. Under TLS
    # a live connection may hold unread session tickets: there only the close counts.
    secure = transport.get_extra_info("ssl_object") is not None
    poll = select.poll()
    poll.register(sock.fileno(), _PEER_CLOSED | (0 if secure else select.POLLIN))
    return bool(poll.poll(0))


def is_spoilt(holder: object) -> bool:
    """
    Tell whether unrequested data came over an idle connection.

    aiohttp has read it, and would take it for the answer to the next request. `holder`
    is aiohttp's `Connection` or writer, which has the protocol.
    """
    protocol = getattr(holder, "protocol", None)
    return bool(getattr(protocol, "should_close", False))


class Pool(aiohttp.TCPConnector):
    """A keep-alive connector that hands out no spoilt connection."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own signature
    ) -> Connection:
        """Get a connection as aiohttp does, but refuse a spoilt one."""
        connection = await super().connect(req, traces, timeout)
        if is_spoilt(connection):
            connection.close()
            raise aiohttp.ClientConnectionError(
                "something came over the idle connection that nobody had asked for"
            )
        return connection
