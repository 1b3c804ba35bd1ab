"""The input of a batch: pulled one item at a time, by one worker at a time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import Any, Self

from zai_images._api.request import ImageRequest

Requests = (
    Iterable[str | ImageRequest | Mapping[str, Any]]
    | AsyncIterable[str | ImageRequest | Mapping[str, Any]]
)


class PullLock:
    """
    The lock of the worker that pulls.

    It is released, never handed over: who is awake takes it before those who wait, so
    that items answered at once need no change of tasks each.
    """

    def __init__(self) -> None:
        self._held = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Wait for the lock and take it."""
        while self._held:
            await self._released()
        self._held = True

    def release(self) -> None:
        """Let somebody else take it."""
        self._held = False
        self._wake_one()

    async def _released(self) -> None:
        """Wait until it may be free; somebody else may be quicker."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(news)
        try:
            await news
        except asyncio.CancelledError:
            if not self._held:  # the news may have been for us alone
                self._wake_one()
            raise

    def _wake_one(self) -> None:
        while self._waiting:
            news = self._waiting.popleft()
            if not news.done():  # it was cancelled
                news.set_result(None)
                return


class Source:
    """
    The items of a batch, in the order of its input.

    Attributes:
        lock: Held by the worker that pulls.
        pulled: How many items came.
        exhausted: Whether no more will come.
        crash: The error of the input itself, or of the caller's own code in it.
        puller: The task that waits for the next item.
    """

    def __init__(self, requests: Requests) -> None:
        self.lock = PullLock()
        self.pulled = 0
        self.exhausted = False
        self.crash: BaseException | None = None
        self.puller: asyncio.Task[Any] | None = None
        self._items = _iterate(requests)

    async def pull(self, puller: asyncio.Task[None]) -> tuple[int, object] | None:
        """Wait for the next item and its index; None where no more will come."""
        self.puller = puller
        try:
            item = await anext(self._items)
        except StopAsyncIteration:
            self.exhausted = True
            return None
        except asyncio.CancelledError as error:
            if puller.cancelling():
                raise
            # Not ours: something the input waits for was cancelled.
            self.exhausted, self.crash = True, error
            return None
        except Exception as error:  # noqa: BLE001 - the caller's own iterator failed
            self.exhausted, self.crash = True, error
            return None
        finally:
            self.puller = None
        self.pulled += 1
        return self.pulled - 1, item

    async def rest(self) -> AsyncIterator[tuple[int, object]]:
        """Go through what was not pulled, down to the input's end."""
        async for item in self._items:
            self.pulled += 1
            yield self.pulled - 1, item
            if self.pulled % 100 == 0:
                await asyncio.sleep(0)  # the rest of the loop lives too


class _Plain:
    """A plain iterable as an asynchronous one, without a generator to clean up."""

    def __init__(self, iterable: Iterable[object]) -> None:
        self._iterator = iter(iterable)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> object:
        for item in self._iterator:
            return item
        raise StopAsyncIteration


def _iterate(requests: Requests) -> AsyncIterator[object]:
    if isinstance(requests, AsyncIterable):
        return aiter(requests)
    return _Plain(requests)
