"""What a session opens on an event loop, and closes with it."""

import asyncio
import gc
import resource
import warnings
from collections.abc import Callable

import attrs

from zai_images._api.errors import DownloadError
from zai_images._api.models import MODELS
from zai_images._api.response import ImageResponse, expiry, masked
from zai_images._config import Secret, SessionConfig
from zai_images._http.downloader import Downloader
from zai_images._http.transport import Http, open_transport, pool_limit
from zai_images._limiter.gate import Gate
from zai_images._limiter.policy import Adaptive, Decision, Fixed, Pauses
from zai_images._picture.picture import FetchError, Picture
from zai_images._session.retry import persist_download
from zai_images._session.stats import ModelStats, Tally
from zai_images._session.tools import Tools

DEFAULT_PLACES = 5  # for adaptive=False: what three independent projects saw
FILES_KEPT = 64  # open files left to the rest of the process

OnChange = Callable[[str, int, int, str], None]


def _open_files() -> int:
    """Tell how many connections the process may hold: the system's bound, not ours."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if soft == resource.RLIM_INFINITY else max(1, soft - FILES_KEPT)


def not_fetched(
    paid: ImageResponse | None, reason: str, url: str = ""
) -> DownloadError:
    """Make the error of a picture that is paid for and is not here."""
    url = paid.url if paid is not None else url
    expires = paid.expires if paid is not None else expiry(url)
    until = f" until {expires:%Y-%m-%d %H:%M} UTC" if expires else ""
    return DownloadError(
        f"The picture was made and paid for, but could not be fetched from "
        f"{masked(url)}: {reason}. Its link is kept{until}: fetch it again with "
        "session.download(error.response), which costs nothing.",
        reason=reason,
        response=paid,
        url=masked(url),
        expires=expires,
    )


class Engine:
    """Hold what lives and dies with one event loop: the two pools and the places."""

    def __init__(
        self, config: SessionConfig, http: Http | None, on_change: OnChange
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport = open_transport(config, http)
        self.downloader = Downloader(config)
        self.downloads = asyncio.Semaphore(config.max_downloads)
        self.gates: dict[str, Gate] = {}
        self.tools: dict[str, Tools] = {}
        self._config = config
        bounds = (
            (config.max_in_flight, "max_in_flight"),
            (pool_limit(http), "connector"),
            (_open_files(), "open files"),
        )
        self._ceiling = min((bound, reason) for bound, reason in bounds if bound)
        self._on_change = on_change

    def gate(self, model: str) -> Gate:
        """Make the gate of a model; a second one would know nothing of the first."""
        gate = Gate(self._decision(model), self._tell(model))
        return self.gates.setdefault(model, gate)

    def _decision(self, model: str) -> Decision:
        config = self._config
        pauses = Pauses(config.retry.busy_pause, config.retry.max_busy_pause)
        if not config.adaptive:
            places = config.max_in_flight or DEFAULT_PLACES
            return Fixed(min(places, self._ceiling[0]), pauses, config.retry)
        rules = MODELS.get(model)
        return Adaptive(
            {str(k): v for k, v in rules.windows.items()} if rules else {},
            known=config.known_limits.get(model),
            ceiling=self._ceiling,
            pauses=pauses,
        )

    def _tell(self, model: str) -> Callable[[int, int, str], None]:
        def tell(old: int, new: int, reason: str) -> None:
            self._on_change(model, old, new, reason)

        return tell

    @property
    def in_flight(self) -> int:
        """How many pictures are at the service, of all models."""
        return sum(gate.in_flight for gate in self.gates.values())

    def models(self, tally: Tally) -> dict[str, ModelStats]:
        """Tell what is known of each model."""
        return {
            model: ModelStats(
                in_flight=gate.in_flight,
                limit=gate.decision.limit,
                limit_reason=gate.decision.reason,
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
        url = Secret(url)  # it may be signed, and a traceback may show this frame

        async def once() -> Picture:
            async with self.downloads:  # not held in the pause between two tries
                return await self.downloader.fetch(url)

        try:
            picture = await persist_download(once, self._config.retry)
        except FetchError as error:
            failed = not_fetched(response, str(error), url)
            self.transport.scrub(failed)
            raise failed from None
        return attrs.evolve(picture, response=response)

    async def discard(self) -> None:
        """
        Let go of what belongs to a loop that has ended.

        Its sockets cannot be closed in an orderly way any more. They go with their
        objects here and now, quietly: the user's next loop is not to be warned of it.
        """
        if not self.loop.is_closed():
            return  # somebody may still run it; its objects warn for themselves
        await self.aclose()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    async def aclose(self) -> None:
        """Close both pools, whatever becomes of the first."""
        try:
            await self.downloader.aclose()
        finally:
            await self.transport.aclose()
