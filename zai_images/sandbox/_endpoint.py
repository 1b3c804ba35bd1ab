"""What the API's origin does with a request, from its key to its answer."""

import asyncio
import socket
import struct
import time
from random import Random
from typing import Final

import attrs
from aiohttp import web

from zai_images.sandbox._answers import (
    HTML,
    NOT_FOUND,
    OPENAPI,
    encode,
    error_body,
    new_request_id,
    status_of,
)
from zai_images.sandbox._bill import Bill, BillEntry
from zai_images.sandbox._faults import Fault, FaultPlan
from zai_images.sandbox._limits import Knobs, Places
from zai_images.sandbox._log import read
from zai_images.sandbox._picture_host import PictureHost, cut
from zai_images.sandbox._validation import (
    Order,
    RefusalError,
    check_encoding,
    check_key,
    read_order,
)

BASE: Final = "/api/paas/v4"
_ENDPOINT: Final = f"{BASE}/images/generations"
# Seconds that a generation takes by quality, as the page says; and a refusal.
_LATENCIES: Final = {"standard": (5.0, 10.0), "hd": (17.0, 20.0)}
_REFUSAL_LATENCY: Final = (0.05, 0.15)
_JSON: Final = "application/json; charset=UTF-8"
_HTML: Final = "text/html; charset=UTF-8"
# Closing with no time to linger makes the kernel send a reset.
_NO_LINGER: Final = struct.pack("ii", 1, 0)


@attrs.frozen
class _Job:
    """An order, the fault it is to meet, and what its answer will carry."""

    order: Order
    fault: Fault
    request_id: str = attrs.field(factory=new_request_id)
    created: int = attrs.field(factory=lambda: int(time.time()))


@attrs.frozen(kw_only=True, eq=False)
class Service:
    """
    The API's origin, from a request's key to its answer.

    The key, the JSON and the fields are checked before faults, and only then are a
    place and the rate, so a request that is turned away costs nothing.
    """

    knobs: Knobs
    api_key: str
    places: Places
    faults: FaultPlan
    host: PictureHost
    random: Random
    bill: Bill = attrs.field(factory=Bill)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request at the API's origin."""
        if request.path == "/openapi.json" and request.method in ("GET", "HEAD"):
            return _answer(200, OPENAPI)
        if request.path != _ENDPOINT:
            # The real gateway says "not found" with HTTP 200.
            return _answer(200, NOT_FOUND)
        if request.method != "POST":
            response = _answer(405, error_body("1212", "This endpoint takes POST."))
            response.headers["Allow"] = "POST"
            return response
        return await self._serve(request)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            raw = await read(request)
        except ConnectionError:
            return web.Response()  # half a request, and nobody left to answer
        # From here to the admission nothing is awaited, so the counts always agree.
        self.bill.requests += 1
        number = self.bill.requests
        try:
            check_key(request.headers.get("Authorization"), self.api_key)
            check_encoding(request.headers.get("Content-Encoding"))
            order = read_order(request.content_type, raw)
        except RefusalError as refusal:
            self.bill.rejected += 1
            return await self._refuse(*refusal.args)
        job = _Job(order, self.faults.find(number, order.prompt))
        if job.fault.is_billed:
            return await self._generate(request, job)
        self.faults.spend(job.fault)
        self.bill.faulted += 1
        await self._pause(job.fault.delay, _REFUSAL_LATENCY)
        return await self._perform(request, job)

    async def _generate(
        self, request: web.BaseRequest, job: _Job
    ) -> web.StreamResponse:
        now = asyncio.get_running_loop().time()
        code = self.places.take(now)
        if code is not None:
            self.bill.refusals += 1
            return await self._refuse(code)
        self.faults.spend(job.fault)
        self.bill.add(
            BillEntry(
                index=self.bill.total,
                request_id=job.request_id,
                at=now,
                outcome=job.fault.action,
                **attrs.asdict(job.order, recurse=False),
            )
        )
        try:
            await self._pause(job.fault.delay, _LATENCIES[job.order.quality])
        finally:
            # The answer is written in this same step of the loop: nobody can see
            # the place free before the answer, nor the answer before the place.
            self.places.free()
        return await self._perform(request, job)

    async def _refuse(self, code: str, message: str | None = None) -> web.Response:
        await self._pause(None, _REFUSAL_LATENCY)
        return _answer(status_of(code), error_body(code, message))

    async def _pause(self, delay: float | None, usual: tuple[float, float]) -> None:
        seconds = self.random.uniform(*usual) if delay is None else delay
        await asyncio.sleep(seconds / self.knobs.speed)

    async def _perform(self, request: web.BaseRequest, job: _Job) -> web.StreamResponse:
        fault = job.fault
        if fault.action == "hang":
            # A future and no timer: virtual time would run through a timer at once.
            await asyncio.get_running_loop().create_future()
        if fault.action == "reset":
            return _reset(request)
        body = self._body(job) if fault.body is None else fault.body
        body = body.encode() if isinstance(body, str) else body
        content_type = _HTML if fault.action == "html" else _JSON
        response = _answer(fault.answer_status, body, content_type)
        response.headers.update(fault.answer_headers)
        if fault.action == "truncate":
            cut(response, body)
        return response

    def _body(self, job: _Job) -> bytes:
        fault = job.fault
        if fault.action == "html":
            return HTML
        if fault.action == "answer":
            return error_body(fault.answer_code, fault.message, fault.answer_filter)
        return encode(
            {
                "created": job.created,
                "data": self._data(job),
                "content_filter": [dict(item) for item in fault.answer_filter],
                # What real answers carry beside the page's fields.
                "id": job.request_id,
                "request_id": job.request_id,
            }
        )

    def _data(self, job: _Job) -> list[dict[str, str | None]]:
        if job.fault.action == "empty":
            return []
        if job.fault.action == "null_url":
            return [{"url": None}]
        link = self.host.link(job.order, job.request_id, job.fault, self.knobs.speed)
        return [{"url": link}]


def _answer(status: int, body: bytes, content_type: str = _JSON) -> web.Response:
    headers = {"Content-Type": content_type}
    return web.Response(status=status, body=body, headers=headers)


def _reset(request: web.BaseRequest) -> web.Response:
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()
    return web.Response()  # aiohttp asks for one, and nobody can read it any more
