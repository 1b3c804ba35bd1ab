"""What a session opens on an event loop, and closes with it."""

import asyncio

import attrs

from zai_images._config import SessionConfig
from zai_images._download import Downloader, expiry, masked
from zai_images._errors import DownloadError
from zai_images._gate import Gate
from zai_images._picture import FetchError, Picture
from zai_images._response import ImageResponse
from zai_images._retry import persist_download
from zai_images._stats import ModelStats, Tally
from zai_images._transport import Http, open_transport, pool_limit

DEFAULT_PLACES = 5  # what three independent projects saw for CogView-4


class Engine:
    """Hold what lives and dies with one event loop: the two pools and the places."""

    def __init__(self, config: SessionConfig, http: Http | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport = open_transport(config, http)
        self.downloader = Downloader(config)
        self.downloads = asyncio.Semaphore(config.max_downloads)
        self.gates: dict[str, Gate] = {}
        limits = (config.max_in_flight or DEFAULT_PLACES, pool_limit(http))
        self._places = min(limit for limit in limits if limit)
        self._reason = "max_in_flight" if config.max_in_flight else "default"

    def gate(self, model: str) -> Gate:
        """Find the places of a model."""
        if model not in self.gates:
            self.gates[model] = Gate(self._places)
        return self.gates[model]

    @property
    def in_flight(self) -> int:
        """How many pictures are at the service, of all models."""
        return sum(gate.in_flight for gate in self.gates.values())

    def models(self, tally: Tally) -> dict[str, ModelStats]:
        """Tell what is known of each model."""
        return {
            model: ModelStats(
                in_flight=gate.in_flight,
                limit=gate.limit,
                limit_reason=self._reason,
                latency=tally.latency(model),
            )
            for model, gate in self.gates.items()
        }

    async def fetch(self, url: str, response: ImageResponse | None) -> Picture:
        """
        Fetch a picture, with as many tries as make sense.

        Raises:
            DownloadError: It could not be had; `response` keeps the paid link.
        """

        async def once() -> Picture:
            async with self.downloads:  # not held in the pause between two tries
                return await self.downloader.fetch(url)

        try:
            picture = await persist_download(once)
        except FetchError as error:
            expires = expiry(url, response)
            until = f" until {expires:%Y-%m-%d %H:%M} UTC" if expires else ""
            raise DownloadError(
                f"The picture was made and paid for, but could not be fetched from "
                f"{masked(url)}: {error}. Its link is kept{until}: fetch it again with "
                "session.download(error.response), which costs nothing.",
                response=response,
                url=masked(url),
                expires=expires,
            ) from None
        return attrs.evolve(picture, response=response)

    async def aclose(self) -> None:
        """Close both pools, whatever becomes of the first."""
        try:
            await self.downloader.aclose()
        finally:
            await self.transport.aclose()
