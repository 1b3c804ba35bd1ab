"""The key is in nothing that a session shows, and its own headers go out."""

import asyncio
import contextlib
import copy
import logging
import pickle
import traceback

import pytest
from support.clients import (
    KEY,
)
from support.faults import FaultServer, Wire, ok, unused_port
from support.strange import GOOD, answering, refusal

from zai_images import (
    ConfigurationError,
    ImageSession,
    RetryPolicy,
    SessionConfig,
    ZaiImagesError,
)


async def everything_shown(url: str) -> list[str]:
    """Fail a call, and gather all that a person or a program could see of it."""
    seen: list[str] = []
    session = ImageSession(
        api_key=KEY, base_url=url, observer=lambda event: seen.append(repr(event))
    )
    async with session:
        with pytest.raises(ZaiImagesError) as caught:
            await session.generate("a fox", max_wait=5)
        seen += [repr(session), repr(session.config), str(session.config)]
        seen.append(repr(vars(session)))
    shown = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    return [
        *seen,
        "".join(shown.format()),
        pickle.dumps(caught.value).decode("latin-1"),
    ]


class TestSecrets:
    """The key appears in no repr, log, traceback or pickle, however a call fails."""

    @pytest.mark.looptime
    async def test_the_key_is_nowhere_to_be_seen(self, caplog):
        caplog.set_level(logging.DEBUG)
        seen: list[str] = []

        async def hang_up(server: FaultServer, wire: Wire) -> None:
            await server.read(wire)
            wire.reset()

        async def sleep(server: FaultServer, wire: Wire) -> None:
            await server.read(wire)
            await asyncio.sleep(1000)

        echo = (401, {"error": {"code": "1000", "message": f"key {KEY} is bad"}})
        servers = [
            FaultServer(hang_up),
            FaultServer(sleep),
            answering(echo),
            answering((500, refusal("1234", KEY))),
            answering((200, f"<html>{KEY}".encode())),
            answering((200, {"data": [], "key": KEY})),
            answering((429, refusal("1302"))),
        ]
        urls = [f"http://127.0.0.1:{unused_port()}/api", "https://no-host.invalid/api"]
        async with contextlib.AsyncExitStack() as stack:
            for server in servers:
                await stack.enter_async_context(server)
                urls.append(server.base_url)
            for url in urls:
                seen += await everything_shown(url)
            assert all(KEY.encode() in s.seen[0] for s in servers)  # it did go out

        seen.append(caplog.text)
        assert len(seen) > 9 * 4
        for text in seen:
            assert KEY not in text

    @pytest.mark.looptime
    async def test_a_cancelled_call_shows_no_key_in_its_traceback(self):
        async def sleep(server: FaultServer, wire: Wire) -> None:
            await server.read(wire)
            await asyncio.sleep(1000)

        async with FaultServer(sleep) as server:
            async with ImageSession(api_key=KEY, base_url=server.base_url) as session:
                try:
                    async with asyncio.timeout(1):
                        await session.generate("a fox")
                except TimeoutError as error:
                    shown = traceback.TracebackException.from_exception(
                        error, capture_locals=True
                    )
                    assert KEY not in "".join(shown.format())

    def test_the_config_is_masked_and_still_usable(self):
        config = SessionConfig(api_key=KEY, proxy="http://me:pw@proxy.example:1")

        assert KEY not in repr(config)
        assert "pw" not in repr(config)
        assert copy.copy(config).api_key == KEY

    @pytest.mark.parametrize(
        ("settings", "match"),
        [
            ({"api_key": "two words"}, "no HTTP header"),
            ({"base_url": "ftp://example.com"}, "not an http"),
            ({"base_url": "example.com"}, "not an http"),
            ({"base_url": "http://example.com/v4"}, "in the clear"),
            ({"base_url": "https://me:pw@example.com/v4"}, "no user"),
            ({"max_in_flight": 0}, "max_in_flight"),
            ({"max_wait": -1}, "max_wait"),
            ({"headers": {"authorization": "x"}}, "api_key"),
            ({"retry": None}, None),
        ],
    )
    def test_settings_that_make_no_sense_are_refused(self, settings, match):
        if match is None:
            with pytest.raises(ConfigurationError):
                RetryPolicy(server_errors=-1)
            return
        with pytest.raises(ConfigurationError, match=match) as caught:
            SessionConfig(**settings)
        assert "pw" not in str(caught.value)


async def test_own_headers_go_to_the_api_and_the_language_is_english():
    server = FaultServer(one_good_answer)
    async with server:
        config = SessionConfig(
            api_key=KEY, base_url=server.base_url, headers={"X-Team": "art"}
        )
        async with ImageSession(config) as session:
            await session.generate("a fox")

    head = server.seen[0].decode().lower()
    assert "x-team: art" in head
    assert "accept-language: en-us,en" in head
    assert f"authorization: bearer {KEY}" in head
    assert "content-type: application/json" in head
    assert "accept-encoding: identity" in head


async def one_good_answer(server: FaultServer, wire: Wire) -> None:
    await server.read(wire)
    await wire.send(ok())


async def test_a_proxy_from_the_environment_is_used_only_where_it_is_trusted(
    monkeypatch,
):
    async with FaultServer(one_good_answer) as proxy, answering(GOOD) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        for trust_env in (False, True):
            config = SessionConfig(
                api_key=KEY, base_url=server.base_url, trust_env=trust_env
            )
            async with ImageSession(config) as session:
                await session.generate("a fox")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with ImageSession(config) as session:
            await session.generate("a fox")

        assert (server.posts, proxy.posts) == (2, 1)
