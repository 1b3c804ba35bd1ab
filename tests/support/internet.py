"""A small internet: names with addresses of our choice, and one host that is public."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Self

import pytest
from aiohttp import web
from support.certificates import Authority
from support.pictures import Handler, PictureHost

PUBLIC = "93.184.216.34"
HOST = "pictures.example"


class Internet:
    """
    Stand between the sockets and the world.

    Attributes:
        answers: What a name's look-ups give, one after the other; the last for ever.
        strangers: Addresses that a connection was tried to, other than the one host's.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {HOST: [[PUBLIC]]}
        self.looked_up: list[str] = []
        self.strangers: list[object] = []
        self.port = 0

    def attach(self, patch: pytest.MonkeyPatch) -> None:
        """Put this in the place of look-ups and of connecting."""
        connect = asyncio.selector_events.BaseSelectorEventLoop.sock_connect

        async def sock_connect(loop, sock, address):
            if address[0] == PUBLIC:
                return await connect(loop, sock, ("127.0.0.1", self.port))
            self.strangers.append(address)
            raise ConnectionRefusedError(address)

        async def getaddrinfo(loop, host, port, **options):
            await asyncio.sleep(0)
            return self._look_up(host, port)

        base = asyncio.base_events.BaseEventLoop
        patch.setattr(base, "getaddrinfo", getaddrinfo)
        patch.setattr(
            asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", sock_connect
        )

    def _look_up(self, host: str, port: int) -> list[tuple]:
        self.looked_up.append(host)
        if host in self.answers:
            found = self.answers[host]
            addresses = found.pop(0) if len(found) > 1 else found[0]
        else:  # what needs no network: an address in any spelling
            addresses = [
                str(entry[4][0])
                for entry in socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)
            ][:1]
        kind, stream = socket.AF_INET6, socket.SOCK_STREAM
        return [
            (kind, stream, 6, "", (one, port, 0, 1))
            if ":" in one
            else (socket.AF_INET, stream, 6, "", (one, port))
            for one in addresses
        ]


class SecureHost(PictureHost):
    """Serve pictures over TLS, under a certificate of its own authority."""

    def __init__(
        self, authority: Authority, folder: Path, handler: Handler | None = None
    ) -> None:
        super().__init__(handler)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(authority.certificate(folder, HOST))

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"https://{HOST}/a.png?Signature=s3cret"
        return self
