"""The places at the service: how many pictures of one model may be in flight."""

import asyncio


class Gate:
    """
    Hand out the places of one model, first come, first served.

    A place is taken for one attempt: never during a pause, a download or a disk write.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self._places = asyncio.Semaphore(limit)

    async def enter(self) -> None:
        """Wait for a place and take it."""
        await self._places.acquire()
        self.in_flight += 1

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self._places.release()
