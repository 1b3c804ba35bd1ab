"""A canary key through calls cut short and crashes of others: it is seen nowhere."""

import asyncio
import contextlib
import gc
import warnings

import aiohttp
import pytest
from support.faults import FaultServer
from support.leak_cases import config, failing, seen, then
from support.leaks import of_error, of_object, warned

from zai_images import (
    BatchRunner,
    ImageRequest,
    ImageSession,
)

pytestmark = [
    pytest.mark.tried("kinds of failure that could show the key"),
    pytest.mark.usefixtures("logged"),
]


class End(BaseException):
    """Stand for what ends a process, and would end the loop of the test."""


async def in_flight(service):
    while not service.posts:
        await asyncio.sleep(0)


@pytest.mark.looptime
class TestOnTheWay:
    """Calls that are cut short, crashes of others, and objects that stay behind."""

    @pytest.fixture(autouse=True)
    async def service(self, environment):
        asyncio.get_running_loop().set_debug(True)
        async with FaultServer(then(b"", close=False)) as service:
            yield service

    async def test_cancelled_before_it_was_written(self, service):
        async with ImageSession(config(service.base_url)) as session:
            task = asyncio.create_task(session.generate("a fox"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task

        assert seen(of_error(caught.value)) == []

    async def test_cancelled_in_flight(self, service):
        async with ImageSession(config(service.base_url)) as session:
            task = asyncio.create_task(session.generate("a fox"))
            await in_flight(service)
            shown = [("task", repr(task)), ("tasks", repr(asyncio.all_tasks()))]
            task.cancel("stop")
            with pytest.raises(asyncio.CancelledError) as caught:
                await task

        assert seen(of_error(caught.value), shown) == []

    async def test_timed_out_by_the_caller(self, service):
        async with ImageSession(config(service.base_url)) as session:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(2):
                    await session.generate("a fox")

        assert seen(of_error(caught.value)) == []

    async def test_one_of_a_group(self, service):
        async with ImageSession(config(service.base_url)) as session:
            with pytest.raises(BaseExceptionGroup) as caught:
                async with asyncio.TaskGroup() as group:
                    group.create_task(session.generate("a fox"))
                    group.create_task(session.generate("a bear"))

        assert seen(of_error(caught.value)) == []

    async def test_a_crash_in_an_observer(self, service, logged):
        def crash(event):
            raise RuntimeError(f"on {event!r}")

        async with ImageSession(config(service.base_url), observer=crash) as session:
            with pytest.raises(Exception, match="sent") as caught:
                await session.generate("a fox")

        assert seen(of_error(caught.value)) == []
        assert any("An observer failed" in text for text in logged.texts)

    async def test_an_observer_that_ends_the_process(self, service):
        def end(event):
            if type(event).__name__ == "Sent":
                raise End(f"{event!r}")

        _, found = await failing(
            lambda: config(service.base_url), session_options={"observer": end}
        )

        assert found == [], found

    async def test_a_crash_within_aiohttp(self, service, monkeypatch):
        def crash(*_, **__):
            raise RuntimeError("of a library")

        monkeypatch.setattr(aiohttp.ClientResponse, "start", crash)
        _, found = await failing(config, base_url=service.base_url)

        assert found == [], found

    async def test_no_memory_within_aiohttp(self, service, monkeypatch):
        def crash(*_, **__):
            raise MemoryError

        monkeypatch.setattr(aiohttp.ClientRequest, "send", crash)
        _, found = await failing(config, base_url=service.base_url)

        assert found == [], found

    async def test_an_error_nobody_asked_for(self, service, logged):
        async def forget():
            async with ImageSession(config(service.base_url)) as session:
                asyncio.create_task(session.generate("a fox"))  # noqa: RUF006 - it is lost
                await asyncio.sleep(20)

        await forget()
        gc.collect()

        assert any("never retrieved" in text for text in logged.texts)

    async def test_a_session_that_was_never_closed(self, service):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")

            async def forget():
                session = ImageSession(config(service.base_url))
                with contextlib.suppress(Exception):
                    await session.generate("a fox")

            await forget()
            await asyncio.sleep(0)  # the connection's end is told in the next turn
            gc.collect()
            await asyncio.sleep(0)

        assert seen(warned(caught)) == []
        assert len(caught) > 0

    async def test_a_closed_session(self, service):
        session = ImageSession(config(service.base_url))
        await session.aclose()
        with pytest.raises(Exception, match="closed") as caught:
            await session.generate("a fox")

        assert seen(of_error(caught.value)) == []

    async def test_a_budget_that_is_used_up(self, service):
        _, found = await failing(
            config, base_url=service.base_url, session_options={"max_pictures": 0}
        )

        assert found == [], found

    async def test_a_batch_that_is_left(self, service):
        async with ImageSession(config(service.base_url)) as session:
            run = BatchRunner(session).run(ImageRequest(f"fox {n}") for n in range(9))
            async with run:
                await in_flight(service)
                shown = [("batch", repr(run)), ("left", repr(run.abandoned))]

        assert seen(shown, of_object(run)) == []

    @pytest.mark.parametrize("kind", ["open", "closed", "not one"])
    async def test_a_borrowed_session(self, kind, service):
        async with aiohttp.ClientSession() as http:
            if kind == "closed":
                await http.close()
            given = object() if kind == "not one" else http
            _, found = await failing(config, base_url=service.base_url, http=given)

        assert found == [], found
