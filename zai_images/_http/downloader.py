"""
The picture host's side of the network: from a link to a checked picture.

The picture host is not the API. Its pool is separate and has no key, no cookies and no
environment. It goes to public https addresses only, and checks each address as it
connects, after every redirect.
"""

import asyncio
import socket
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from zai_images._config import SessionConfig
from zai_images._http.addresses import AddressRefusedError, check_address, check_link
from zai_images._http.connector import Pool
from zai_images._http.deadline import within
from zai_images._picture.header import NotAPictureError
from zai_images._picture.picture import Picture, inspect

PICTURE_LIMIT = 64 * 2**20  # bytes; pictures of a few MiB are usual
JOINED_HERE = 2**20  # bytes; copying more would block the loop for milliseconds
REDIRECTS = 3
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
# One client reports that robot-like headers get a 404 here.
_HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; zai-images)",
    "Accept": "image/*, */*;q=0.8",
    "Accept-Encoding": "identity",
}


class FetchError(Exception):
    """
    Raised when one try to fetch a picture failed.

    Attributes:
        fresh: A new link may answer like this for some seconds (404).
        lasting: Another try would fail the same way.
    """

    def __init__(
        self, reason: str, *, fresh: bool = False, lasting: bool = False
    ) -> None:
        super().__init__(reason)
        self.fresh = fresh
        self.lasting = lasting


class Downloader:
    """The pool that fetches pictures; it shares nothing with the API's."""

    def __init__(self, config: SessionConfig) -> None:
        self._loopback = config.loopback
        self._proxy = config.proxy
        self._seconds = config.timeouts.download
        self._session = aiohttp.ClientSession(
            connector=Pool(
                limit=0,  # the session bounds the downloads
                socket_factory=None if config.proxy else self._checked_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            # A compressed body fails the check of magic bytes; nothing is inflated.
            auto_decompress=False,
            headers=_HEADERS,
            timeout=aiohttp.ClientTimeout(
                total=None,  # the deadline is ours
                sock_connect=config.timeouts.connect,
            ),
        )

    def _checked_socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        check_address(str(address[0]), loopback=self._loopback)
        return socket.socket(family, kind, protocol)

    async def fetch(self, url: str) -> Picture:
        """Fetch the picture of a link once; its `FetchError` says if to try again."""
        try:
            for _ in range(REDIRECTS + 1):
                link = check_link(
                    url, loopback=self._loopback, proxied=self._proxy is not None
                )
                found = await self._get(link)
                if isinstance(found, bytes):
                    return inspect(found)
                url = found
        except AddressRefusedError as error:
            raise FetchError(f"the link was refused: {error}", lasting=True) from None
        except NotAPictureError as error:
            raise FetchError(str(error)) from None
        except aiohttp.InvalidURL:
            raise FetchError("the link is not a URL", lasting=True) from None
        except (aiohttp.ClientError, OSError) as error:  # a bad certificate among them
            raise _unreached(error) from None
        except ValueError:
            raise FetchError("the link is not a URL", lasting=True) from None
        except RuntimeError:
            if not self._session.closed:
                raise  # pragma: no cover - a fault of aiohttp or ours must stay one
            raise FetchError("the session was closed", lasting=True) from None
        raise FetchError(f"more than {REDIRECTS} redirects", lasting=True)

    async def _get(self, url: URL) -> bytes | str:
        """Return the body, or the address that a redirect names."""
        parts: list[bytes] = []
        async with (
            within(self._seconds, parts),
            self._session.get(
                url, allow_redirects=False, proxy=self._proxy
            ) as response,
        ):
            status = response.status
            if status in _REDIRECTED and "Location" in response.headers:
                return urljoin(str(response.url), response.headers["Location"])
            if status != 200:
                raise FetchError(
                    f"HTTP {status}",
                    fresh=status == 404,
                    lasting=status not in (404, 408, 425, 429) and status < 500,
                )
            size = await _read(response, parts)
        if size > JOINED_HERE:  # a thread copies megabytes while the loop goes on
            return await asyncio.to_thread(b"".join, parts)
        return b"".join(parts)

    async def aclose(self) -> None:
        """Close the pool."""
        await self._session.close()


async def _read(response: aiohttp.ClientResponse, parts: list[bytes]) -> int:
    """Add a body to `parts`, and return its size."""
    too_long = FetchError(f"more than {PICTURE_LIMIT >> 20} MiB", lasting=True)
    if (response.content_length or 0) > PICTURE_LIMIT:
        raise too_long
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > PICTURE_LIMIT:
            raise too_long
        parts.append(part)
    return size


def _unreached(error: Exception) -> FetchError:
    """Describe a failure without its text, which may quote the signed link."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefusedError):
            return FetchError(f"the link was refused: {cause}", lasting=True)
        if isinstance(cause, BaseExceptionGroup) and cause.exceptions:
            cause = cause.exceptions[0]
        else:
            cause = cause.__cause__ or cause.__context__
    if isinstance(error, TimeoutError):
        return FetchError("it took too long")
    return FetchError(f"the connection failed ({type(error).__name__})")
