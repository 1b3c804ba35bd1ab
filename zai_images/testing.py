"""Tools for the tests of code that uses this library."""

import asyncio
from collections.abc import Callable, Iterable

import attrs

from zai_images._errors import ZaiImagesError
from zai_images._wire import RawResponse

__all__ = ["Script", "ScriptedTransport"]


@attrs.frozen(kw_only=True)
class Script:
    """
    Say what a scripted transport answers once.

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


class ScriptedTransport:
    """
    Answer a session's requests from a script, without a socket.

    `ImageSession(http=ScriptedTransport(...), api_key="any")`. When the script is at
    its end, its last entry answers for ever. `bodies` holds what was sent.
    """

    def __init__(self, script: Iterable[Script] = (), *, record: bool = True) -> None:
        self._script = list(script) or [Script()]
        self._record = record
        self.posts = 0
        self.bodies: list[bytes] = []

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
        """Nothing is open."""
