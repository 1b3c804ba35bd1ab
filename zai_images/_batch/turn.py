"""Whose turn it is to pull from the input of a batch."""

import asyncio
from collections import deque


class Turn:
    """
    Be held by one worker at a time.

    It is given back, never handed over: who is awake takes it before those who wait,
    so that items answered at once need no change of tasks each.
    """

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take it if nobody has it; False where somebody has."""
        was_taken, self._taken = self._taken, True
        return not was_taken

    def give_back(self) -> None:
        """Let somebody else take it."""
        self._taken = False
        self._wake_one()

    async def given_back(self) -> None:
        """Wait until it may be free; somebody else may be quicker."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(news)
        try:
            await news
        except asyncio.CancelledError:
            if not self._taken:  # the news may have been for us alone
                self._wake_one()
            raise

    def _wake_one(self) -> None:
        while self._waiting:
            news = self._waiting.popleft()
            if not news.done():  # it was cancelled
                news.set_result(None)
                return
