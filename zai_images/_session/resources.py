"""The resources that a session opens on an event loop and closes with it."""

import asyncio
import gc
import resource
import warnings
from collections.abc import Callable

import attrs

from zai_images import events
from zai_images._api.models import MODELS
from zai_images._config import RetryPolicy, SessionConfig
from zai_images._http.downloader import Downloader
from zai_images._http.transport import Http, Transport, open_transport, pool_limit
from zai_images._limiter.gate import Gate
from zai_images._limiter.policy import (
    AdaptivePolicy,
    Cooldown,
    FixedPolicy,
    LimitPolicy,
)
from zai_images._session.flight import Background
from zai_images._session.retry import RetryBudget
from zai_images._session.stats import Counters, ModelStats

DEFAULT_LIMIT = 5  # for adaptive=False: what three independent projects saw
FILES_KEPT = 64  # open files left to the rest of the process


@attrs.frozen(kw_only=True)
class ModelContext:
    """The context of all calls for one model on one loop; `price` in US dollars."""

    transport: Transport
    gate: Gate
    retry: RetryPolicy
    retry_budget: RetryBudget
    counters: Counters
    observer: events.Observer | None
    price: float | None


class LoopResources:
    """The resources of one event loop: two connection pools and the gates."""

    def __init__(
        self,
        config: SessionConfig,
        http: Http | None,
        observer: events.Observer | None,
        counters: Counters,
        retry_budget: RetryBudget,
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.transport: Transport = open_transport(config, http)
        self.downloader: Downloader = Downloader(config)
        self.background: Background = Background()
        self.downloads: asyncio.Semaphore = asyncio.Semaphore(config.max_downloads)
        self._config = config
        self._observer = observer
        self._counters = counters
        self._retry_budget = retry_budget
        self._models: dict[str, ModelContext] = {}
        bounds = (
            (config.max_in_flight, "max_in_flight"),
            (pool_limit(http), "connector"),
            (_open_files(), "open files"),
        )
        self._ceiling = min((bound, reason) for bound, reason in bounds if bound)

    def model(self, name: str) -> ModelContext:
        """Return a model's one context: a second gate would not know the first."""
        if name not in self._models:
            self._models[name] = ModelContext(
                transport=self.transport,
                gate=Gate(self._policy(name), self._on_change(name)),
                retry=self._config.retry,
                retry_budget=self._retry_budget,
                counters=self._counters,
                observer=self._observer,
                price=self._config.price_of(name),
            )
        return self._models[name]

    def _policy(self, model: str) -> LimitPolicy:
        config = self._config
        cooldown = Cooldown(config.retry.busy_pause, config.retry.max_busy_pause)
        if not config.adaptive:
            limit = config.max_in_flight or DEFAULT_LIMIT
            return FixedPolicy(min(limit, self._ceiling[0]), cooldown, config.retry)
        rules = MODELS.get(model)
        return AdaptivePolicy(
            {str(k): v for k, v in rules.windows.items()} if rules else {},
            known=config.known_limits.get(model),
            ceiling=self._ceiling,
            cooldown=cooldown,
        )

    def _on_change(self, model: str) -> Callable[[int, int, str], None]:
        def tell(old: int, new: int, reason: str) -> None:
            events.announce(
                self._observer,
                events.LimitChanged,
                model=model,
                old=old,
                new=new,
                reason=reason,
            )

        return tell

    @property
    def in_flight(self) -> int:
        """How many pictures are at the service, of all models."""
        return sum(model.gate.in_flight for model in self._models.values())

    def models(self) -> dict[str, ModelStats]:
        """Return what is known of each model."""
        return {
            name: ModelStats(
                in_flight=model.gate.in_flight,
                limit=model.gate.policy.limit,
                limit_reason=model.gate.policy.reason,
                latency=self._counters.latency(name),
            )
            for name, model in self._models.items()
        }

    async def discard(self) -> None:
        """
        Release the resources of a loop that has ended.

        Its sockets can no longer be closed in order. Their objects are collected now,
        without warnings, so that none appear in the user's next loop.
        """
        if not self.loop.is_closed():
            return  # somebody may still run it; its objects warn for themselves
        await self._close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    async def aclose(self) -> None:
        """Wait for what goes on in the background, then close both pools."""
        try:
            await self.background.drain()
        finally:
            await self._close()

    async def _close(self) -> None:
        try:
            await self.downloader.aclose()
        finally:
            await self.transport.aclose()


def _open_files() -> int:
    """Return how many connections the system, not this library, lets us open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if soft == resource.RLIM_INFINITY else max(1, soft - FILES_KEPT)
