"""
The API's side of the network: one POST, and what became of it.

The question that matters is whether the request was written, for then it may be paid.
`ConnectError` says that it was not, `AnswerLostError` that it was.
"""

import asyncio
import select
import ssl
import urllib.request
from collections.abc import Callable
from typing import Protocol, Self, runtime_checkable

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload

from zai_images._clock import Clock
from zai_images._config import Secret, SessionConfig, masked_credentials
from zai_images._errors import (
    AnswerLostError,
    ConfigurationError,
    ConnectError,
    TransportError,
    ZaiImagesError,
)
from zai_images._version import __version__
from zai_images._wire import RawResponse

PATH = "/images/generations"
SECRET_LENGTH = 8  # characters
BODY_LIMIT = 2**20  # bytes; an answer is a few hundred
# Told by the kernel when the peer has closed its half; Linux only.
_PEER_CLOSED: int = getattr(select, "POLLRDHUP", 0)


@runtime_checkable
class Transport(Protocol):
    """Send one request body, and return the answer as it came."""

    async def post(self, body: bytes, *, on_write: Callable[[], None]) -> RawResponse:
        """
        Send `body`; call `on_write` just before its first byte leaves.

        Raises:
            ConnectError: Nothing was sent.
            AnswerLostError: It was written, and no usable answer came.
        """
        ...

    def scrub(self, error: ZaiImagesError) -> None:
        """Take the key out of an error, should the service have quoted it."""
        ...

    async def aclose(self) -> None:
        """Close what this transport opened."""
        ...


Http = aiohttp.ClientSession | Transport


class _Body(BytesPayload):
    """
    A body that sees its own writing begin, and starts its clock there.

    That is the last moment at which a kept-alive connection can be found dead for
    free: the service closed it and the news is in the kernel, not yet with the loop.

    Attributes:
        written: Whether the first byte may have left.
        expired: Whether its time was up before the answer was there.
    """

    def __init__(self, body: bytes, clock: Clock, on_write: Callable[[], None]) -> None:
        super().__init__(body, content_type="application/json")
        self.written = False
        self.expired = False
        self._clock = clock
        self._on_write = on_write
        self._transport: asyncio.Transport | None = None

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        self._transport = getattr(writer, "transport", None)
        if _is_dead(self._transport):
            raise ConnectionResetError("the service had closed the idle connection")
        self.written = True
        self._clock.start(self)
        self._on_write()
        await super().write_with_length(writer, content_length)

    def expire(self) -> None:
        """Close the connection, which ends whatever waits for its answer."""
        self.expired = True
        if self._transport is not None:
            self._transport.abort()

    def __deepcopy__(self, _: object) -> Self:
        return self  # tools that mock aiohttp copy what they are given


def _is_dead(transport: asyncio.Transport | None) -> bool:
    """Tell whether the peer has closed this connection before we wrote to it."""
    if transport is None or transport.is_closing():
        return True
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return sock is not None
    # HTTP servers do not speak first, so anything readable is the end of it. Under TLS
    # a live connection may hold unread session tickets: there only the close counts.
    secure = transport.get_extra_info("ssl_object") is not None
    poll = select.poll()
    poll.register(sock.fileno(), _PEER_CLOSED | (0 if secure else select.POLLIN))
    return bool(poll.poll(0))


class AiohttpTransport:
    """Send over aiohttp, with a session of its own or a borrowed one."""

    def __init__(
        self, config: SessionConfig, borrowed: aiohttp.ClientSession | None = None
    ) -> None:
        if config.api_key is None:  # the session has said so in a better sentence
            raise ConfigurationError("no API key")
        self._key = config.api_key
        self._url = config.base_url + PATH
        self._clock = Clock(config.timeouts.total)
        # The clock of an attempt starts at its first byte, so aiohttp's total is off.
        self._timeout = aiohttp.ClientTimeout(
            total=None,
            # In a borrowed pool the wait for a connection is no failure to connect.
            connect=None if borrowed is not None else config.timeouts.connect,
            sock_connect=config.timeouts.connect,
        )
        self._headers: dict[str, str] = {
            "User-Agent": f"zai-images/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Accept-Language": "en-US,en",
            **config.headers,
            "Authorization": Secret(f"Bearer {config.api_key}"),
        }
        self._proxy = config.proxy or (
            _proxy_of_environment(config) if config.trust_env else None
        )
        self._borrowed = borrowed is not None
        # Our own session holds the headers; a borrowed one gets them with each request.
        self._given = None if borrowed is None else self._headers
        self._session = borrowed or aiohttp.ClientSession(
            headers=self._headers,
            # Places are the gate's business: a second bound here would be a hidden one.
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def post(self, body: bytes, *, on_write: Callable[[], None]) -> RawResponse:
        """Send `body` once; see `Transport.post`."""
        if self._session.closed:
            raise ConfigurationError("the aiohttp session given as http= is closed")
        sending = _Body(body, self._clock, on_write)
        try:
            response = await self._session.post(
                self._url,
                data=sending,
                headers=self._given,
                timeout=self._timeout,
                proxy=self._proxy,
                allow_redirects=False,
                raise_for_status=False,
            )
            content = await _read(response)
        except (aiohttp.ClientError, OSError, TimeoutError, ssl.SSLError) as error:
            # The traceback of aiohttp's frames would carry the headers along.
            cause = TimeoutError() if sending.expired else error.with_traceback(None)
            raise self._judged(cause, written=sending.written) from cause
        except ValueError as error:
            if sending.written:
                raise self._judged(error, written=True) from None
            raise ConfigurationError(
                f"aiohttp cannot send with these settings: {masked_credentials(error)}"
            ) from None
        finally:
            self._clock.stop(sending)
        if sending.expired:  # without a length, a closed connection looks like the end
            raise self._judged(TimeoutError(), written=True)
        headers = response.headers
        return RawResponse(
            status=response.status,
            body=content,
            retry_after=headers.get("Retry-After"),
            request_id=headers.get("X-Request-Id"),
        )

    def _judged(self, error: Exception, *, written: bool) -> TransportError:
        what = _words(error)
        if not written:
            return ConnectError(
                f"No connection to {self._url} ({what}). Nothing was sent or billed. "
                "Check the network and the base URL (ZAI_BASE_URL).",
                retryable=not isinstance(
                    error, aiohttp.ClientConnectorCertificateError | aiohttp.InvalidURL
                ),
            )
        if isinstance(error, TimeoutError):
            what = f"no complete answer within {self._clock.total:g} s"
        return AnswerLostError(
            f"The request was sent and its answer was lost ({what}). The picture may "
            "have been made and billed, so it was not asked for again; look at the "
            "account's bill before you do."
        )

    def scrub(self, error: ZaiImagesError) -> None:
        """Mask the key in an error; one of a few letters is no secret."""
        if len(self._key) < SECRET_LENGTH:
            return
        error.args = tuple(self._masked(one) for one in error.args)
        vars(error).update({k: self._masked(v) for k, v in vars(error).items()})

    def _masked(self, value: object) -> object:
        return value.replace(self._key, "***") if isinstance(value, str) else value

    async def aclose(self) -> None:
        """Close the pool, unless it was borrowed."""
        self._clock.close()
        if not self._borrowed:
            await self._session.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read a body to its end, where the connection is free again, or close it."""
    parts = []
    size = 0
    try:
        while part := await response.content.readany():
            size += len(part)
            if size > BODY_LIMIT:
                raise aiohttp.ClientPayloadError(f"more than {BODY_LIMIT} bytes")
            parts.append(part)
    finally:
        if not response.content.at_eof():
            response.close()
    return b"".join(parts)


def _words(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error  # what happened, without aiohttp's view of the address
    text = " ".join(masked_credentials(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _proxy_of_environment(config: SessionConfig) -> str | None:
    # aiohttp's own trust_env also reads netrc, which would replace the Bearer key.
    if urllib.request.proxy_bypass(config.host):
        return None
    return urllib.request.getproxies().get(config.base_url.partition(":")[0])


def open_transport(config: SessionConfig, http: Http | None) -> Transport:
    """
    Make the transport a session shall use.

    Raises:
        ConfigurationError: `http` is neither an aiohttp session nor a transport.
    """
    if http is None or isinstance(http, aiohttp.ClientSession):
        return AiohttpTransport(config, http)
    if isinstance(http, Transport):
        return http
    raise ConfigurationError(
        "http must be an aiohttp.ClientSession or a testing.ScriptedTransport, got "
        f"{type(http).__name__}"
    )


def pool_limit(http: object) -> int | None:
    """Tell how many connections a borrowed session allows; None for no bound."""
    if not isinstance(http, aiohttp.ClientSession) or http.connector is None:
        return None
    connector = http.connector
    limits = [n for n in (connector.limit, connector.limit_per_host) if n]
    return min(limits, default=None)
