"""Settings that make no sense are refused where they are made, with what would."""

import copy
import json

import pytest
from support.clients import KEY, offline, refusing
from support.faults import FaultServer, Wire

from zai_images import (
    BatchRunner,
    ConfigurationError,
    ConnectError,
    ImageRequest,
    ImageSession,
    RateLimitedError,
    RetryPolicy,
    SessionConfig,
    Timeouts,
)

pytestmark = pytest.mark.looptime


class TestSettings:
    @pytest.mark.parametrize(
        "settings",
        [
            {"base_url": "https://[bad"},
            {"base_url": "https://example.com:x/v4"},
            {"api_key": 5},
            {"max_in_flight": "5"},
            {"max_in_flight": 0.5},
            {"max_in_flight": True},
            {"max_downloads": 2.5},
            {"max_downloads": None},
            {"prices": {"a": "x"}},
            {"prices": {"a": -1.0}},
            {"prices": {"a": float("nan")}},
            {"proxy": "user:pw@proxy.example:1"},
            {"proxy": "http://us@er:pw@[bad/"},
            {"proxy": "http://me:pw@h:99999/"},
        ],
    )
    def test_a_setting_of_the_wrong_kind_is_refused_without_showing_secrets(
        self, settings
    ):
        with pytest.raises(ConfigurationError) as caught:
            SessionConfig(**settings)

        assert "pw" not in str(caught.value)

    @pytest.mark.parametrize("cap", [float("nan"), -1, "5"])
    @pytest.mark.parametrize("name", ["max_cost", "max_pictures"])
    def test_a_cap_that_could_not_be_kept_is_refused(self, name, cap):
        with pytest.raises(ConfigurationError, match=name):
            ImageSession(api_key=KEY, **{name: cap})

    def test_the_password_of_a_proxy_is_masked_however_it_is_written(self):
        config = SessionConfig(api_key=KEY, proxy="http://us@er:s3cret@proxy.example:1")

        assert "s3cret" not in repr(config)

    async def test_nor_is_it_in_the_error_of_a_proxy_that_refuses(self, caplog):
        caplog.set_level("DEBUG")

        async def refuses(server: FaultServer, wire: Wire) -> None:
            await wire.reader.readuntil(b"\r\n\r\n")
            await wire.send(b"HTTP/1.1 407 P\r\nContent-Length: 0\r\n\r\n")

        async with FaultServer(refuses) as proxy:
            config = SessionConfig(
                api_key=KEY,
                proxy=f"http://user:s3cret@127.0.0.1:{proxy.port}",
                retry=RetryPolicy(connect_errors=1),
            )
            async with ImageSession(config) as one:
                with pytest.raises(ConnectError) as caught:
                    await one.generate("a fox")

        assert "s3cret" not in str(caught.value) + caplog.text

    async def test_a_model_the_account_lacks_says_so_for_each_item_by_itself(self):
        lacks = refusing("1311", 429)
        async with offline(lacks) as one:
            outcomes = await BatchRunner(one).run(["a", "b", "c"])

        assert len({id(outcome.error) for outcome in outcomes}) == 3

    async def test_an_enumeration_of_ones_own_goes_out_by_its_value(self):
        from enum import Enum

        class Ratio(str, Enum):  # noqa: UP042 - the kind that str() spells otherwise
            WIDE = "16:9"

        async with offline() as one:
            await one.generate(ImageRequest("a", model="foo", size=Ratio.WIDE))

            assert json.loads(one.requester._http.bodies[0])["size"] == "16:9"

    def test_a_refusal_is_an_error_like_others(self):
        assert RateLimitedError("busy").retryable


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), True, "10", None])
@pytest.mark.parametrize("phase", ["connect", "total", "download"])
def test_a_phase_needs_some_time(phase, seconds):
    with pytest.raises(ConfigurationError, match=f"{phase} .* more than 0 seconds"):
        Timeouts(**{phase: seconds})


def test_half_a_second_is_some_time():
    assert Timeouts(connect=0.5).connect == 0.5


@pytest.mark.parametrize("tries", [-1, float("nan"), False, "1"])
def test_tries_cannot_be_fewer_than_none(tries):
    with pytest.raises(ConfigurationError, match=r"server_errors .* 0 or more"):
        RetryPolicy(server_errors=tries)


@pytest.mark.parametrize("places", [0, -3, 1.5, True, "5"])
def test_places_are_counted_from_one(places):
    with pytest.raises(ConfigurationError, match=r"max_in_flight .* 1 or more"):
        SessionConfig(max_in_flight=places)


def test_a_copied_key_is_as_hidden_as_the_first():
    config = SessionConfig(api_key="k-1")

    for key in (copy.copy(config.api_key), copy.deepcopy(config.api_key)):
        assert (key, repr(key)) == ("k-1", "'***'")
