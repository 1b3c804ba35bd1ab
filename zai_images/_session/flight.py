"""What a cancelled caller had sent goes on in the background, as the session's own."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import attrs

from zai_images._api.request import ImageRequest
from zai_images._api.response import ImageResponse
from zai_images._picture.picture import Picture

T = TypeVar("T")


class Background:
    """The tasks on one loop whose callers have left."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def adopt(self, ending: Coroutine[Any, Any, None]) -> None:
        """Keep a task until it has ended."""
        task = asyncio.get_running_loop().create_task(ending)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait until all have ended; where that is cancelled, abandon them."""
        try:
            while self._tasks:
                await asyncio.wait(self._tasks)
        except asyncio.CancelledError:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            raise


@attrs.define(eq=False)
class Flight:
    """
    A call that its caller may leave, and what became of it.

    Attributes:
        background: Where it goes on then.
        sent: Whether it is at the service, or paid for and not handed over.
        left: Whether its caller was cancelled since.
        request: What was asked for.
        response: The answer, once it has come.
        picture: The picture, once it is fetched.
    """

    background: Background | None = None
    sent: bool = False
    left: bool = False
    request: ImageRequest | None = None
    response: ImageResponse | None = None
    picture: Picture | None = None


async def finish(
    work: Callable[..., Coroutine[Any, Any, T]],
    on_end: Callable[[Flight, Exception | None], None],
) -> T:
    """
    Do `work(flight=...)` in a task that outlives a cancelled caller, once it is sent.

    What was not sent is cancelled with its caller, who never waits for the rest.
    `on_end` hears how it ended if nobody waits for it any more.
    """
    flight = Flight()
    task = asyncio.get_running_loop().create_task(work(flight=flight))
    task.add_done_callback(_look)
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        if flight.sent and flight.background is not None:
            flight.left = True
            flight.background.adopt(_see_through(task, flight, on_end))
        else:
            task.cancel()
            await asyncio.wait((task,))
        raise
    try:
        return task.result()
    finally:
        del task  # or its error would hold the frame that holds it


async def _see_through(
    task: asyncio.Task[Any],
    flight: Flight,
    on_end: Callable[[Flight, Exception | None], None],
) -> None:
    try:
        await task
    except Exception as error:  # noqa: BLE001 - nobody else is there to hear of it
        on_end(flight, error)
    else:
        on_end(flight, None)


def _look(task: asyncio.Task[Any]) -> None:
    """Take note of an error that nobody may be waiting for any more."""
    if not task.cancelled():
        task.exception()
