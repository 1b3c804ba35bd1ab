"""A stand-in for the service: places, a rate, delays, and every time on one clock."""

import asyncio
import functools
import heapq
import json
import math
import random
from collections import deque
from collections.abc import Callable
from typing import Self

import attrs

PICTURE = json.dumps(
    {"created": 1, "data": [{"url": "https://example.com/a.png"}]}
).encode()
WINDOWS = {"standard": (5.0, 10.0), "hd": (17.0, 20.0)}


@attrs.frozen(kw_only=True)
class Service:
    """
    Say how the service behaves; all times are seconds.

    Attributes:
        limit: Places.
        moves: After so many pictures served, so many places.
        lag: How long after its answer a place is freed.
        rate: Pictures a second (a token bucket, burst 10).
        rate_code: What a refusal for the rate calls itself.
        errors: The share of answers that are a 500.
        queue: Places of a service that queues silently and never refuses.
        refusal: How long a refusal takes to decide, low and high.
        network: One way, low and high.
        windows: In service, by quality, low and high.
    """

    limit: float = math.inf
    moves: tuple[int, int] | None = None
    lag: float = 0.0
    rate: float | None = None
    rate_code: str = "1302"
    errors: float = 0.0
    queue: int | None = None
    refusal: tuple[float, float] = (0.02, 0.15)
    network: tuple[float, float] = (0.05, 0.15)
    windows: dict[str, tuple[float, float]] = attrs.field(factory=lambda: WINDOWS)


@attrs.define
class Record:
    """Count what happened."""

    posts: int = 0
    refused: int = 0
    served: int = 0
    # The round trip and service time of each admitted request, in order of admission.
    times: list[float] = attrs.field(factory=list)
    most: int = 0


class Server:
    """Serve it on loopback, in the loop of the client, over real sockets."""

    def __init__(self, service: Service, seed: int) -> None:
        self.service = service
        self.record = Record()
        self._random = random.Random(seed)
        self._taken = 0
        self._tokens = 10.0
        self._tokens_at = 0.0
        self._waiting: deque[Callable[[], None]] = deque()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(
            lambda: _Connection(self), "127.0.0.1", 0, backlog=16384
        )
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/api/paas/v4"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def _between(self, window: tuple[float, float]) -> float:
        return self._random.uniform(*window)

    def take(self, body: bytes, answer: Callable[[int, bytes], None]) -> None:
        """Take a request that was just written; its way here takes a while."""
        self.record.posts += 1
        sent = self._loop.time()
        there = self._between(self.service.network)
        self._loop.call_later(there, self._arrive, body, answer, sent)

    def _limit(self) -> float:
        moves = self.service.moves
        if moves is not None and self.record.served >= moves[0]:
            return moves[1]
        return self.service.limit

    def _arrive(
        self, body: bytes, answer: Callable[[int, bytes], None], sent: float
    ) -> None:
        service, now = self.service, self._loop.time()

        def start() -> None:
            self._taken += 1
            self.record.most = max(self.record.most, self._taken)
            quality = "hd" if b'"hd"' in body else "standard"
            took = self._between(service.windows[quality])
            back = self._between(service.network)
            self.record.times.append(now - sent + took + back)
            fails = self._random.random() < service.errors
            done = functools.partial(self._served, answer, back, fails=fails)
            self._loop.call_later(took, done)

        if service.queue is not None:
            if self._taken < service.queue:
                start()
            else:
                self._waiting.append(start)
            return
        if self._taken >= self._limit():
            self._refuse(answer, "1302", self._between(service.refusal))
        elif self._no_token(now):
            self._refuse(answer, service.rate_code, 0.0)
        else:
            start()

    def _no_token(self, now: float) -> bool:
        if self.service.rate is None:
            return False
        earned = (now - self._tokens_at) * self.service.rate
        self._tokens, self._tokens_at = min(10.0, self._tokens + earned), now
        if self._tokens < 1:
            return True
        self._tokens -= 1
        return False

    def _refuse(
        self, answer: Callable[[int, bytes], None], code: str, after: float
    ) -> None:
        self.record.refused += 1
        body = json.dumps({"error": {"code": code, "message": "busy"}}).encode()
        back = self._between(self.service.network)
        self._loop.call_later(after + back, answer, 429, body)

    def _served(
        self, answer: Callable[[int, bytes], None], back: float, *, fails: bool
    ) -> None:
        self.record.served += 1
        self._loop.call_later(self.service.lag, self._free)
        if fails:
            body = b'{"error": {"code": "1234", "message": "network"}}'
            self._loop.call_later(back, answer, 500, body)
        else:
            self._loop.call_later(back, answer, 200, PICTURE)

    def _free(self) -> None:
        self._taken -= 1
        if self._waiting:
            self._waiting.popleft()()


class _Connection(asyncio.Protocol):
    """Read requests off one connection; a body, and no more HTTP than that takes."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._server.take(rest[:length], self._answer)

    def _answer(self, status: int, body: bytes) -> None:
        if not self._transport.is_closing():
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
            self._transport.write(head.encode() + body)


def ideal(times: list[float], service: Service) -> float:
    """
    Tell the makespan of a client that knows the limit at every moment.

    List scheduling of the same service times and round trips, in the same order.
    """
    limit = service.queue or service.limit
    ends: list[float] = []
    now, done, tokens, tokens_at = 0.0, 0, 10.0, 0.0
    for took in times:
        while len(ends) >= limit:
            now = max(now, heapq.heappop(ends))
            done += 1
            if service.moves is not None and done >= service.moves[0]:
                limit = service.moves[1]
        if service.rate is not None:
            tokens = min(10.0, tokens + (now - tokens_at) * service.rate)
            tokens_at = now
            if tokens < 1:
                now += (1 - tokens) / service.rate
                tokens, tokens_at = 1.0, now
            tokens -= 1
        heapq.heappush(ends, now + took + service.lag)
    return max(ends) - service.lag
