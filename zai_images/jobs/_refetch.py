"""Fetch pictures that are paid and not here yet, by their kept links, for free."""

import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from zai_images._api.errors import DownloadError
from zai_images._api.response import ImageResponse
from zai_images._http.downloader import Downloader, FetchError
from zai_images._picture.picture import Picture
from zai_images._session.session import ImageSession
from zai_images.jobs._evidence import read
from zai_images.jobs._journal.queries import Kept

_FRESH = 60.0  # seconds since the answer in which a link may answer 404


class NotFetchedError(Exception):
    """
    Raised when no kept link gives a picture.

    Attributes:
        attempts: Those whose links will say the same for ever.
        dead: Whether that are all of them.
    """

    def __init__(self, why: str, attempts: Collection[int], *, dead: bool) -> None:
        super().__init__(why)
        self.attempts = attempts
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

    async def fetch(self, kept: Sequence[Kept]) -> Picture:
        """
        Fetch the picture of the first link that gives one.

        Raises:
            NotFetchedError: None does.
        """
        dead = []
        why = ""
        for one in kept:
            response = read(one.raw, datetime.now(UTC)).response
            urls = [image.url for image in response.images] if response else []
            lives = False
            why = why or "its answer cannot be read any more"
            for url in urls:
                try:
                    return await self._fetch(url, one.at)
                except FetchError as error:
                    why = str(error)
                    past = response is not None and _is_past(response)
                    lives = lives or not (error.lasting or error.fresh or past)
            if not lives:
                dead.append(one.attempt)
        raise NotFetchedError(why, dead, dead=len(dead) == len(kept))

    async def _fetch(self, url: str, at: float) -> Picture:
        if self._downloader is None:
            self._downloader = Downloader(self._session.config)
        try:
            return await self._downloader.fetch(url)
        except FetchError as error:
            if not (error.fresh and abs(time.time() - at) < _FRESH):
                raise
        try:
            return await self._session.download(url)
        except DownloadError as error:
            raise FetchError(error.reason) from None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._downloader is not None:
            await self._downloader.aclose()


def _is_past(response: ImageResponse) -> bool:
    stated = response.expires
    return stated is not None and stated < datetime.now(UTC)
