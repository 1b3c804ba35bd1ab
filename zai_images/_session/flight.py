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
    """
    The tasks on one loop whose callers have left.

    Attributes:
        closed: Whether it takes no more of them.
    """

    def __init__(self) -> None:
        self.closed: bool = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Keep a task until it has ended."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait until all have ended; where that is cancelled, abandon them."""
        try:
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            self.closed = True
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)


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
    on_end: Callable[[Flight, BaseException | None], None],
) -> T:
    """
    Do `work(flight=...)` in a task that outlives a cancelled caller, once it is sent.

    What was not sent is cancelled with its caller, who never waits for the rest.
    `on_end` hears how it ended if nobody waits for it any more.
    """
    flight = Flight()

    def tell(task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            on_end(flight, task.exception())

    task = asyncio.get_running_loop().create_task(work(flight=flight))
    task.add_done_callback(_look)
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        background = flight.background
        if flight.sent and background and (task.done() or not background.closed):
            flight.left = True
            task.add_done_callback(tell)
            background.adopt(task)
        else:
            task.cancel()
            await asyncio.wait((task,))
        raise
    try:
        return task.result()
    finally:
        del task  # or its error would hold the frame that holds it


def _look(task: asyncio.Task[Any]) -> None:
    """Take note of an error that nobody may be waiting for any more."""
    if not task.cancelled():
        task.exception()
