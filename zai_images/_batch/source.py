"""The input of a batch: pulled one item at a time, by one worker at a time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from zai_images._api.request import ImageRequest

Requests = (
    Iterable[str | ImageRequest | Mapping[str, Any]]
    | AsyncIterable[str | ImageRequest | Mapping[str, Any]]
)


END = object()  # returned at the end of the input


class PullLock:
    """
    The lock that lets one worker pull.

    It is released, never handed over: a running worker takes it before those that wait,
    so that items answered at once need no task switch each.
    """

    def __init__(self) -> None:
        self._held = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def acquire_nowait(self) -> bool:
        """Take the lock if nobody holds it; return False otherwise."""
        was_held, self._held = self._held, True
        return not was_held

    def release(self) -> None:
        """Let somebody else take it."""
        self._held = False
        self._wake_one()

    async def released(self) -> None:
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
        crash: The error of the input itself, or of the caller's own code in it.
        puller: The task that waits for the next item.
    """

    def __init__(self, requests: Requests) -> None:
        self.lock = PullLock()
        self.pulled = 0
        self.exhausted = False
        self.crash: BaseException | None = None
        self.puller: asyncio.Task[Any] | None = None
        self._many: AsyncIterator[object] | None = None
        self._plain: Iterator[object] = iter(())
        if isinstance(requests, AsyncIterable):
            self._many = aiter(requests)
        else:
            self._plain = iter(requests)

    async def pull(self, puller: asyncio.Task[Any] | None) -> object:
        """Wait for the next item; `END` where no more will come."""
        self.puller = puller
        try:
            if self._many is None:
                item = next(self._plain, END)
            else:
                item = await anext(self._many, END)
        except asyncio.CancelledError as error:
            if puller is None or puller.cancelling():
                raise
            # Not ours: something the input waits for was cancelled.
            self.crash = error
            item = END
        except Exception as error:  # noqa: BLE001 - the caller's own iterator failed
            self.crash = error
            item = END
        finally:
            self.puller = None
        if item is END:
            self.exhausted = True
        else:
            self.pulled += 1
        return item

    async def rest(self) -> AsyncIterator[tuple[int, object]]:
        """Yield what was not pulled, with its index, to the end of the input."""
        while not self.exhausted and (item := await self.pull(None)) is not END:
            yield self.pulled - 1, item
            if self.pulled % 100 == 0:
                await asyncio.sleep(0)  # let other tasks run
        if self.crash is not None:
            raise self.crash
