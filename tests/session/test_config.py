"""Settings that make no sense are refused where they are made, with what would."""

import copy

import pytest

from zai_images import ConfigurationError, RetryPolicy, SessionConfig, Timeouts


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
