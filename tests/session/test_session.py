"""The session as its users hold it: opening, closing, borrowing, asking."""

import contextlib
import gc
import json
import warnings

import aiohttp
import pytest
from support.clients import (
    KEY,
    scripted,
)
from support.strange import GOOD, answering

from zai_images import (
    ConfigurationError,
    ImageRequest,
    ImageSession,
    InvalidRequestError,
    SessionConfig,
    ZaiImagesError,
)
from zai_images.sandbox import Sandbox
from zai_images.testing import ScriptedTransport


class TestOpeningAndClosing:
    async def test_a_session_opens_at_its_first_use_and_closes_twice_quietly(self):
        async with Sandbox(speed=1000) as sandbox:
            session = ImageSession(api_key=sandbox.api_key, base_url=sandbox.base_url)
            assert "new" in repr(session)
            await session.generate("a fox")
            assert "open" in repr(session)
            await session.aclose()
            await session.aclose()

            assert "closed" in repr(session)
            with pytest.raises(ConfigurationError, match="is closed"):
                await session.generate("a fox")
            with pytest.raises(ConfigurationError, match="is closed"):
                await session.download("https://example.com/a.png")

    def test_without_a_key_it_says_both_ways_out(self):
        with pytest.raises(ConfigurationError, match=r"ZAI_API_KEY.*Sandbox"):
            ImageSession()

    def test_the_environment_is_read_and_keywords_win(self, monkeypatch):
        monkeypatch.setenv("ZAI_API_KEY", "sk-env")
        monkeypatch.setenv("ZAI_BASE_URL", "http://127.0.0.1:1/api/paas/v4/")

        assert ImageSession().config.base_url == "http://127.0.0.1:1/api/paas/v4"
        assert ImageSession(api_key="sk-own").config.api_key == "sk-own"
        config = SessionConfig(api_key="sk-config", max_in_flight=3)
        session = ImageSession(config, base_url="https://example.com/v4")
        assert session.config.api_key == "sk-config"
        assert session.config.base_url == "https://example.com/v4"
        assert session.config.max_in_flight == 3

    async def test_a_forgotten_session_warns(self):
        gc.collect()  # other tests' litter is not this one's
        session = scripted()
        await session.generate("a fox")
        # Nothing of aiohttp's own may stay behind to warn as well.
        await session.requester.resources.downloader.aclose()

        with pytest.warns(ResourceWarning, match="was never closed"):
            del session
            gc.collect()

    async def test_a_session_that_was_never_used_needs_no_closing(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scripted()
            gc.collect()


class TestBorrowedSessions:
    async def test_a_borrowed_session_is_used_for_the_api_only_and_never_closed(self):
        seen: list[str] = []

        async def note(_, __, params) -> None:
            seen.append(params.url.path)

        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(note)
        async with (
            Sandbox(speed=1000, pictures="plain") as sandbox,
            aiohttp.ClientSession(trace_configs=[trace], raise_for_status=True) as http,
        ):
            async with ImageSession(
                api_key=sandbox.api_key, base_url=sandbox.base_url, http=http
            ) as session:
                await session.generate_picture("a fox")
                with pytest.raises(ZaiImagesError) as caught:
                    await session.generate("x", model="no-such-model")

            assert not http.closed
            assert "Authorization" not in http.headers

        assert seen == ["/api/paas/v4/images/generations"] * 2
        assert caught.value.code == "1211"

    async def test_a_closed_borrowed_session_is_a_clear_error(self):
        async with aiohttp.ClientSession() as http:
            pass
        async with ImageSession(api_key=KEY, http=http) as session:
            with pytest.raises(ConfigurationError, match="is closed"):
                await session.generate("a fox")

    async def test_a_borrowed_session_with_credentials_of_its_own_is_refused(
        self, monkeypatch, tmp_path
    ):
        """What netrc says would take the place of the Bearer key."""
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password pw")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        async with (
            answering(GOOD) as server,
            aiohttp.ClientSession(trust_env=True) as http,
            ImageSession(api_key=KEY, base_url=server.base_url, http=http) as session,
        ):
            with pytest.raises(ConfigurationError, match="aiohttp cannot send"):
                await session.generate("a fox")

    async def test_something_else_as_http_is_refused(self):
        async with contextlib.AsyncExitStack() as stack:
            with pytest.raises(ConfigurationError, match="got object"):
                await stack.enter_async_context(
                    ImageSession(api_key=KEY, http=object())
                )


class TestRequests:
    async def test_keywords_replace_the_fields_of_a_request(self):
        transport = ScriptedTransport()
        async with ImageSession(api_key=KEY, http=transport) as session:
            await session.generate(
                ImageRequest("a fox", size="512x512", quality="hd"),
                size=(1440, 720),
                user_id="user-1",
                extra={"seed": 7},
            )

        assert json.loads(transport.bodies[0]) == {
            "model": "cogview-4-250304",
            "prompt": "a fox",
            "quality": "hd",
            "size": "1440x720",
            "user_id": "user-1",
            "seed": 7,
        }

    async def test_a_bad_request_is_refused_before_anything_is_sent(self):
        transport = ScriptedTransport()
        async with ImageSession(api_key=KEY, http=transport) as session:
            for call in (session.generate, session.generate_picture):
                with pytest.raises(InvalidRequestError):
                    await call("a fox", size="1x1")

        assert transport.posts == 0
