"""The sandbox as its user holds it: the knobs, the records, the two listeners."""

import asyncio
import math
import random
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, Final, Literal, Self

from aiohttp import web

from zai_images.sandbox._bill import Bill
from zai_images.sandbox._endpoint import BASE, Service
from zai_images.sandbox._faults import Fault, FaultPlan
from zai_images.sandbox._limits import Knobs, Places
from zai_images.sandbox._log import Handler, LoggedRequest, kept
from zai_images.sandbox._picture_host import PictureHost, PictureRequest

_LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 1024
# What is unanswered is ended by us before; this is for half-sent requests.
_PATIENCE: Final = 0.1


class Sandbox(Knobs):
    """
    The image API on loopback, without a key of the service and without paying.

    Args:
        speed: how many times faster than life pictures and refusals come.
        limit: pictures at once; more are refused with 1302. None: no limit.
        rate: pictures a minute (of the loop's clock, whatever the speed), in bursts
            of up to 10; more are refused with 1303. None: no limit.
        api_key: the key that is accepted.
        faults: trouble declared beforehand; see `Fault`.
        pictures: "drawn" (needs Pillow, else plain) or "plain" (one colour, fast).
        seed: of the latencies.
        record: keep a `log` of every request; its memory grows with them.

    `speed`, `limit` and `rate` may be set while it runs; a lower limit lets those in
    flight finish. All waiting is the running event loop's, so a loop with virtual time
    moves it. A closed sandbox may be started again; it keeps its bill, and its picture
    host moves to another port. Only `start` and `aclose` belong to its loop; everything
    else is for any thread.
    """

    def __init__(  # noqa: PLR0913 - each is a separate knob of the service
        self,
        *,
        speed: float = 1.0,
        limit: int | None = None,
        rate: float | None = None,
        api_key: str = "sk-sandbox",
        faults: Iterable[Fault] = (),
        pictures: Literal["drawn", "plain"] = "drawn",
        seed: int = 0,
        record: bool = False,
    ) -> None:
        if not 0 < speed < math.inf:
            raise ValueError("speed must be a positive number")
        if pictures not in ("drawn", "plain"):
            raise ValueError("pictures must be 'drawn' or 'plain'")
        super().__init__(speed, limit, rate)
        self._api_key = api_key
        self._places = Places(self)
        self._faults = FaultPlan(faults)
        self._host = PictureHost(api_key=api_key, drawn=pictures == "drawn")
        self._service = Service(
            knobs=self,
            api_key=api_key,
            places=self._places,
            faults=self._faults,
            host=self._host,
            random=random.Random(seed),
        )
        self._log: list[LoggedRequest] | None = [] if record else None
        self._origin: str | None = None
        self._stack: AsyncExitStack | None = None
        self._answering: set[asyncio.Task[Any]] = set()
        self._closing = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        state = "closed" if self._stack is None else self._origin
        return f"<Sandbox {state} in_flight={self.in_flight} {self.bill!r}>"

    @property
    def base_url(self) -> str:
        """The base URL that a client needs, `/paas/v4` included."""
        if self._origin is None:
            raise RuntimeError("the sandbox has no address before it is started")
        return self._origin + BASE

    @property
    def api_key(self) -> str:
        """The key that is accepted."""
        return self._api_key

    @property
    def bill(self) -> Bill:
        """What was admitted and would have been charged for."""
        return self._service.bill

    @property
    def requests(self) -> int:
        """The number of POSTs that reached the endpoint."""
        return self.bill.requests

    @property
    def log(self) -> Sequence[LoggedRequest]:
        """Every request to the API's origin; a RuntimeError without `record=True`."""
        if self._log is None:
            raise RuntimeError("no log is kept: make it with Sandbox(record=True)")
        return tuple(self._log)

    @property
    def picture_requests(self) -> Sequence[PictureRequest]:
        """What reached the picture host, to show that the key never does."""
        return tuple(self._host.requests)

    @property
    def in_flight(self) -> int:
        """The number of places taken now."""
        return self._places.taken

    @property
    def most_in_flight(self) -> int:
        """The largest number of places that were taken at once."""
        return self._places.most_taken

    def next(self, *, times: int | None = 1, **fault: Any) -> None:  # noqa: ANN401
        """Let the next `times` requests meet a fault; takes the fields of `Fault`."""
        self._faults.add(Fault(times=times, **fault))

    def fail(
        self,
        prompt: str,
        *,
        code: str = "1301",
        times: int | None = None,
        **fault: Any,  # noqa: ANN401 - the fields of Fault, which checks them
    ) -> None:
        """Let a prompt fail, always unless `times` is given."""
        self._faults.add(Fault(prompt=prompt, code=code, times=times, **fault))

    def clear_faults(self) -> None:
        """Forget all faults that are still to come."""
        self._faults.clear()

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; `port` is the API's, and 0 takes any free one."""
        if self._stack is not None:
            raise RuntimeError("the sandbox is running already")
        self._closing = False
        async with AsyncExitStack() as stack:
            # Threads of our own: drawings must not queue before the user's own
            # `asyncio.to_thread` calls on the same loop.
            drawers = self._host.drawers = ThreadPoolExecutor(2, "zai-images-sandbox")
            stack.callback(drawers.shutdown, wait=False, cancel_futures=True)
            handler: Handler = self._service.handle
            if self._log is not None:
                handler = kept(handler, self._log, self.api_key)
            origin = await self._listen(stack, handler, port)
            self._host.origin = await self._listen(stack, self._host.handle, 0)
            # Unwound first, before the listeners would wait for their answers.
            stack.push_async_callback(self._stop_answering)
            self._origin = origin
            self._stack = stack.pop_all()

    async def aclose(self) -> None:
        """Stop listening and end whatever is unanswered, at once."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    async def _listen(self, stack: AsyncExitStack, handler: Handler, port: int) -> str:
        # Handlers outlive their clients: the service goes on with a job that nobody
        # waits for any more, holds its place, and charges for it.
        server = web.Server(
            self._owned(handler),
            handler_cancellation=False,
            auto_decompress=False,  # a body that is no gzip would be our crash
            access_log=None,
        )
        runner = web.ServerRunner(server, shutdown_timeout=_PATIENCE)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, _LOOPBACK, port, backlog=_BACKLOG).start()
        return f"http://{_LOOPBACK}:{runner.addresses[0][1]}"

    def _owned(self, handler: Handler) -> Handler:
        """Wrap a handler so that closing can end all its answers."""

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            task = asyncio.current_task()
            if self._closing or task is None:
                return web.Response(status=503, headers={"Connection": "close"})
            self._answering.add(task)
            try:
                return await handler(request)
            finally:
                self._answering.discard(task)

        return handle

    async def _stop_answering(self) -> None:
        self._closing = True
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
