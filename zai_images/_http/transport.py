"""
The API's side of the network: one POST and its outcome.

What matters is whether the request was written, for then it may be billed:
`ConnectError` says that it was not, `AnswerLostError` that it was.
"""

import asyncio
import sys
import urllib.request
import warnings
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

import aiohttp

from zai_images._api.errors import (
    AnswerLostError,
    ConfigurationError,
    ConnectError,
    TransportError,
    ZaiImagesError,
)
from zai_images._api.response import RawResponse
from zai_images._config import SessionConfig, is_loopback
from zai_images._http.body import RequestBody, read, read_page
from zai_images._http.connector import Pool
from zai_images._redact import Secret, mask_credentials, redact, strip_traceback
from zai_images._version import __version__

PATH = "/images/generations"
_KEPT = 2000  # characters of a truncated body
_NO_CONNECTION = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@runtime_checkable
class Transport(Protocol):
    """The sender of request bodies, which returns each answer undecoded."""

    async def post(self, body: bytes, *, on_write: Callable[[], None]) -> RawResponse:
        """
        Send `body`; call `on_write` just before its first byte leaves.

        Raises:
            ConnectError: Nothing was sent.
            AnswerLostError: It was written, and no usable answer came.
        """
        ...

    def scrub(self, error: ZaiImagesError) -> None:
        """Mask the key in an error, in case the service quoted it."""
        ...

    async def aclose(self) -> None:
        """Close what this transport opened."""
        ...


Http = aiohttp.ClientSession | Transport


class AiohttpTransport:
    """The transport over aiohttp, with a session of its own or a borrowed one."""

    def __init__(
        self, config: SessionConfig, borrowed: aiohttp.ClientSession | None = None
    ) -> None:
        if config.api_key is None:  # pragma: no cover - for the types: the session
            raise ConfigurationError("no API key")  # has said so in a better sentence
        self._key = config.api_key
        self._base_url = config.base_url
        self._url = config.base_url + PATH
        self._seconds = config.timeouts.total
        self._in_flight: set[RequestBody] = set()
        self._proxy = config.proxy or (
            _proxy_of_environment(config) if config.trust_env else None
        )
        # An attempt is timed from its first byte, so aiohttp's total is off.
        self._timeout = aiohttp.ClientTimeout(
            total=None,
            connect=self._time_to_connect(config, borrowed),
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
        self._borrowed = borrowed is not None
        self._closed = False
        # Without a proxy our own session holds the headers; else they go with each
        # request: aiohttp shows a session's headers, and the key, to the proxy.
        held = borrowed is None and self._proxy is None
        self._given = None if held else self._headers
        self._session = borrowed or aiohttp.ClientSession(
            headers=self._headers if held else None,
            # The gate bounds what is in flight; a second bound here would be hidden.
            connector=Pool(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._loop = None if borrowed is None else _loop_of(borrowed)

    def _time_to_connect(
        self, config: SessionConfig, borrowed: aiohttp.ClientSession | None
    ) -> float | None:
        if borrowed is None:
            return config.timeouts.connect
        # Waiting for a connection of a borrowed pool is no failure to connect. But
        # with a proxy nothing else bounds its answer, which may never come.
        return None if self._proxy is None else config.timeouts.total

    async def post(self, body: bytes, *, on_write: Callable[[], None]) -> RawResponse:
        """Send `body` once; see `Transport.post`."""
        self._refuse_closed()
        handled = sys.exception()
        request = RequestBody(body, self._seconds, on_write)
        self._in_flight.add(request)
        try:
            response = await self._session.post(
                self._url,
                data=request,
                headers=self._given,
                timeout=self._timeout,
                proxy=self._proxy,
                allow_redirects=False,
                raise_for_status=False,
            )
            content = await read(response, request)
        except Exception as error:  # noqa: BLE001 - a borrowed session runs its tracers
            failed = self._failed(error, handled, request)
        else:
            return self._raw(response, content)
        finally:
            self._in_flight.discard(request)
            request.let_go()
        try:  # Here no variable holds an error that may quote the key.
            raise failed
        finally:
            del failed  # nor does this frame hold itself

    async def get(self, path: str) -> RawResponse:
        """
        GET a page below the base URL, once; this costs nothing.

        Raises:
            ConnectError: Nothing was sent.
            TransportError: No usable answer came.
        """
        self._refuse_closed()
        url = self._base_url + path
        try:
            async with self._session.get(
                url,
                headers=self._given,
                timeout=self._timeout,
                proxy=self._proxy,
                allow_redirects=False,
                raise_for_status=False,
            ) as response:
                return self._raw(response, await read_page(response))
        except Exception as error:  # noqa: BLE001 - as in `post`
            what = str(self._masked(_words(error)))
            unsent = isinstance(error, _NO_CONNECTION)
        raise (ConnectError if unsent else TransportError)(
            f"No answer from {url} ({what}). Nothing was billed. Check the network and "
            "the base URL (ZAI_BASE_URL)."
        )

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ConfigurationError(
                "This ImageSession is closed. Nothing was sent; make a new one."
            )
        if self._session.closed:
            raise ConfigurationError(
                "The aiohttp session given as http= is closed, or its connector is. "
                "Nothing was sent; give a new one."
            )
        if self._loop not in (None, asyncio.get_running_loop()):
            raise ConfigurationError(
                "The aiohttp session given as http= belongs to another event loop. "
                "Nothing was sent; make one on the loop that runs, or leave http out."
            )

    def _raw(self, response: aiohttp.ClientResponse, content: bytes) -> RawResponse:
        headers = response.headers
        return RawResponse(
            status=response.status,
            body=content,
            retry_after=self._masked(headers.get("Retry-After")),
            request_id=self._masked(headers.get("X-Request-Id")),
        )

    def _failed(
        self, error: Exception, handled: BaseException | None, request: RequestBody
    ) -> ZaiImagesError:
        """Convert to an error of ours, with its cause if that shows no secret."""
        if request.expired:
            error = TimeoutError()
        told = f"{error!s} {error!r}"
        if isinstance(error, aiohttp.ClientError | OSError):
            failed = self._judged(error, request)
            if self._masked(told) == told:
                failed.__cause__ = strip_traceback(error, handled)
            return failed
        if request.written:
            return self._judged(error, request)
        return ConfigurationError(
            "aiohttp cannot send with these settings, so nothing was sent: "
            f"{self._masked(_words(error))}"
        )

    def _judged(self, error: Exception, request: RequestBody) -> TransportError:
        what = str(self._masked(_words(error)))
        if not request.written:
            return ConnectError(
                f"No connection to {self._url} ({what}). Nothing was sent or billed. "
                "Check the network and the base URL (ZAI_BASE_URL).",
                retryable=not isinstance(
                    error, aiohttp.ClientConnectorCertificateError | aiohttp.InvalidURL
                ),
            )
        if isinstance(error, TimeoutError):
            what = f"no complete answer within {self._seconds:g} s"
        return answer_lost(what, body=self._masked(_begun(request.received)))

    def scrub(self, error: ZaiImagesError) -> None:
        """Mask the key in an error, in case the service quoted it."""
        error.args = tuple(self._masked(one) for one in error.args)
        vars(error).update({k: self._masked(v) for k, v in vars(error).items()})

    def _masked(self, value: Any) -> Any:  # noqa: ANN401 - the same, masked
        return redact(value, self._key)

    async def aclose(self) -> None:
        """Cut off what is in flight, and close the pool unless it was borrowed."""
        self._closed = True
        for request in self._in_flight:
            request.expire()
        if not self._borrowed:
            await self._session.close()


def answer_lost(what: str, *, body: str = "") -> AnswerLostError:
    """Build the error for a request that was written and has no usable answer."""
    return AnswerLostError(
        f"The request was sent and its answer was lost ({what}). The picture may "
        "have been made and billed, so it was not asked for again; look at the "
        "account's bill before you do.",
        body=body,
    )


def _begun(parts: list[bytes]) -> str:
    """Keep the beginning of a truncated body, which may hold a paid link."""
    return b"".join(parts)[: _KEPT * 4].decode(errors="replace")[:_KEPT]


def _words(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error  # what happened, without aiohttp's view of the address
    text = " ".join(mask_credentials(error).split())
    text = "".join(char for char in text if char.isprintable())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _loop_of(session: aiohttp.ClientSession) -> object:
    """Return the loop that a session belongs to; None where aiohttp does not tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return getattr(session, "loop", None)


def _proxy_of_environment(config: SessionConfig) -> str | None:
    # aiohttp's own trust_env also reads netrc, which would replace the Bearer key.
    if urllib.request.proxy_bypass(config.host):
        return None
    found = urllib.request.getproxies().get(config.base_url.partition(":")[0])
    if found and config.loopback and not is_loopback(urlsplit(found).hostname or ""):
        return None  # it could not reach this machine, and would read the key
    return found


def open_transport(config: SessionConfig, http: Http | None) -> Transport:
    """Make a session's transport; raise `ConfigurationError` if `http` is neither."""
    if http is None or isinstance(http, aiohttp.ClientSession):
        return AiohttpTransport(config, http)
    if isinstance(http, Transport):
        return http
    raise ConfigurationError(
        "http must be an aiohttp.ClientSession or a testing.ScriptedTransport, got "
        f"{type(http).__name__}"
    )


def pool_limit(http: object) -> int | None:
    """Return a borrowed session's connection limit; None for no bound."""
    if not isinstance(http, aiohttp.ClientSession) or http.connector is None:
        return None
    connector = http.connector
    limits = [n for n in (connector.limit, connector.limit_per_host) if n]
    return min(limits, default=None)
