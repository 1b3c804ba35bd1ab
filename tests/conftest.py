"""Fixtures of every ring, and the cure for aioresponses on aiohttp 3.14."""

import asyncio
import inspect
import itertools
import os
import resource
from collections.abc import Iterator
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import StreamReader
from support.loops import LOOPS

pytest_plugins = ["support.judge.fixtures", "support.tried", "support.world.fixtures"]

_numbers = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--loop",
        choices=["asyncio", *LOOPS],
        default="asyncio",
        help="what asynchronous tests run on; under uvloop there is no virtual time",
    )


def pytest_asyncio_loop_factories(config: pytest.Config) -> dict[str, object]:
    """Run every test on the one loop that was asked for."""
    name = config.getoption("loop")
    return {name: LOOPS.get(name, asyncio.new_event_loop)}


def pytest_configure() -> None:
    """
    Say that there is no loop before there is one.

    Else looptime, asking for the loop of a plain test, has asyncio make one that nobody
    closes.
    """
    asyncio.set_event_loop(None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run one worker more than there are processors: some tests wait, not work."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def _aioresponses_compat(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Let aioresponses make responses of aiohttp 3.14, whose constructor has grown.

    The second part lifts a read limit that its reader, which has no transport to
    pause, would trip over at 128 KiB.
    """
    if "stream_writer" not in inspect.signature(aiohttp.ClientResponse).parameters:
        return

    class Compat(aiohttp.ClientResponse):
        def __init__(self, *args: object, **kwargs: object) -> None:
            kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
            super().__init__(*args, **kwargs)

    def reader(loop: asyncio.AbstractEventLoop | None = None) -> StreamReader:
        return StreamReader(ResponseHandler(loop=loop), limit=2**40, loop=loop)

    monkeypatch.setattr("aioresponses.core.ClientResponse", Compat)
    monkeypatch.setattr("aioresponses.core.stream_reader_factory", reader)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep a developer's own key, base URL and proxy out of the tests."""
    for name in ("ZAI_API_KEY", "ZAI_BASE_URL", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    return


@pytest.fixture(autouse=True)
def _own_state_and_limits(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Keep what is remembered from run to run, and `ulimit -n`, out of the tests."""
    # Not by `mktemp`, which looks at all folders that are there, thousands of times.
    state = tmp_path_factory.getbasetemp() / "state" / str(next(_numbers))
    state.mkdir(parents=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    before, set_back = resource.getrlimit(resource.RLIMIT_NOFILE), resource.setrlimit
    yield
    set_back(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every pause exactly what it is meant to be at least."""
    monkeypatch.setattr("random.uniform", lambda low, _: low)
