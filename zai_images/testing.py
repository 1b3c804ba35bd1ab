"""
Tools for testing code that uses this library.

The package's pytest plugin builds `zai_sandbox` and `zai_session` from these; other
test frameworks use them directly. docs/testing.md shows how.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Self

import attrs

from zai_images._api.errors import ZaiImagesError
from zai_images._api.models import MODELS
from zai_images._api.response import RawResponse
from zai_images._config import RetryPolicy, SessionConfig, Timeouts
from zai_images._session.requester import SessionRequester
from zai_images._session.resources import LoopResources
from zai_images._session.session import ImageSession
from zai_images.events import Observer
from zai_images.sandbox import Fault, Sandbox

__all__ = [
    "Script",
    "ScriptedTransport",
    "quick_config",
    "quick_session",
    "sandbox_in_thread",
]

SPEED = 1000.0  # times faster than life: a picture takes 5-20 ms
_QUICK = RetryPolicy(
    first_pause=0.002,
    max_pause=0.03,
    busy_pause=0.005,
    max_busy_pause=0.12,
    download_pause=0.005,
)
_ENDING = 10.0  # seconds; a session closes in a few milliseconds


@attrs.frozen(kw_only=True)
class Script:
    """
    One answer of a scripted transport.

    Attributes:
        status: The HTTP status.
        body: The answer's bytes.
        retry_after: A Retry-After header.
        error: Raised in place of an answer.
        written: Whether the request leaves before `error` is raised.
        delay: Seconds of the event loop's clock before the answer.
    """

    status: int = 200
    body: bytes = b'{"created":1,"data":[{"url":"https://example.com/picture.png"}]}'
    retry_after: str | None = None
    error: Exception | None = None
    written: bool = True
    delay: float = 0.0

    @classmethod
    def failure(
        cls,
        code: str,
        message: str = "Scripted.",
        *,
        status: int | None = None,
        retry_after: str | None = None,
        delay: float = 0.0,
    ) -> Self:
        """
        Build an answer with the service's error envelope.

        Args:
            code: The business code, such as "1302".
            message: The service's words.
            status: The HTTP status; the one that goes with the code if left out.
            retry_after: A Retry-After header.
            delay: Seconds of the event loop's clock before the answer.
        """
        return cls(
            status=Fault(code=code, status=status).answer_status,
            body=json.dumps({"error": {"code": code, "message": message}}).encode(),
            retry_after=retry_after,
            delay=delay,
        )


class ScriptedTransport:
    """
    A transport that answers a session's requests from a script, without a socket.

    `ImageSession(http=ScriptedTransport(...), api_key="any")`. After the end of
    the script its last entry is repeated. Pictures are not fetched through it.

    Args:
        script: The answers, in this order; pictures if left out.
        record: Whether `bodies` keeps what was sent.

    Attributes:
        posts: How many requests came.
        bodies: What was sent, as it was sent.
    """

    def __init__(self, script: Iterable[Script] = (), *, record: bool = True) -> None:
        self._script = list(script) or [Script()]
        self._record = record
        self.posts: int = 0
        self.bodies: list[bytes] = []

    @property
    def prompts(self) -> list[str]:
        """The prompts that were sent."""
        return [json.loads(body)["prompt"] for body in self.bodies]

    async def post(self, body: bytes, *, on_write: Callable[[], None]) -> RawResponse:
        """Play the next entry of the script."""
        entry = self._script[min(self.posts, len(self._script) - 1)]
        self.posts += 1
        if self._record:
            self.bodies.append(body)
        if entry.written:
            on_write()
        if entry.delay:
            await asyncio.sleep(entry.delay)
        if entry.error is not None:
            raise entry.error
        return RawResponse(
            status=entry.status, body=entry.body, retry_after=entry.retry_after
        )

    def scrub(self, error: ZaiImagesError) -> None:
        """Leave an error as it is: no key was sent."""

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""


@contextmanager
def sandbox_in_thread(**settings: Any) -> Iterator[Sandbox]:  # noqa: ANN401 - those of Sandbox
    """
    Run a sandbox on an event loop in a thread of its own.

    It serves async tests under any plugin, sync code, threads and subprocesses, and
    goes on while the test's own loop is blocked.

    Args:
        settings: Those of `Sandbox`; unless they say otherwise, it is a thousand times
            faster than life, its pictures are plain, and it keeps a `log`.
    """
    box = Sandbox(**{"speed": SPEED, "pictures": "plain", "record": True, **settings})
    ready: Future[Callable[[], object]] = Future()
    ended: Future[None] = Future()

    async def serve() -> None:
        end = asyncio.Event()
        async with box:
            loop = asyncio.get_running_loop()
            ready.set_result(lambda: loop.call_soon_threadsafe(end.set))
            await end.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
            ended.set_result(None)
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits
            (ended if ready.done() else ready).set_exception(error)

    thread = threading.Thread(target=run, name="zai-images-sandbox", daemon=True)
    thread.start()
    stop = ready.result()
    try:
        yield box
    finally:
        stop()
        thread.join()
        ended.result()


def quick_config(sandbox: Sandbox, **settings: Any) -> SessionConfig:  # noqa: ANN401 - those of SessionConfig
    """
    Make a session's settings for a sandbox that is a thousand times faster.

    Retries are as many as usual, with pauses of milliseconds; a Retry-After is cut to
    an eighth of a second, a time-out to five seconds. There are five places and no
    search for more, which would take real seconds. Pictures cost their list price.

    Args:
        sandbox: Where the session sends.
        settings: Those of `SessionConfig`, which replace these.
    """
    usual: dict[str, Any] = {
        "api_key": sandbox.api_key,
        "base_url": sandbox.base_url,
        "adaptive": False,
        "retry": _QUICK,
        "timeouts": Timeouts(total=5, download=5),
        "prices": {name: rules.price for name, rules in MODELS.items()},
    }
    return SessionConfig(**(usual | settings))


@contextmanager
def quick_session(
    sandbox: Sandbox,
    *,
    observer: Observer | None = None,
    max_pictures: int | None = None,
    max_cost: float | None = None,
    **settings: Any,  # noqa: ANN401 - those of SessionConfig
) -> Iterator[ImageSession]:
    """
    Make a session at a sandbox, and close it, from code that is not async.

    For fixtures and `setUp`: it can be made before there is an event loop, opens on
    the first loop that uses it, and closes with that loop, or with the block.

    Args:
        sandbox: Where the session sends.
        observer: Told of every event.
        max_pictures: A cap on what the session pays for.
        max_cost: The same, in US dollars.
        settings: Those of `SessionConfig`, which replace those of `quick_config`.
    """
    session = _Session(
        quick_config(sandbox, **settings),
        observer=observer,
        max_pictures=max_pictures,
        max_cost=max_cost,
    )
    try:
        yield session
    finally:
        _close(session)


class _EndingWithItsLoop(SessionRequester):
    """A requester that closes with its loop, as a fixture often ends only after it."""

    _watch: AsyncIterator[None]

    async def open(self) -> LoopResources:
        before = self.resources
        opened = await super().open()
        if opened is not before:
            # Loops close the async generators they know before they end.
            self._watch = self._end_of_loop(opened)
            await anext(self._watch)
        return opened

    async def _end_of_loop(self, opened: LoopResources) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if self.resources is opened:
                await self.release()


class _Session(ImageSession):
    """A session that ends with its loop."""

    _requester_type = _EndingWithItsLoop

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that its connections belong to."""
        resources = self._requester.resources
        return None if resources is None else resources.loop


def _close(session: _Session) -> None:
    loop = session.loop
    if loop is not None and loop.is_running():
        asyncio.run_coroutine_threadsafe(session.aclose(), loop).result(_ENDING)
    elif loop is not None and not loop.is_closed():
        loop.run_until_complete(session.aclose())
    else:
        # Not asyncio.run: that would also unset the thread's current loop.
        own = asyncio.new_event_loop()
        try:
            own.run_until_complete(session.aclose())
        finally:
            own.close()
