"""The session: pools, places, budget and policy, and the three calls people make."""

import asyncio
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import attrs

from zai_images import events
from zai_images._call import Answer, Call, Tools
from zai_images._config import SessionConfig
from zai_images._download import Downloader, FetchError, expiry, masked
from zai_images._errors import ConfigurationError, DownloadError
from zai_images._gate import Gate
from zai_images._ledger import Budget, Ledger, price_of
from zai_images._models import ImageRequest, as_request, change
from zai_images._picture import Picture
from zai_images._response import ImageResponse
from zai_images._retry import CallRetry, Patience, RetryBudget, persist_download
from zai_images._rules import Quality, Size
from zai_images._stats import ModelStats, SessionStats, Tally
from zai_images._transport import Transport, open_transport, pool_limit

DEFAULT_PLACES = 5  # what three independent projects saw for CogView-4


class _Engine:
    """Hold what lives and dies with one event loop."""

    def __init__(
        self, config: SessionConfig, http: aiohttp.ClientSession | Transport | None
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport = open_transport(config, http)
        self.downloader = Downloader(config)
        self.downloads = asyncio.Semaphore(config.max_downloads)
        self.gates: dict[str, Gate] = {}

    async def aclose(self) -> None:
        try:
            await self.downloader.aclose()
        finally:
            await self.transport.aclose()


class ImageSession:
    """
    Make pictures: one session for a process, shared by all its callers.

    It owns the connections, the places at the service for each model, the retry policy
    and the budget. Use it with `async with`, or let the first call open it and
    `await session.aclose()` at the end.

    Args:
        config: The settings; `SessionConfig.from_env()` where left out.
        api_key: Overrides the config's key.
        base_url: Overrides the config's base URL.
        http: An `aiohttp.ClientSession` for the API calls, never closed here and never
            used for pictures; or a `testing.ScriptedTransport`.
        observer: Told of every event (`zai_images.events`).
        max_pictures: A cap on the pictures this session pays for.
        max_cost: The same in US dollars.

    Raises:
        ConfigurationError: There is no key, or a setting makes no sense.
    """

    def __init__(  # noqa: PLR0913 - the public contract, all but one by keyword
        self,
        config: SessionConfig | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        http: "aiohttp.ClientSession | Transport | None" = None,
        observer: events.Observer | None = None,
        max_pictures: int | None = None,
        max_cost: float | None = None,
    ) -> None:
        self._engine: _Engine | None = None
        self._closed = False
        if config is None:
            config = SessionConfig.from_env(api_key=api_key, base_url=base_url)
        else:
            config = attrs.evolve(
                config,
                api_key=api_key or config.api_key,
                base_url=base_url or config.base_url,
            )
        if config.api_key is None:
            raise ConfigurationError(
                "There is no API key. Set ZAI_API_KEY (or pass api_key=...), or try "
                "without one against zai_images.sandbox.Sandbox, which costs nothing."
            )
        self.config = config
        self._http = http
        self._observer = observer
        self._budget = Budget(max_pictures, max_cost)
        self._retry_budget = RetryBudget()
        self._tally = Tally()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._engine else "new"
        taken = (
            sum(g.in_flight for g in self._engine.gates.values()) if self._engine else 0
        )
        return f"<ImageSession {self.config.base_url} {state}, {taken} in flight>"

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if getattr(self, "_engine", None) is not None:
            warnings.warn(
                f"{self!r} was never closed; use 'async with' or await its aclose()",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )

    async def aclose(self) -> None:
        """Close the connections; a second time does nothing."""
        self._closed = True
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.aclose()

    async def _opened(self) -> _Engine:
        """
        Open what is needed on the loop that runs now, afresh where the loop is another.

        Raises:
            ConfigurationError: The session is closed, or in use on another loop.
        """
        if self._closed:
            raise ConfigurationError(
                "This ImageSession is closed. Nothing was sent; make a new one."
            )
        engine = self._engine
        loop = asyncio.get_running_loop()
        if engine is not None and engine.loop is not loop:
            if engine.loop.is_running():
                raise ConfigurationError(
                    "This ImageSession is in use on another running event loop. "
                    "Nothing was sent; give each loop a session of its own."
                )
            self._engine = None
            if engine.loop.is_closed():  # then closing waits for nothing
                await engine.aclose()
        if self._engine is None:
            self._engine = _Engine(self.config, self._http)
        return self._engine

    def _gate(self, engine: _Engine, model: str) -> Gate:
        if model not in engine.gates:
            limits = (
                self.config.max_in_flight or DEFAULT_PLACES,
                pool_limit(self._http),
            )
            engine.gates[model] = Gate(min(n for n in limits if n))
        return engine.gates[model]

    async def _answer(
        self,
        request: ImageRequest,
        *,
        max_wait: float | None = None,
        ledger: Ledger | None = None,
        ceiling: asyncio.Semaphore | None = None,
    ) -> Answer:
        """Get one picture made; `ledger` and `ceiling` are a batch's own."""
        engine = await self._opened()
        price = price_of(self.config, request.model)
        entry = self._budget.entry(price)
        patience = Patience(self.config.max_wait if max_wait is None else max_wait)
        call = Call(
            request,
            tools=Tools(
                transport=engine.transport,
                gate=self._gate(engine, request.model),
                budget=self._retry_budget,
                tally=self._tally,
                observer=self._observer,
            ),
            patience=patience,
            ledgers=tuple(one for one in (entry, ledger) if one is not None),
            ceiling=ceiling,
            price=price,
        )
        return await call.run(
            CallRetry(self.config.retry, self._retry_budget, patience)
        )

    async def generate(  # noqa: PLR0913 - the fields of the API page, by keyword
        self,
        prompt_or_request: str | ImageRequest,
        *,
        size: Size | str | tuple[int, int] | None = None,
        quality: Quality | str | None = None,
        user_id: str | None = None,
        model: str | None = None,
        extra: Mapping[str, Any] | None = None,
        max_wait: float | None = None,
    ) -> ImageResponse:
        """
        Have one picture made, and get its link.

        Args:
            prompt_or_request: What to show; keywords replace a request's own fields.
            size: In pixels, such as `"1024x1024"`; the model's default if left out.
            quality: `standard` (5-10 s) or `hd` (about 20 s).
            user_id: Your end user's id, 6-128 characters.
            model: The model code.
            extra: Body fields the API page does not name.
            max_wait: Seconds this call may spend waiting while nothing of it is at the
                service (for a place, in pauses); no deadline cuts a sent request short.

        Raises:
            InvalidRequestError: Before anything is sent.
            BusyError: No place within `max_wait`; nothing was billed.
            BudgetError: `max_pictures` or `max_cost` is reached; nothing was sent.
            ConnectError: No connection; nothing was billed.
            AnswerLostError: Sent, and no usable answer: it may be billed.
            APIError: The service refused or failed; the class says how.
            ResponseError: An answer without a usable picture: it may be billed.
        """
        request = change(
            as_request(prompt_or_request),
            size=size,
            quality=quality,
            user_id=user_id,
            model=model,
            extra=extra,
        )
        return (await self._answer(request, max_wait=max_wait)).response

    async def download(self, response_or_url: ImageResponse | str) -> Picture:
        """
        Fetch a picture that was made; this costs nothing and never carries the key.

        Raises:
            DownloadError: It could not be had; `response` keeps the paid link.
        """
        engine = await self._opened()
        response = None if isinstance(response_or_url, str) else response_or_url
        url = response.url if response is not None else str(response_or_url)

        async def fetch() -> Picture:
            async with engine.downloads:  # not held in the pause between two tries
                return await engine.downloader.fetch(url)

        try:
            picture = await persist_download(fetch)
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

    async def generate_picture(  # noqa: PLR0913 - as `generate`
        self,
        prompt_or_request: str | ImageRequest,
        *,
        size: Size | str | tuple[int, int] | None = None,
        quality: Quality | str | None = None,
        user_id: str | None = None,
        model: str | None = None,
        extra: Mapping[str, Any] | None = None,
        max_wait: float | None = None,
    ) -> Picture:
        """
        Have one picture made, and fetch it; the arguments are those of `generate`.

        Raises:
            DownloadError: Paid, and not fetched; `response` keeps the link.
            ZaiImagesError: Everything that `generate` raises.
        """
        request = change(
            as_request(prompt_or_request),
            size=size,
            quality=quality,
            user_id=user_id,
            model=model,
            extra=extra,
        )
        return await self._fetch(await self._answer(request, max_wait=max_wait))

    async def _fetch(self, answer: Answer) -> Picture:
        """Fetch the picture of an answer, and say so where that is cut short."""
        request = answer.request
        loop = asyncio.get_running_loop()
        try:
            picture = await self.download(answer.response)
        except asyncio.CancelledError:
            events.notify(
                self._observer,
                events.Abandoned(request=request, at=loop.time(), billed="yes"),
            )
            raise
        events.notify(
            self._observer,
            events.Downloaded(request=request, at=loop.time(), size=len(picture.data)),
        )
        return attrs.evolve(
            picture, request=request, latency=answer.latency, cost=answer.cost
        )

    def stats(self) -> SessionStats:
        """Tell what the session has done and what it knows."""
        gates = self._engine.gates if self._engine is not None else {}
        reason = "max_in_flight" if self.config.max_in_flight else "default"
        return self._tally.stats(
            {
                model: ModelStats(
                    in_flight=gate.in_flight,
                    limit=gate.limit,
                    limit_reason=reason,
                    latency=self._tally.latency(model),
                )
                for model, gate in gates.items()
            }
        )
