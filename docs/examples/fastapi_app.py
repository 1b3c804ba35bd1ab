"""
Pictures for people and in bulk, from one session inside FastAPI.

`uvicorn fastapi_app:app` serves it; docs/services.md explains it.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

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


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Studio]]:
    """Open the process's one session, and close it when nothing runs any more."""
    async with (
        ImageSession(observer=tell) as session,
        aclosing(Studio(session)) as studio,
    ):
        yield {"studio": studio}


app = FastAPI(lifespan=lifespan)


async def the_studio(request: Request) -> Studio:
    """Find what the lifespan opened."""
    studio: Studio = request.state.studio
    return studio


Here = Annotated[Studio, Depends(the_studio)]


class Order(BaseModel):
    """What a client may ask for; `deadline` is when the answer is of use (seconds)."""

    prompt: str
    size: str | None = None
    quality: str | None = None
    deadline: float = Field(default=30, ge=0, le=300)


@app.post("/pictures")
async def make(order: Order, request: Request, studio: Here) -> Response:
    """Answer with the picture, or with its link where the client accepts JSON."""
    due = asyncio.get_running_loop().time() + order.deadline
    name = uuid4().hex
    wanted = ImageRequest(order.prompt, size=order.size, quality=order.quality, id=name)
    max_wait = max(0.0, order.deadline - IN_SERVICE[str(wanted.quality)])
    await while_connected(request, studio.make(wanted, max_wait))
    if request.headers.get("Accept") == "application/json":
        return JSONResponse({"id": name, "url": studio.kept[name].url})
    return await deliver(studio, name, due)


@app.get("/pictures/{name}")
async def fetch(name: str, studio: Here) -> Response:
    """Answer with a picture that was made before; fetching it again is free."""
    if name not in studio.kept:
        raise HTTPException(404, "There is no such picture (yet).")
    return await deliver(studio, name, asyncio.get_running_loop().time() + 30)


async def deliver(studio: Studio, name: str, due: float) -> Response:
    """Fetch a paid picture until it is due; after that it can still be asked for."""
    try:
        async with asyncio.timeout_at(due):
            picture = await studio.session.download(studio.kept[name])
    except (DownloadError, TimeoutError):
        log.warning("picture %s is paid and kept, and was not fetched yet", name)
        return JSONResponse(
            {"id": name, "detail": "The picture is made. Fetch it at its Location."},
            status_code=202,
            headers={"Location": f"/pictures/{name}", "Retry-After": "10"},
        )
    return Response(
        picture.data,
        media_type=picture.media_type,
        headers={"Content-Location": f"/pictures/{name}"},
    )


async def while_connected(request: Request, work: Coroutine[Any, Any, None]) -> None:
    """Do `work`, cancelled when the client leaves; by itself FastAPI would go on."""

    async def until_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task = asyncio.create_task(work)
    watch = asyncio.create_task(until_gone())
    watch.add_done_callback(lambda _: task.cancel())
    try:
        await task
    except asyncio.CancelledError:
        if not watch.done():
            raise  # it is the server that ends
        raise HTTPException(499, "The client has left.") from None
    finally:
        watch.cancel()


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


@app.exception_handler(ZaiImagesError)
async def on_error(_: Request, error: ZaiImagesError) -> JSONResponse:
    """Answer for every error that an endpoint lets through."""
    status, body, headers = explain(error)
    return JSONResponse(body, status, headers)


class Bulk(BaseModel):
    """Many prompts, made as places come free."""

    prompts: list[str] = Field(min_length=1, max_length=10_000)


@app.post("/bulk", status_code=202)
async def start(bulk: Bulk, studio: Here) -> dict[str, list[str]]:
    """Start a bulk; its pictures can be fetched under these names as they come."""
    requests = [ImageRequest(prompt, id=uuid4().hex) for prompt in bulk.prompts]
    studio.start(requests)
    return {"ids": [str(request.id) for request in requests]}


@app.get("/stats")
async def stats(studio: Here) -> dict[str, Any]:
    """Say what was made, and what may have been paid for without a picture."""
    now = studio.session.stats()
    return {
        "pictures": now.pictures,
        "maybe_billed": now.maybe_billed,
        "cost": now.cost,
        "in_flight": sum(model.in_flight for model in now.models.values()),
    }
