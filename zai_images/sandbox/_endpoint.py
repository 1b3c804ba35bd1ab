"""What the API's origin does with a request, from its key to its answer."""

import asyncio
import random
import socket
import struct
import time
from typing import Final

import attrs
from aiohttp import web

from zai_images.sandbox._answers import (
    HTML,
    NOT_FOUND,
    error_body,
    new_request_id,
    status_of,
    success_body,
)
from zai_images.sandbox._bill import Bill, BillEntry
from zai_images.sandbox._document import DOCUMENT, PATH
from zai_images.sandbox._faults import Fault, FaultPlan
from zai_images.sandbox._limits import Places
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


@attrs.frozen(kw_only=True)
class _Job:
    """An order, what it is to meet, and what its answer will carry."""

    order: Order
    fault: Fault
    request_id: str = attrs.field(factory=new_request_id)
    created: int = attrs.field(factory=lambda: int(time.time()))


class Service:
    """
    Answer the endpoint.

    The order of the checks makes a free request cost nothing: the key, the JSON, the
    fields, then faults, and only then a place and the rate.
    """

    def __init__(  # noqa: PLR0913 - the parts of the service, put together in one place
        self,
        *,
        speed: float,
        api_key: str,
        places: Places,
        faults: FaultPlan,
        host: PictureHost,
        seed: int,
    ) -> None:
        self.speed = speed
        self.places = places
        self.faults = faults
        self.bill = Bill()
        self._api_key = api_key
        self._host = host
        self._random = random.Random(seed)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request at the API's origin."""
        if request.path == PATH and request.method in ("GET", "HEAD"):
            return _answer(200, DOCUMENT)
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
            raw = await _read(request)
        except ConnectionError:
            return web.Response()  # half a request, and nobody left to answer
        # From here to the admission nothing is awaited, so the counts always agree.
        self.bill.requests += 1
        number = self.bill.requests
        try:
            check_key(request.headers.get("Authorization"), self._api_key)
            check_encoding(request.headers.get("Content-Encoding"))
            order = read_order(request.content_type, raw)
        except RefusalError as refusal:
            self.bill.rejected += 1
            return await self._refuse(refusal.code, refusal.message)
        job = _Job(order=order, fault=self.faults.find(number, order.prompt))
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
        self._charge(job, now)
        try:
            await self._pause(job.fault.delay, _LATENCIES[job.order.quality])
        finally:
            # The answer is written in this same step of the loop: nobody can see
            # the place free before the answer, nor the answer before the place.
            self.places.free()
        return await self._perform(request, job)

    def _charge(self, job: _Job, now: float) -> None:
        entry = BillEntry(
            index=self.bill.total,
            request_id=job.request_id,
            prompt=job.order.prompt,
            model=job.order.model,
            quality=job.order.quality,
            size=job.order.size,
            user_id=job.order.user_id,
            body=job.order.body,
            at=now,
            outcome=job.fault.action,
        )
        self.bill.add(entry)

    async def _refuse(self, code: str, message: str | None = None) -> web.Response:
        await self._pause(None, _REFUSAL_LATENCY)
        return _answer(status_of(code), error_body(code, message))

    async def _pause(self, delay: float | None, usual: tuple[float, float]) -> None:
        seconds = self._random.uniform(*usual) if delay is None else delay
        await asyncio.sleep(seconds / self.speed)

    async def _perform(self, request: web.BaseRequest, job: _Job) -> web.StreamResponse:
        fault = job.fault
        if fault.action == "hang":
            # A future and no timer: virtual time would run through a timer at once.
            await asyncio.get_running_loop().create_future()
        if fault.action == "reset":
            return _reset(request)
        body = self._body(job)
        if fault.body is not None:
            given = fault.body
            body = given.encode() if isinstance(given, str) else given
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
        return success_body(
            created=job.created,
            request_id=job.request_id,
            data=self._data(job),
            content_filter=fault.answer_filter,
        )

    def _data(self, job: _Job) -> list[dict[str, str | None]]:
        if job.fault.action == "empty":
            return []
        if job.fault.action == "null_url":
            return [{"url": None}]
        link = self._host.link(job.order, job.request_id, job.fault, self.speed)
        return [{"url": link}]


async def _read(request: web.BaseRequest) -> bytes | None:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        return None


def _answer(status: int, body: bytes, content_type: str = _JSON) -> web.Response:
    return web.Response(
        status=status, body=body, headers={"Content-Type": content_type}
    )


def _reset(request: web.BaseRequest) -> web.Response:
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()
    return web.Response()  # aiohttp asks for one, and nobody can read it any more
