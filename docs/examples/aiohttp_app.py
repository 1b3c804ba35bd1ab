"""
Pictures for people and in bulk, from one session inside an aiohttp server.

`python aiohttp_app.py` serves it; docs/services.md explains it.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler

from zai_images import (
    BatchRun,
    BatchRunner,
    BusyError,
    ConnectError,
    ContentRefusedError,
    Done,
    DownloadError,
    Failed,
    ImageRequest,
    ImageResponse,
    ImageSession,
    InvalidRequestError,
    RateLimitedError,
    RequestRejectedError,
    ZaiImagesError,
    events,
)

log = logging.getLogger("pictures")

IN_SERVICE = {"standard": 10.0, "hd": 20.0}  # seconds a picture takes, by quality


class Studio:
    """Hold what a process has one of: the session, and the pictures it paid for."""

    def __init__(self, session: ImageSession) -> None:
        self.session = session
        self.kept: dict[str, ImageResponse] = {}  # in earnest a table; links live 30 d
        self._bulk: dict[BatchRun, asyncio.Task[None]] = {}

    async def make(self, wanted: ImageRequest, max_wait: float) -> None:
        """Have one picture made, and keep its link before anything else happens."""
        response = await self.session.generate(wanted, max_wait=max_wait)
        self.kept[str(wanted.id)] = response
        log.info("picture %s is made, and its link is kept", wanted.id)

    def start(self, requests: list[ImageRequest]) -> None:
        """Make many pictures in the background, behind the single ones."""
        run = BatchRunner(self.session).run(requests)
        self._bulk[run] = asyncio.create_task(self._work(run))

    async def _work(self, run: BatchRun) -> None:
        try:
            async with run:
                async for outcome in run:
                    match outcome:
                        case Done(request=request, response=response):
                            self.kept[str(request.id)] = response
                        case Failed(request=ImageRequest(id=name), error=error):
                            log.warning("picture %s of a bulk: %s", name, error)
        except ZaiImagesError as error:
            log.critical("a bulk was stopped: %s", error)
        finally:
            del self._bulk[run]
            log.info("a bulk ended: %s", run.summary)

    async def aclose(self) -> None:
        """Send nothing new of the bulk, and wait for what is in service."""
        for run in self._bulk:
            run.stop()
        await asyncio.gather(*self._bulk.values())


def tell(event: events.Event) -> None:
    """Log what was paid, or may have been, and reached nobody."""
    if isinstance(event, events.Abandoned):
        wanted, billed = event.request.id, event.billed
        log.warning("picture %s was given up in service (billed: %s)", wanted, billed)


STUDIO = web.AppKey("studio", Studio)
routes = web.RouteTableDef()


async def open_studio(app: web.Application) -> AsyncIterator[None]:
    """Open the process's one session, and close it when nothing runs any more."""
    async with (
        ImageSession(observer=tell) as session,
        aclosing(Studio(session)) as studio,
    ):
        app[STUDIO] = studio
        yield


async def read(request: web.Request) -> dict[str, Any]:
    """Read the JSON object that a client sent."""
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="Send a JSON object.")
    return body


@routes.post("/pictures")
async def make(request: web.Request) -> web.Response:
    """Answer with the picture, or with its link where the client accepts JSON."""
    studio, order = request.app[STUDIO], await read(request)
    deadline = order.get("deadline", 30)
    if type(deadline) not in (int, float) or not 0 <= deadline <= 300:
        raise web.HTTPUnprocessableEntity(text="deadline: 0 to 300 seconds")
    due = asyncio.get_running_loop().time() + deadline
    name = uuid4().hex
    wanted = ImageRequest(
        order.get("prompt", ""),
        size=order.get("size"),
        quality=order.get("quality"),
        id=name,
    )
    max_wait = max(0.0, deadline - IN_SERVICE[str(wanted.quality)])
    await studio.make(wanted, max_wait)  # cancelled when the client leaves
    if request.headers.get("Accept") == "application/json":
        return web.json_response({"id": name, "url": studio.kept[name].url})
    return await deliver(studio, name, due)


@routes.get("/pictures/{name}")
async def fetch(request: web.Request) -> web.Response:
    """Answer with a picture that was made before; fetching it again is free."""
    studio, name = request.app[STUDIO], request.match_info["name"]
    if name not in studio.kept:
        raise web.HTTPNotFound(text="There is no such picture (yet).")
    return await deliver(studio, name, asyncio.get_running_loop().time() + 30)


async def deliver(studio: Studio, name: str, due: float) -> web.Response:
    """Fetch a paid picture until it is due; after that it can still be asked for."""
    try:
        async with asyncio.timeout_at(due):
            picture = await studio.session.download(studio.kept[name])
    except (DownloadError, TimeoutError):
        log.warning("picture %s is paid and kept, and was not fetched yet", name)
        return web.json_response(
            {"id": name, "detail": "The picture is made. Fetch it at its Location."},
            status=202,
            headers={"Location": f"/pictures/{name}", "Retry-After": "10"},
        )
    return web.Response(
        body=picture.data,
        content_type=picture.media_type,
        headers={"Content-Location": f"/pictures/{name}"},
    )


def explain(error: ZaiImagesError) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Say what a client may know of an error: the status, the body, the headers."""
    headers = {}
    match error:
        case InvalidRequestError() | ContentRefusedError() | RequestRejectedError():
            status, detail = 422, str(error)
        case BusyError() | RateLimitedError() | ConnectError():
            status, detail = 503, "No place is free. Nothing was billed; come again."
            asked = getattr(error, "retry_after", None)
            headers["Retry-After"] = str(math.ceil(asked or IN_SERVICE["standard"]))
        case _ if error.stops != "nothing":  # the key, the balance, a quota, a cap
            log.critical("no pictures until somebody acts: %s", error)
            status, detail = 503, "No pictures can be made at the moment."
        case _:
            log.error("no picture came back: %s", error)
            status, detail = 502, "No picture came back, but it may have been billed."
    body: dict[str, Any] = {"detail": detail, "billed": error.billed}
    if isinstance(error, ContentRefusedError):
        found = [{"role": one.role, "level": one.level} for one in error.content_filter]
        body["content_filter"] = found
    return status, body, headers


@web.middleware
async def on_error(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer for every error that a handler lets through."""
    try:
        return await handler(request)
    except ZaiImagesError as error:
        status, body, headers = explain(error)
        return web.json_response(body, status=status, headers=headers)


@routes.post("/bulk")
async def start(request: web.Request) -> web.Response:
    """Start a bulk; its pictures can be fetched under these names as they come."""
    prompts = (await read(request)).get("prompts")
    if not isinstance(prompts, list) or not 1 <= len(prompts) <= 10_000:
        raise web.HTTPUnprocessableEntity(text="prompts: a list of 1 to 10000")
    requests = [ImageRequest(prompt, id=uuid4().hex) for prompt in prompts]
    request.app[STUDIO].start(requests)
    return web.json_response({"ids": [one.id for one in requests]}, status=202)


@routes.get("/stats")
async def stats(request: web.Request) -> web.Response:
    """Say what was made, and what may have been paid for without a picture."""
    now = request.app[STUDIO].session.stats()
    return web.json_response(
        {
            "pictures": now.pictures,
            "maybe_billed": now.maybe_billed,
            "cost": now.cost,
            "in_flight": sum(model.in_flight for model in now.models.values()),
        }
    )


def make_app() -> web.Application:
    """Put the application together."""
    app = web.Application(middlewares=[on_error])
    app.cleanup_ctx.append(open_studio)
    app.add_routes(routes)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), handler_cancellation=True, shutdown_timeout=60)
