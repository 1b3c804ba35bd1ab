"""One item of a batch on its way: the ledger of its own call."""

import asyncio
from typing import Protocol

from zai_images._api.errors import Billed
from zai_images._api.request import ImageRequest
from zai_images._api.response import ImageResponse
from zai_images._api.wire import RawResponse


class Workshop(Protocol):
    """What an item tells those who carry it."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that all of it runs on."""
        ...

    def check(self, model: str) -> None:
        """Refuse what must not be sent any more."""
        ...

    def pass_turn(self, item: "Item") -> None:
        """Let the next worker pull."""
        ...

    def rest(self, item: "Item", *, resting: bool) -> None:
        """Note whether an item waits to be sent again."""
        ...


class StoppedError(Exception):
    """Keep an item from being sent after the batch was stopped."""


class Item:
    """Follow one item of the input through its attempts."""

    response: ImageResponse | None = None
    has_turn = True
    in_service = False
    resting = False
    maybe_billed = False
    attempts = 0
    latency = 0.0
    _served = 0.0

    def __init__(self, workshop: Workshop, index: int, raw: object) -> None:
        self._workshop = workshop
        self.index = index
        self.request = raw
        self._pulled_at = self._sent_at = workshop.loop.time()

    @property
    def queued(self) -> float:
        """Seconds since it was pulled in which it was not in service."""
        return self._workshop.loop.time() - self._pulled_at - self._served

    @property
    def waits(self) -> bool:
        """Whether nothing of it is at the service and nothing is known of it."""
        return not self.in_service and self.response is None

    async def before_send(self, request: ImageRequest, attempt: int) -> None:
        """Note that a place was found; refuse to go on where a stop came first."""
        self._workshop.check(request.model)
        self._workshop.pass_turn(self)
        if self.resting:
            self._workshop.rest(self, resting=False)
        self.in_service = True
        self.attempts = attempt
        self._sent_at = self._workshop.loop.time()

    async def answered(self, raw: RawResponse) -> None:
        """Take no note: the session judges it."""

    async def settled(self, attempt: int, billed: Billed) -> None:
        """Note that the place is free again."""
        del attempt
        if not self.in_service:
            return  # it was refused before it began
        self.in_service = False
        self.maybe_billed = self.maybe_billed or billed != "no"
        self.latency = self._workshop.loop.time() - self._sent_at
        self._served += self.latency
        if billed == "no":
            self._workshop.rest(self, resting=True)
