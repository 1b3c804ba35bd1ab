"""A service of its own process: clients leave it, and it is told to end in between."""

import asyncio
import json
import os
import random
import signal
import sys

import aiohttp
import pytest
from support.clients import plain
from support.processes import unmeasured

SERVICE = """
import asyncio, contextlib, json, os, sys
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
import uvicorn
from zai_images import ImageSession, SessionConfig, events

def write(kind, **fields):
    print(json.dumps({"kind": kind} | fields), flush=True)

def tell(event):
    if isinstance(event, events.Rescued):
        fetched = event.picture is not None
        write("rescued", prompt=event.request.prompt, fetched=fetched)
    if isinstance(event, events.Abandoned):
        write("abandoned", prompt=event.request.prompt)

@contextlib.asynccontextmanager
async def lifespan(_):
    config = SessionConfig.from_env(finish_cancelled=True)
    async with ImageSession(config, observer=tell) as session:
        yield {"session": session}
    stats = session.stats()
    write("stats", billed=stats.billed, maybe=stats.maybe_billed)

app = FastAPI(lifespan=lifespan)

@app.get("/streamed")
async def streamed(request: Request, prompt: str):
    async def parts():
        yield (await request.state.session.generate_picture(prompt)).data
    return StreamingResponse(parts(), media_type="image/png")

@app.get("/watched")
async def watched(request: Request, prompt: str):
    work = asyncio.create_task(request.state.session.generate_picture(prompt))

    async def watch():
        while not await request.is_disconnected():
            await asyncio.sleep(0.05)
        work.cancel()

    watching = asyncio.create_task(watch())
    try:
        return Response((await work).data, media_type="image/png")
    except asyncio.CancelledError:
        work.cancel()  # the server's own end cancels this handler
        raise
    finally:
        watching.cancel()

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        write("port", port=self.servers[0].sockets[0].getsockname()[1])

config = uvicorn.Config(app, port=0, timeout_graceful_shutdown=1, log_level="critical")
Server(config).run()
"""


async def ask(http: aiohttp.ClientSession, path: str, prompt: str) -> bytes:
    async with http.get(path, params={"prompt": prompt}) as response:
        response.raise_for_status()
        return await response.read()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [12, 13, 14])
async def test_no_paid_picture_is_lost_by_clients_that_leave_nor_by_the_services_end(
    seed, tmp_path
):
    chance = random.Random(seed)
    program = tmp_path / "service.py"
    program.write_text(SERVICE)
    async with plain(limit=8, speed=5) as box:
        service = await asyncio.create_subprocess_exec(
            sys.executable,
            str(program),
            stdout=asyncio.subprocess.PIPE,
            env=unmeasured()
            | {"ZAI_API_KEY": box.api_key, "ZAI_BASE_URL": box.base_url},
        )
        try:
            port = json.loads(await service.stdout.readline())["port"]
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
                asked = [
                    asyncio.create_task(
                        ask(http, chance.choice(["/streamed", "/watched"]), f"fox {n}")
                    )
                    for n in range(60)
                ]
                for one in chance.sample(asked, 30):
                    await asyncio.sleep(chance.random() * 0.2)
                    one.cancel()
                os.kill(service.pid, signal.SIGTERM)  # others are still being served
                ended = await asyncio.gather(*asked, return_exceptions=True)
            said, _ = await service.communicate()
        finally:
            if service.returncode is None:
                service.kill()
                await service.wait()

    told = [json.loads(line) for line in said.splitlines()]
    (stats,) = [one for one in told if one["kind"] == "stats"]
    rescued = {one["prompt"] for one in told if one["kind"] == "rescued"}
    got = {f"fox {n}" for n, one in enumerate(ended) if isinstance(one, bytes) and one}
    billed = [entry.prompt for entry in box.bill.entries]
    assert len(billed) == len(set(billed))
    assert got | rescued == set(billed)
    assert all(one["fetched"] for one in told if one["kind"] == "rescued")
    assert rescued
    assert got
    assert not [one for one in told if one["kind"] == "abandoned"]
    assert (stats["billed"], stats["maybe"]) == (box.bill.total, 0)
