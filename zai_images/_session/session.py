"""The session: pools, places, budget and policy, and the three calls people make."""

import asyncio
import warnings
from collections.abc import Mapping
from typing import Any, Self

import attrs

from zai_images import events
from zai_images._api.errors import ConfigurationError
from zai_images._api.models import Quality, Size
from zai_images._api.request import ImageRequest, as_request, change
from zai_images._api.response import ImageResponse
from zai_images._config import SessionConfig, secret
from zai_images._http.transport import Http
from zai_images._picture.picture import Picture
from zai_images._session.budget import Budget, Ledger
from zai_images._session.call import Answer, Call
from zai_images._session.check import ServiceCheck, ServiceChecker
from zai_images._session.resources import Engine, not_fetched
from zai_images._session.retry import Patience, RetryBudget
from zai_images._session.stats import SessionStats, Tally
from zai_images._session.tools import Tools


class ImageSession:
    """
    Make pictures: one session for a process, shared by all its callers.

    It owns the connections, the places at the service, the retry policy and the budget.
    Use `async with`, or let the first call open it and `await session.aclose()`.

    Args:
        config: The settings; `SessionConfig.from_env()` where left out.
        api_key: Overrides the config's key.
        base_url: Overrides the config's base URL.
        http: An `aiohttp.ClientSession` for the API calls, never closed here and never
            used for pictures; or a `testing.ScriptedTransport`.
        observer: Told of every event (`zai_images.events`).
        max_pictures: A cap on what this session pays for; `max_cost` in US dollars.

    Raises:
        ConfigurationError: There is no key, or a setting makes no sense.
    """

    def __init__(  # noqa: PLR0913 - the public contract, all but one by keyword
        self,
        config: SessionConfig | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        http: Http | None = None,
        observer: events.Observer | None = None,
        max_pictures: int | None = None,
        max_cost: float | None = None,
    ) -> None:
        api_key = secret(api_key)  # a traceback may show this frame
        self._engine: Engine | None = None
        self._last: Engine | None = None  # closed, and still knows its places
        self._closed = False
        if config is None:
            config = SessionConfig.from_env(api_key=api_key, base_url=base_url)
        else:
            key, url = api_key or config.api_key, base_url or config.base_url
            config = attrs.evolve(config, api_key=key, base_url=url)
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
        self._checker = ServiceChecker(config, self._tally.settled)

    def __repr__(self) -> str:
        if not hasattr(self, "config"):  # a traceback may show it half made
            return "<ImageSession that could not be made>"
        state = "closed" if self._closed else "open" if self._engine else "new"
        taken = self._engine.in_flight if self._engine else 0
        return f"<ImageSession {self.config.base_url} {state}, {taken} in flight>"

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def __aexit__(self, *_: object) -> None:
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
        if engine is None:
            return
        self._last = engine
        if engine.loop is asyncio.get_running_loop():
            await engine.aclose()
        else:
            await engine.discard()

    async def _opened(self) -> Engine:
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
            await engine.discard()
        if self._engine is None:
            self._engine = Engine(self.config, self._http, self._on_change)
        return self._engine

    def _on_change(self, model: str, old: int, new: int, reason: str) -> None:
        self._tell(events.LimitChanged, model=model, old=old, new=new, reason=reason)

    def _tell(self, kind: type[events.Event], **fields: object) -> None:
        if self._observer is not None:  # nothing is built that nobody sees
            now = asyncio.get_running_loop().time()
            events.notify(self._observer, kind(at=now, **fields))

    def _tools(self, engine: Engine, model: str) -> Tools:
        if model not in engine.tools:
            engine.tools[model] = Tools(
                transport=engine.transport,
                gate=engine.gate(model),
                policy=self.config.retry,
                budget=self._retry_budget,
                tally=self._tally,
                observer=self._observer,
                price=self.config.price_of(model),
            )
        return engine.tools[model]

    async def _answer(
        self,
        request: ImageRequest,
        *,
        max_wait: float | None = None,
        ledger: Ledger | None = None,
        ceiling: asyncio.Semaphore | None = None,
        batch: bool = False,
    ) -> Answer:
        """Get one picture made; the rest is a batch's own."""
        engine = self._engine
        if engine is None or engine.loop is not asyncio.get_running_loop():
            engine = await self._opened()
        tools = self._tools(engine, request.model)
        entry = self._budget.entry(tools.price)
        call = Call(
            request,
            tools=tools,
            patience=Patience(self.config.max_wait if max_wait is None else max_wait),
            ledgers=[one for one in (entry, ledger) if one is not None],
            ceiling=ceiling,
            batch=batch,
        )
        return await call.run()

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
            prompt_or_request: What to show; the keywords replace a request's fields.
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
            BudgetError: A cap of the session is reached; nothing was sent.
            ConnectError: No connection; nothing was billed.
            APIError: The service refused or failed; the class says how.
            AnswerLostError: No usable answer: it may be billed. So with ResponseError.
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
        if isinstance(response_or_url, str):
            return await engine.fetch(response_or_url, None)
        return await engine.fetch(response_or_url.url, response_or_url)

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
        try:
            picture = await self.download(answer.response)
        except asyncio.CancelledError:
            self._tell(
                events.Abandoned,
                request=request,
                billed="yes",
                response=answer.response,
            )
            raise
        except ConfigurationError as error:
            raise not_fetched(answer.response, "the session was closed") from error
        self._tell(events.Downloaded, request=request, size=len(picture.data))
        return attrs.evolve(
            picture, request=request, latency=answer.latency, cost=answer.cost
        )

    async def check(self) -> ServiceCheck:
        """
        Ask whether the service answers and accepts the key; this costs nothing.

        It takes no place and 30 seconds at most. Only a closed session is an error.
        """
        engine = await self._opened()
        return await self._checker.check(engine.transport)

    def stats(self) -> SessionStats:
        """Tell what the session has done and what it knows."""
        engine = self._engine or self._last
        return self._tally.stats(engine.models(self._tally) if engine else {})
