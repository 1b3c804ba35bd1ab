"""What earlier runs have paid for and could not fetch: fetched now, for free."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from zai_images._download import Downloader, expiry
from zai_images._errors import DownloadError
from zai_images._picture import FetchError, Picture
from zai_images._session import ImageSession
from zai_images.cli._folder import Folder

_FRESH = 60.0  # seconds since it was kept in which a link may answer 404


@attrs.frozen(kw_only=True)
class Missed:
    """
    Say why a kept link gave no picture.

    Attributes:
        why: What the picture host said, in a few words.
        dead: It will say the same for ever.
    """

    why: str
    dead: bool


Fetched = dict[str, Missed | None]


async def fetch_links(folder: Folder, session: ImageSession) -> Fetched:
    """
    Try each kept link once, and tell by the pictures' names what was missed.

    Raises:
        OSError: A picture cannot be written.
    """
    fetched: Fetched = {}
    notes = list(folder.links.entries.values())
    chunk = session.config.max_downloads
    downloader = Downloader(session.config)

    async def settle(note: Mapping[str, Any]) -> None:
        found = await _fetch(downloader, session, note)
        name = note["name"]
        if isinstance(found, Missed):
            fetched[name] = found
            return
        await folder.save(int(note.get("index") or 0), name, found)
        fetched[name] = None

    try:
        for start in range(0, len(notes), chunk):
            results = await asyncio.gather(
                *map(settle, notes[start : start + chunk]), return_exceptions=True
            )
            for result in results:
                if isinstance(result, BaseException):
                    raise result
    finally:
        await downloader.aclose()
    return fetched


async def _fetch(
    downloader: Downloader, session: ImageSession, note: Mapping[str, Any]
) -> Picture | Missed:
    """Fetch with a single try: there may be many, and the host may be down."""
    url = str(note.get("url"))
    try:
        return await downloader.fetch(url)
    except FetchError as error:
        if not (error.fresh and _is_fresh(note)):
            dead = error.lasting or error.fresh or _is_past(url)
            return Missed(why=str(error), dead=dead)
    try:
        return await session.download(url)
    except DownloadError as error:
        return Missed(why=error.reason, dead=False)


def _is_fresh(note: Mapping[str, Any]) -> bool:
    """Tell whether a link is so new that its picture may still be on its way."""
    at = note.get("at")
    return isinstance(at, int | float) and abs(time.time() - at) < _FRESH


def _is_past(url: str) -> bool:
    stated = expiry(url, None)
    return stated is not None and stated < datetime.now(UTC)
