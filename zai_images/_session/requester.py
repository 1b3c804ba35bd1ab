"""The requester, through which sessions, batches and jobs have pictures made."""

import asyncio
import logging
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import attrs

from zai_images import events
from zai_images._api.errors import ConfigurationError, DownloadError
from zai_images._api.request import ImageRequest
from zai_images._api.response import ImageResponse, expiry, masked
from zai_images._config import SessionConfig
from zai_images._http.downloader import FetchError
from zai_images._http.transport import Http
from zai_images._picture.picture import Picture
from zai_images._redact import Secret
from zai_images._session.budget import Budget, Ledger
from zai_images._session.call import Answer, Call
from zai_images._session.check import ServiceCheck, ServiceChecker
from zai_images._session.flight import Flight, finish
from zai_images._session.resources import LoopResources
from zai_images._session.retry import RetryBudget, WaitBudget, retry_download
from zai_images._session.stats import Counters, SessionStats

T = TypeVar("T")

_log = logging.getLogger("zai_images")


class LastRun:
    """The batch begun last: kept until nobody needs it, and found as long as it is."""

    def __init__(self) -> None:
        self._kept: object = None
        self.get: Callable[[], object] = lambda: None

    def begin(self, run: object) -> None:
        """Keep a run in the place of an earlier one."""
        self._kept, self.get = run, weakref.ref(run)

    def let_go(self, run: object) -> None:
        """Keep a run no longer; who holds it still finds it."""
        if self._kept is run:
            self._kept = None


class Requester(Protocol):
    """The sender of a batch's requests: the session's, or a job's own."""

    last_run: LastRun

    @property
    def config(self) -> SessionConfig:
        """The settings of the session behind it."""
        ...

    async def answer(
        self,
        request: ImageRequest,
        *,
        ledger: Ledger,
        ceiling: asyncio.Semaphore | None = None,
        batch: bool = False,
        flight: Flight | None = None,
    ) -> Answer:
        """Have one picture made; the arguments are those of `Call`."""
        ...

    def finish(
        self, work: Callable[..., Coroutine[Any, Any, T]]
    ) -> Coroutine[Any, Any, T]:
        """Do work that may be given a `flight`, and so outlive its caller."""
        ...

    async def fetch(self, answer: Answer) -> Picture:
        """Fetch the picture of an answer."""
        ...


class SessionRequester:
    """A session's requester: it opens the resources and owns the budget."""

    def __init__(
        self,
        config: SessionConfig,
        http: Http | None = None,
        observer: events.Observer | None = None,
        *,
        max_pictures: int | None = None,
        max_cost: float | None = None,
    ) -> None:
        self.config = config
        self.resources: LoopResources | None = None
        self.closed = False
        self.last_run = LastRun()
        self._last: LoopResources | None = None  # closed; it still knows its places
        self._http = http
        self._observer = observer
        self._counters = Counters()
        self._retry_budget = RetryBudget()
        self._budget = Budget(max_pictures, max_cost)
        self._finishes = config.finishes_cancelled
        self._checker = ServiceChecker(config, self._counters.settled)

    async def open(self) -> LoopResources:
        """
        Open on the running loop, afresh where the earlier loop has ended.

        Raises:
            ConfigurationError: The session is closed, or another loop is using it.
        """
        if self.closed:
            raise ConfigurationError(
                "This ImageSession is closed. Nothing was sent; make a new one."
            )
        resources = self.resources
        loop = asyncio.get_running_loop()
        if resources is not None and resources.loop is not loop:
            if resources.loop.is_running():
                raise ConfigurationError(
                    "This ImageSession is in use on another running event loop. "
                    "Nothing was sent; give each loop a session of its own."
                )
            self.resources = None
            await resources.discard()
        if self.resources is None:
            self.resources = LoopResources(
                self.config,
                self._http,
                self._observer,
                self._counters,
                self._retry_budget,
            )
        return self.resources

    async def aclose(self) -> None:
        """Close the connections; a second time does nothing."""
        self.closed = True
        try:
            await self.release()
        finally:
            self.last_run.let_go(self.last_run.get())

    async def release(self) -> None:
        """Close the connections; the next call opens new ones unless closed."""
        resources, self.resources = self.resources, None
        if resources is None:
            return
        self._last = resources
        if resources.loop is asyncio.get_running_loop():
            await resources.aclose()
        else:
            await resources.discard()

    async def answer(  # noqa: PLR0913 - what a call is made of, all by keyword
        self,
        request: ImageRequest,
        *,
        ledger: Ledger | None = None,
        ceiling: asyncio.Semaphore | None = None,
        batch: bool = False,
        max_wait: float | None = None,
        flight: Flight | None = None,
    ) -> Answer:
        """Have one picture made; see `Requester.answer`."""
        resources = self.resources
        if resources is None or resources.loop is not asyncio.get_running_loop():
            resources = await self.open()
        model = resources.model(request.model)
        self._budget.check_price(model.price)
        flight = flight or Flight()  # that nobody leaves
        flight.background, flight.request = resources.background, request
        call = Call(
            request,
            model=model,
            wait_budget=WaitBudget(
                self.config.max_wait if max_wait is None else max_wait
            ),
            ledger=ledger,
            budget=self._budget,
            ceiling=ceiling,
            batch=batch,
            flight=flight,
        )
        answer = await call.run()
        answer.resources = resources
        return answer

    async def picture(
        self,
        request: ImageRequest,
        *,
        max_wait: float | None = None,
        flight: Flight | None = None,
    ) -> Picture:
        """Have one picture made, and fetch it."""
        answer = await self.answer(request, max_wait=max_wait, flight=flight)
        return await self.fetch(answer)

    def finish(
        self, work: Callable[..., Coroutine[Any, Any, T]]
    ) -> Coroutine[Any, Any, T]:
        """Do work, and finish what was sent of it even if its caller is cancelled."""
        return finish(work, self._rescued) if self._finishes else work()

    def _rescued(self, flight: Flight, error: BaseException | None) -> None:
        """Tell how a call ended that its caller had left."""
        if (response := flight.response) is not None:
            events.announce(
                self._observer,
                events.Rescued,
                request=flight.request,
                response=response,
                picture=flight.picture,
            )
            if self._observer is None:
                _log.warning(
                    "A cancelled call brought a picture, which is paid for: %s. Give "
                    "the session an observer and it gets this (events.Rescued).",
                    masked(response.url),
                )
                _log.debug("The whole link of that picture: %s", response.url)
        elif error is not None:
            _log.warning("A cancelled call went on, and brought no picture: %s", error)

    async def fetch(self, answer: Answer) -> Picture:
        """Fetch the picture of an answer, and announce how that ended."""
        request = answer.request
        try:
            picture = await self._download_any(answer)
        except asyncio.CancelledError:
            events.announce(
                self._observer,
                events.Abandoned,
                request=request,
                billed="yes",
                response=answer.response,
            )
            raise
        events.announce(
            self._observer, events.Downloaded, request=request, size=len(picture.data)
        )
        picture = attrs.evolve(
            picture, request=request, latency=answer.latency, cost=answer.cost
        )
        answer.flight.picture = picture
        return picture

    async def _download_any(self, answer: Answer) -> Picture:
        """Fetch the first picture of an answer that can be had."""
        first: DownloadError | None = None
        # A traceback may show this frame, and the links may be signed.
        for url in [Secret(image.url) for image in answer.response.images]:
            try:
                return await self.download(url, answer.response, answer.resources)
            except DownloadError as error:
                first = first or error
        assert first is not None  # noqa: S101 - an answer has a link
        raise first

    async def download(
        self,
        url: str,
        response: ImageResponse | None,
        resources: LoopResources | None = None,
    ) -> Picture:
        """Fetch a picture with retries, or raise `DownloadError` with the paid link."""
        url = Secret(url)  # it may be signed, and a traceback may show this frame
        # Those of an answer serve it while its session waits for it to close.
        resources = resources or await self.open()

        async def once() -> Picture:
            async with resources.downloads:  # not held in the pause between two tries
                return await resources.downloader.fetch(url)

        try:
            picture = await retry_download(once, self.config.retry)
        except FetchError as error:
            failed = not_fetched(response, str(error), url)
            resources.transport.scrub(failed)
            raise failed from None
        return attrs.evolve(picture, response=response)

    async def check(self) -> ServiceCheck:
        """Ask the service for free whether it accepts the key."""
        return await self._checker.check((await self.open()).transport)

    def stats(self) -> SessionStats:
        """Return what was done and what is known."""
        resources = self.resources or self._last
        return self._counters.stats(resources.models() if resources else {})


def not_fetched(
    paid: ImageResponse | None, reason: str, url: str = ""
) -> DownloadError:
    """Build the error for a picture that was paid for and not fetched."""
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
