"""The session inside web services: the examples of docs/services.md, really served."""

import ast
import asyncio
import contextlib
import importlib.util
import logging
import re
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
import uvicorn
from aiohttp import web
from support.keys import KEY

from zai_images import ImageSession, SessionConfig, events
from zai_images.sandbox import Sandbox

DOCS = Path(__file__).parents[2] / "docs"


MODEL = "cogview-4-250304"


both = pytest.mark.parametrize("kind", ["fastapi", "aiohttp"])


def load(kind: str):
    """Run an example's file, afresh for each test."""
    path = DOCS / "examples" / f"{kind}_app.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.asynccontextmanager
async def fastapi(module):
    config = uvicorn.Config(module.app, port=0, log_config=None, log_level="debug")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def aiohttp_server(module):
    runner = web.AppRunner(module.make_app(), handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


SERVERS = {"fastapi": fastapi, "aiohttp": aiohttp_server}


class Client:
    """Call a service, and see to it that it never shows the key."""

    def __init__(self, port: int) -> None:
        self._http = aiohttp.ClientSession(f"http://127.0.0.1:{port}")

    async def call(self, method: str, path: str, body=None, **headers):
        async with self._http.request(
            method, path, json=body, headers=headers
        ) as response:
            data = await response.read()
        assert KEY.encode() not in data
        assert KEY not in str(response.headers)
        is_json = response.content_type == "application/json"
        return SimpleNamespace(
            status=response.status,
            headers=response.headers,
            data=data,
            json=await response.json() if is_json else None,
        )

    async def order(self, prompt="a fox", **fields):
        return await self.call("POST", "/pictures", {"prompt": prompt, **fields})

    async def aclose(self) -> None:
        await self._http.close()


@contextlib.asynccontextmanager
async def serving(kind, monkeypatch, *, settings=None, **sandbox):
    """Serve an example on a socket, against a sandbox of its own."""
    module = load(kind)
    sessions: list[ImageSession] = []
    told: list[events.Event] = []

    def opened(*, observer):
        config = SessionConfig.from_env(**(settings or {}))
        observer = events.fan_out(observer, told.append)
        sessions.append(ImageSession(config, observer=observer))
        return sessions[-1]

    monkeypatch.setattr(module, "ImageSession", opened)
    async with Sandbox(api_key=KEY, pictures="plain", **sandbox) as box:
        monkeypatch.setenv("ZAI_API_KEY", box.api_key)
        monkeypatch.setenv("ZAI_BASE_URL", box.base_url)
        async with (
            SERVERS[kind](module) as port,
            contextlib.aclosing(Client(port)) as client,
        ):
            yield SimpleNamespace(
                client=client, port=port, box=box, sessions=sessions, told=told
            )


@pytest.fixture
def logs(caplog):
    """Keep every line of the log; neither key nor signature may be in one."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    records = caplog.get_records("call")
    shown = "\n".join(logging.Formatter().format(record) for record in records)
    assert "HTTP/1.1" in shown
    assert KEY not in shown
    assert "Signature=" not in shown


def alerts(logs) -> list[str]:
    return [one.message for one in logs.records if one.levelname == "CRITICAL"]


def errors(logs) -> list[str]:
    return [one.message for one in logs.records if one.levelname == "ERROR"]


@pytest.mark.looptime
@pytest.mark.usefixtures("logs")
@both
class TestOnePicture:
    async def test_one_session_serves_every_request_and_is_closed_at_the_end(
        self, kind, monkeypatch
    ):
        async with serving(kind, monkeypatch) as service:
            calls = (service.client.order(f"fox {n}", deadline=300) for n in range(3))
            answers = await asyncio.gather(*calls)

        (session,) = service.sessions
        assert [answer.status for answer in answers] == [200] * 3
        assert {answer.headers["Content-Type"] for answer in answers} == {"image/png"}
        assert all(answer.data.startswith(b"\x89PNG") for answer in answers)
        assert session.stats().pictures == 3
        assert "closed" in repr(session)

    async def test_the_link_alone_is_for_who_accepts_json(self, kind, monkeypatch):
        async with serving(kind, monkeypatch) as service:
            answer = await service.client.call(
                "POST", "/pictures", {"prompt": "a fox"}, Accept="application/json"
            )
            again = await service.client.call("GET", f"/pictures/{answer.json['id']}")

            assert answer.json["url"].startswith("http://127.0.0.1")
            assert len(service.box.picture_requests) == 1
            assert again.data.startswith(b"\x89PNG")
            assert service.box.bill.total == 1

    async def test_an_unknown_picture_is_404(self, kind, monkeypatch):
        async with serving(kind, monkeypatch) as service:
            assert (await service.client.call("GET", "/pictures/none")).status == 404


@pytest.mark.looptime
@both
class TestErrors:
    async def test_a_deadline_that_cannot_be_kept_is_503_and_free(
        self, kind, monkeypatch, logs
    ):
        one = {"max_in_flight": 1}
        async with serving(kind, monkeypatch, settings=one) as service:
            service.box.next(action="picture", delay=60)
            first = asyncio.create_task(service.client.order("a fox", deadline=100))
            await asyncio.sleep(1)
            begun = asyncio.get_running_loop().time()
            answer = await service.client.order("a cat", deadline=30)
            waited = asyncio.get_running_loop().time() - begun
            assert (await first).status == 200

            assert answer.status == 503
            assert answer.json["billed"] == "no"
            assert answer.headers["Retry-After"] == "10"
            assert waited == pytest.approx(20, abs=1)  # of 30 s, 10 are for the picture
            assert service.box.requests == 1
            assert not alerts(logs)

    async def test_what_the_service_asks_for_is_passed_on(
        self, kind, monkeypatch, logs
    ):
        async with serving(kind, monkeypatch) as service:
            service.box.next(code="1302", headers={"Retry-After": "40"})
            answer = await service.client.order(deadline=30)

            assert (answer.status, answer.headers["Retry-After"]) == (503, "40")
            assert service.box.bill.total == 0

    @pytest.mark.parametrize(
        ("order", "says"),
        [
            ({"size": "1000x1000"}, "992x992"),
            ({"quality": "best"}, "standard"),
            ({"prompt": " "}, "empty"),
            ({"prompt": 5}, "prompt"),
            ({"deadline": -1}, "deadline"),
            ({"deadline": "soon"}, "deadline"),
        ],
    )
    async def test_a_bad_order_is_422_and_reaches_nobody(
        self, kind, monkeypatch, logs, order, says
    ):
        async with serving(kind, monkeypatch) as service:
            answer = await service.client.order(**order)

            assert answer.status == 422
            assert says in answer.data.decode()
            assert service.box.requests == 0

    async def test_a_refused_prompt_is_422_and_says_which_side(
        self, kind, monkeypatch, logs
    ):
        async with serving(kind, monkeypatch) as service:
            service.box.next(code="1301")
            answer = await service.client.order()

            assert answer.status == 422
            assert answer.json["billed"] == "no"
            assert answer.json["content_filter"] == [{"role": "user", "level": 1}]

    @pytest.mark.parametrize("code", ["1000", "1113", "1308"])
    async def test_what_needs_a_person_is_503_and_an_alert(
        self, kind, monkeypatch, logs, code
    ):
        async with serving(kind, monkeypatch) as service:
            service.box.next(code=code)
            answer = await service.client.order()

            assert answer.status == 503
            assert "Retry-After" not in answer.headers
            assert code not in answer.data.decode()  # our account is not their business
            (alert,) = alerts(logs)
            assert code in alert

    @pytest.mark.parametrize(
        "fault",
        [
            {"code": "1234", "times": 2},
            {"action": "reset"},
            {"action": "html"},
            {"action": "empty"},
        ],
    )
    async def test_what_may_be_paid_without_a_picture_is_502(
        self, kind, monkeypatch, logs, fault
    ):
        async with serving(kind, monkeypatch) as service:
            service.box.next(**fault)
            answer = await service.client.order()
            stats = await service.client.call("GET", "/stats")

            assert answer.status == 502
            assert answer.json["billed"] == "maybe"
            assert "may have been billed" in answer.json["detail"]
            assert stats.json["maybe_billed"] == fault.get("times", 1)
            assert len(errors(logs)) == 1

    async def test_a_picture_that_cannot_be_fetched_in_time_is_kept(
        self, kind, monkeypatch, logs
    ):
        async with serving(kind, monkeypatch) as service:
            service.box.next(action="missing_picture", seconds=45)
            answer = await service.client.order(deadline=15)
            assert answer.status == 202
            soon = await service.client.call("GET", answer.headers["Location"])
            assert soon.status == 202
            late = await service.client.call("GET", answer.headers["Location"])

            assert late.status == 200
            assert late.data.startswith(b"\x89PNG")
            assert service.box.bill.total == 1


@pytest.mark.looptime
@both
class TestClientsWhoLeave:
    async def test_leaving_while_waiting_for_a_place_is_free(
        self, kind, monkeypatch, logs
    ):
        one = {"max_in_flight": 1}
        async with serving(kind, monkeypatch, settings=one) as service:
            service.box.next(action="picture", delay=60)
            first = asyncio.create_task(service.client.order("a fox", deadline=100))
            await asyncio.sleep(1)
            second = asyncio.create_task(service.client.order("a cat", deadline=200))
            await asyncio.sleep(1)
            second.cancel()
            assert (await first).status == 200

            # The place is free, and whoever comes next gets it.
            assert (await service.client.order("a dog")).status == 200
            prompts = [entry.prompt for entry in service.box.bill.entries]
            assert prompts == ["a fox", "a dog"]
            assert service.sessions[0].stats().maybe_billed == 0
            assert not [e for e in service.told if isinstance(e, events.Abandoned)]
            assert not errors(logs)

    async def test_leaving_while_in_service_is_counted_and_told(
        self, kind, monkeypatch, logs
    ):
        async with serving(kind, monkeypatch) as service:
            call = asyncio.create_task(service.client.order())
            await asyncio.sleep(2)
            call.cancel()
            await asyncio.sleep(1)

            (lost,) = [e for e in service.told if isinstance(e, events.Abandoned)]
            stats = await service.client.call("GET", "/stats")
            expected = {"pictures": 0, "maybe_billed": 1, "cost": None, "in_flight": 0}
            assert service.box.bill.total == 1
            assert (lost.request.prompt, lost.billed) == ("a fox", "maybe")
            assert stats.json | {"cost": None} == expected
            assert f"picture {lost.request.id} was given up" in logs.text
            assert not errors(logs)

    async def test_leaving_during_the_download_keeps_the_link(
        self, kind, monkeypatch, logs
    ):
        async with serving(kind, monkeypatch) as service:
            service.box.next(action="missing_picture", delay=1, fetches=1)
            call = asyncio.create_task(service.client.order())
            while not service.box.picture_requests:
                await asyncio.sleep(0.1)
            call.cancel()
            name = re.search(r"picture (\w+) is made", logs.text)[1]
            kept = await service.client.call("GET", f"/pictures/{name}")

            assert kept.data.startswith(b"\x89PNG")
            assert service.box.bill.total == 1


@pytest.mark.looptime
@both
class TestBulk:
    async def test_a_single_call_goes_ahead_of_a_bulk(self, kind, monkeypatch, logs):
        one = {"max_in_flight": 1}
        async with serving(kind, monkeypatch, settings=one) as service:
            prompts = [f"bulk {n}" for n in range(4)]
            bulk = await service.client.call("POST", "/bulk", {"prompts": prompts})
            await asyncio.sleep(1)
            assert service.box.in_flight == 1
            answer = await service.client.order("a fox", deadline=30)
            assert answer.status == 200
            while service.sessions[0].stats().pictures < 5:
                await asyncio.sleep(1)

            order = [entry.prompt for entry in service.box.bill.entries]
            assert order == ["bulk 0", "a fox", "bulk 1", "bulk 2", "bulk 3"]
            assert bulk.status == 202
            for name in bulk.json["ids"]:
                found = await service.client.call("GET", f"/pictures/{name}")
                assert found.data.startswith(b"\x89PNG")

    async def test_one_bad_prompt_of_a_bulk_is_told(self, kind, monkeypatch, logs):
        async with serving(kind, monkeypatch) as service:
            service.box.fail("b")
            body = {"prompts": ["a", "b", "c"]}
            bulk = await service.client.call("POST", "/bulk", body)
            while service.sessions[0].stats().pictures < 2:
                await asyncio.sleep(1)

            assert f"picture {bulk.json['ids'][1]} of a bulk" in logs.text
            assert (await service.client.call("POST", "/bulk", {})).status == 422

    async def test_an_empty_balance_stops_a_bulk_with_an_alert(
        self, kind, monkeypatch, logs
    ):
        async with serving(kind, monkeypatch) as service:
            service.box.next(code="1113", times=None)
            body = {"prompts": ["a"] * 50}
            assert (await service.client.call("POST", "/bulk", body)).status == 202
            while not alerts(logs):
                await asyncio.sleep(1)

            assert service.box.requests < 5
            assert "1113" in alerts(logs)[0]

    async def test_a_shutdown_drains_what_is_in_service_and_leaves_nothing(
        self, kind, monkeypatch, logs
    ):
        two = {"max_in_flight": 2, "adaptive": False}
        before = asyncio.all_tasks()
        async with serving(kind, monkeypatch, settings=two) as service:
            prompts = [f"bulk {n}" for n in range(10)]
            bulk = await service.client.call("POST", "/bulk", {"prompts": prompts})
            await asyncio.sleep(2)
            assert service.box.in_flight == 2
            box = service.box

        (session,) = service.sessions
        assert len(bulk.json["ids"]) == 10
        assert box.bill.total == session.stats().pictures == 2
        assert session.stats().maybe_billed == 0
        assert "closed" in repr(session)
        assert asyncio.all_tasks() == before

    async def test_a_shutdown_waits_for_a_single_call_too(
        self, kind, monkeypatch, logs
    ):
        async with contextlib.AsyncExitStack() as stack:
            async with serving(kind, monkeypatch) as service:
                client = Client(service.port)
                stack.push_async_callback(client.aclose)
                call = asyncio.create_task(client.order())
                await asyncio.sleep(2)

            assert (await call).data.startswith(b"\x89PNG")
            assert service.sessions[0].stats().maybe_billed == 0


def blocks(section: str) -> list[list[str]]:
    """Read the code of a section of the page, as lines that are not empty."""
    text = (DOCS / "services.md").read_text()
    (_, part) = text.split(f"\n## {section}\n")
    found = re.findall(
        r"^```python\n(.*?)^```$", part.split("\n## ")[0], re.DOTALL | re.MULTILINE
    )
    return [lines(block) for block in found]


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def source(kind: str) -> str:
    return (DOCS / "examples" / f"{kind}_app.py").read_text()


def test_the_page_shows_the_whole_file_for_fastapi():
    shown = [line for block in blocks("FastAPI") for line in block]

    assert shown == lines(source("fastapi"))


def test_the_page_shows_excerpts_of_the_file_for_aiohttp():
    whole = "\n".join(lines(source("aiohttp")))

    assert len(blocks("aiohttp")) >= 4
    for block in blocks("aiohttp"):
        assert "\n".join(block) in whole


def test_what_both_files_share_is_the_same():
    def definitions(kind: str) -> dict[str, str]:
        tree = ast.parse(source(kind))
        return {
            node.name: ast.unparse(node) for node in tree.body if hasattr(node, "name")
        }

    fastapi, aiohttp = definitions("fastapi"), definitions("aiohttp")
    for name in ("Studio", "tell", "explain"):
        assert fastapi[name] == aiohttp[name]
