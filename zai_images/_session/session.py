"""The session: the library's public face, with the three calls people make."""

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any, Self

import attrs

from zai_images import events
from zai_images._api.errors import ConfigurationError
from zai_images._api.models import Quality, Size
from zai_images._api.request import ImageRequest, change
from zai_images._api.response import ImageResponse
from zai_images._config import SessionConfig
from zai_images._http.transport import Http
from zai_images._picture.picture import Picture
from zai_images._redact import discreet
from zai_images._session.check import ServiceCheck
from zai_images._session.requester import Requester, SessionRequester
from zai_images._session.stats import SessionStats


@discreet
class ImageSession:
    """
    A client session: one for each process, shared by all its callers.

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

    # It opens the connections; a subclass may bring its own.
    _requester_type: type[SessionRequester] = SessionRequester

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
        self._requester = self._requester_type(
            config, http, observer, max_pictures=max_pictures, max_cost=max_cost
        )

    def __repr__(self) -> str:
        resources = self._requester.resources
        opened = "new" if resources is None else "open"
        state = "closed" if self._requester.closed else opened
        taken = 0 if resources is None else resources.in_flight
        return f"<ImageSession {self.config.base_url} {state}, {taken} in flight>"

    @property
    def requester(self) -> Requester:
        """What batches and jobs send through; not meant for users' code."""
        return self._requester

    async def __aenter__(self) -> Self:
        await self._requester.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        requester = getattr(self, "_requester", None)
        if requester is not None and requester.resources is not None:
            warnings.warn(
                f"{self!r} was never closed; use 'async with' or await its aclose()",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )

    async def aclose(self) -> None:
        """Close the connections; a second time does nothing."""
        await self._requester.aclose()

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
        Generate one picture, and return the answer with its link.

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
            AnswerLostError: No usable answer, as in ResponseError; it may be billed.
        """
        request = change(
            prompt_or_request,
            size=size,
            quality=quality,
            user_id=user_id,
            model=model,
            extra=extra,
        )
        requester = self._requester
        work = partial(requester.answer, request, max_wait=max_wait)
        return (await requester.finish(work)).response

    async def download(self, response_or_url: ImageResponse | str) -> Picture:
        """
        Fetch a picture that was made; this costs nothing and never sends the key.

        Raises:
            DownloadError: It could not be fetched; `response` keeps the paid link.
        """
        if isinstance(response_or_url, str):
            return await self._requester.download(response_or_url, None)
        return await self._requester.download(response_or_url.url, response_or_url)

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
        Generate one picture and fetch it; the arguments are those of `generate`.

        Raises:
            DownloadError: Paid, and not fetched; `response` keeps the link.
            ZaiImagesError: Everything that `generate` raises.
        """
        request = change(
            prompt_or_request,
            size=size,
            quality=quality,
            user_id=user_id,
            model=model,
            extra=extra,
        )
        requester = self._requester
        work = partial(requester.picture, request, max_wait=max_wait)
        return await requester.finish(work)

    async def check(self) -> ServiceCheck:
        """
        Ask whether the service answers and accepts the key; this costs nothing.

        It takes no place and 30 seconds at most. Only a closed session is an error.
        """
        return await self._requester.check()

    @property
    def last_run(self) -> Any:  # noqa: ANN401 - a BatchRun, which stands above this floor
        """
        The `BatchRun` begun last, or None: its `finished`, `abandoned`, `unsent`.

        It is kept until the next run or `aclose`; one that ended normally is here only
        as long as somebody else has it.
        """
        return self._requester.last_run.get()

    def stats(self) -> SessionStats:
        """Return what the session has done and what it knows."""
        return self._requester.stats()
