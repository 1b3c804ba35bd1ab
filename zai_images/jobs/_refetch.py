"""Fetch pictures that are paid and not here yet, by their kept links, for free."""

import time
from datetime import UTC, datetime

from zai_images._api.errors import DownloadError
from zai_images._api.response import ImageResponse, expiry
from zai_images._http.downloader import Downloader, FetchError
from zai_images._picture.picture import Picture
from zai_images._session.session import ImageSession

_FRESH = 60.0  # seconds since the answer in which a link may answer 404


class NotFetchedError(Exception):
    """
    Raised when a kept link gives no picture.

    Attributes:
        dead: It will say the same for ever.
    """

    def __init__(self, why: str, *, dead: bool) -> None:
        super().__init__(why)
        self.dead = dead


class Refetcher:
    """
    A downloader of old links, with a single try for each.

    There may be many of them, and the host may be down. A fresh link is fetched by the
    session, which is patient with it.
    """

    def __init__(self, session: ImageSession) -> None:
        self._session = session
        self._downloader: Downloader | None = None  # most runs have no old link

    async def fetch(self, response: ImageResponse | None, at: float) -> Picture:
        """
        Fetch the picture of an answer that came at a Unix time.

        Raises:
            NotFetchedError: It could not be had.
        """
        if response is None:
            raise NotFetchedError("its answer cannot be read any more", dead=True)
        try:
            if self._downloader is None:
                self._downloader = Downloader(self._session.config)
            return await self._downloader.fetch(response.url)
        except FetchError as error:
            if not (error.fresh and abs(time.time() - at) < _FRESH):
                dead = error.lasting or error.fresh or _is_past(response)
                raise NotFetchedError(str(error), dead=dead) from None
        try:
            return await self._session.download(response)
        except DownloadError as error:
            raise NotFetchedError(error.reason, dead=False) from None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._downloader is not None:
            await self._downloader.aclose()


def _is_past(response: ImageResponse) -> bool:
    stated = expiry(response.url, response)
    return stated is not None and stated < datetime.now(UTC)
