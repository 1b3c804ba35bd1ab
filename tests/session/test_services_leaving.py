"""Clients that leave a FastAPI service lose no paid picture: really served and left."""

import asyncio
import contextlib
from types import SimpleNamespace

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware
from support.clients import client, plain

from zai_images import events

# A sleep moves the virtual clock, and waits for nothing.
pytestmark = pytest.mark.looptime

PATHS = ["/watched", "/streamed"]
# Behind a BaseHTTPMiddleware, Starlette's is_disconnected never says yes.
WAYS = [("/watched", False), ("/streamed", False), ("/streamed", True)]


def make_app(session, *, middleware: bool) -> FastAPI:
    """Serve pictures in the ways in which a client's leaving cancels the work."""
    app = FastAPI()

    @app.get("/watched")
    async def watched(request: Request, prompt: str) -> Response:
        work = asyncio.create_task(session.generate_picture(prompt))

        async def watch() -> None:
            while not await request.is_disconnected():
                await asyncio.sleep(0.1)
            work.cancel()

        watching = asyncio.create_task(watch())
        try:
            return Response((await work).data, media_type="image/png")
        except asyncio.CancelledError:
            return Response(status_code=499)
        finally:
            watching.cancel()

    @app.get("/streamed")
    async def streamed(prompt: str) -> StreamingResponse:
        async def parts():
            yield (await session.generate_picture(prompt)).data

        return StreamingResponse(parts(), media_type="image/png")

    if middleware:

        async def pass_on(request, call_next):
            return await call_next(request)

        app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    return app


@contextlib.asynccontextmanager
async def serving(*, middleware: bool = False, **sandbox):
    """Serve with a sandbox behind it; what the session was told is in `told`."""
    told: list[events.Event] = []
    async with plain(**sandbox) as box:
        session = client(box, finish_cancelled=True, observer=told.append)
        async with session:
            app = make_app(session, middleware=middleware)
            server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
            running = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0)
            port = server.servers[0].sockets[0].getsockname()[1]
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
                yield SimpleNamespace(box=box, session=session, told=told, http=http)
            server.should_exit = True
            await running


async def ask(http: aiohttp.ClientSession, path: str, prompt: str) -> bytes:
    async with http.get(path, params={"prompt": prompt}) as response:
        return await response.read()


def rescued(service) -> list[events.Rescued]:
    return [one for one in service.told if isinstance(one, events.Rescued)]


@pytest.mark.parametrize(("path", "middleware"), WAYS)
async def test_a_client_that_leaves_loses_no_paid_picture(path, middleware):
    async with serving(middleware=middleware) as service:
        leaving = asyncio.create_task(ask(service.http, path, "a fox"))
        await asyncio.sleep(2)
        leaving.cancel()
        staying = await ask(service.http, path, "a cat")

    stats = service.session.stats()
    (saved,) = rescued(service)
    assert saved.request.prompt == "a fox"
    assert saved.picture.data.startswith(b"\x89PNG")
    assert staying.startswith(b"\x89PNG")
    assert (stats.billed, stats.maybe_billed) == (service.box.bill.total, 0) == (2, 0)
    assert not [one for one in service.told if isinstance(one, events.Abandoned)]


async def test_of_many_clients_that_leave_at_any_time_each_paid_picture_is_told():
    async with serving(limit=10) as service:
        asked = [
            asyncio.create_task(ask(service.http, PATHS[n % 2], f"fox {n}"))
            for n in range(60)
        ]
        for one in asked[::3] + asked[1::3]:
            await asyncio.sleep(0.5)
            one.cancel()
        ended = await asyncio.gather(*asked, return_exceptions=True)

    stats = service.session.stats()
    got = {n for n, one in enumerate(ended) if isinstance(one, bytes)}
    told = {int(one.request.prompt.split()[1]) for one in rescued(service)}
    bill = {int(entry.prompt.split()[1]) for entry in service.box.bill.entries}
    assert got | told == bill
    assert told
    assert service.box.bill.total == len(bill)
    assert (stats.billed, stats.maybe_billed) == (service.box.bill.total, 0)
