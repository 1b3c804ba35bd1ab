"""The counts of what a session has done so far."""

from collections import defaultdict, deque
from collections.abc import Mapping
from statistics import median, quantiles

import attrs

from zai_images._api.errors import Billed
from zai_images._api.models import MODELS

_REMEMBERED = 1000  # latencies for each model and quality


@attrs.frozen(kw_only=True)
class LatencyStats:
    """
    The seconds in service of a quality, without the waiting.

    Attributes:
        median: Half were quicker.
        p95: Nineteen in twenty were quicker.
        window: What the API page says, low and high; None for an unknown model.
    """

    median: float
    p95: float
    window: tuple[float, float] | None


@attrs.frozen(kw_only=True)
class ModelStats:
    """The state of one model: places taken, the limit, and what that rests on."""

    in_flight: int
    limit: int
    limit_reason: str
    latency: Mapping[str, LatencyStats]


@attrs.frozen(kw_only=True)
class SessionStats:
    """
    The counts of a session since it was made.

    Attributes:
        models: By model name.
        refusals: Attempts the service refused for want of a place; free.
        retries: Attempts that were not a call's first.
        pictures: Requests answered with a picture.
        billed: Attempts known to be billed.
        maybe_billed: Attempts that may have been billed without a picture.
        cost: US dollars for `billed`; None where a price is not known.
    """

    models: Mapping[str, ModelStats]
    refusals: int
    retries: int
    pictures: int
    billed: int
    maybe_billed: int
    cost: float | None


class Counters:
    """The counts as they grow: plain arithmetic, without an await."""

    def __init__(self) -> None:
        self.refusals: int = 0
        self.retries: int = 0
        self.pictures: int = 0
        self.maybe_billed: int = 0
        self._cost: float | None = 0.0
        self._latencies = defaultdict[tuple[str, str], deque[float]](
            lambda: deque(maxlen=_REMEMBERED)
        )

    def settled(self, billed: Billed, price: float | None) -> None:
        """Count how an attempt ended."""
        if billed == "maybe":
            self.maybe_billed += 1
        elif billed == "yes":
            self.pictures += 1
            known = self._cost is not None and price is not None
            self._cost = (self._cost or 0.0) + (price or 0.0) if known else None

    def took(self, model: str, quality: str, latency: float) -> None:
        """Record how many seconds a picture was in service."""
        self._latencies[model, quality].append(latency)

    def latency(self, model: str) -> dict[str, LatencyStats]:
        """Summarise the latencies of a model, by quality."""
        rules = MODELS.get(model)
        windows = {str(k): v for k, v in rules.windows.items()} if rules else {}
        return {
            quality: LatencyStats(
                median=median(seconds),
                p95=_p95(seconds),
                window=windows.get(quality),
            )
            for (name, quality), seconds in self._latencies.items()
            if name == model
        }

    def stats(self, models: Mapping[str, ModelStats]) -> SessionStats:
        """Freeze the counts."""
        return SessionStats(
            models=models,
            refusals=self.refusals,
            retries=self.retries,
            pictures=self.pictures,
            billed=self.pictures,
            maybe_billed=self.maybe_billed,
            cost=self._cost,
        )


def _p95(seconds: deque[float]) -> float:
    if len(seconds) == 1:
        return seconds[0]
    return quantiles(seconds, n=20, method="inclusive")[-1]
