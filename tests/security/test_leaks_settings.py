"""A canary key beside a setting that is refused: no way of showing that shows it."""

import copy
import difflib
import io
import os
import subprocess
import sys
import textwrap
import traceback
import unittest

import attrs
import pytest
from rich.console import Console
from rich.pretty import pretty_repr
from rich.traceback import Traceback
from support import leaks
from support.leak_cases import seen
from support.leaks import CANARY, hits, of_error

from zai_images import (
    ConfigurationError,
    ImageSession,
    RetryPolicy,
    SessionConfig,
    Timeouts,
)

pytestmark = pytest.mark.tried("kinds of failure that could show the key")

REFUSED = {
    "api_key": ["b a d", "é", 5, b"bytes", ["list"], object()],
    "base_url": ["https://[bad", "ftp://x", "http://10.0.0.1/v4", "x", "https://u@x"],
    "max_in_flight": [0, -1, 2.5, "5", True, float("nan")],
    "max_downloads": [0, 2.5, "8"],
    "max_wait": [-1, "20", float("nan")],
    "prices": [{"a": -1.0}, {"a": "x"}, 5, {1: 1.0}],
    "headers": [{"Authorization": "x"}, 5, [("a", "b")], {1: "x"}],
    "proxy": ["socks5://x", "x", "http://[bad", 5],
    "finish_cancelled": [0, "yes", 2.5],
    "a_typing_error": [1],
}
CASES = [
    pytest.param({name: value}, id=f"{name}-{n}")
    for name, values in REFUSED.items()
    for n, value in enumerate(values)
]
GOOD = SessionConfig(api_key="sk-another-key", base_url="https://x.example/v4")


# No variable of these frames holds the key: it stands in another module.
WAYS = {
    "made": lambda bad: SessionConfig(**{"api_key": leaks.CANARY} | bad),
    "from_env": lambda bad: SessionConfig.from_env(**{"api_key": leaks.CANARY} | bad),
    "environment": lambda bad: SessionConfig.from_env(**bad),
    "evolve": lambda bad: attrs.evolve(GOOD, **{"api_key": leaks.CANARY} | bad),
    "evolve of it": lambda bad: attrs.evolve(
        SessionConfig(api_key=leaks.CANARY), **bad
    ),
    "replace": lambda bad: getattr(copy, "replace", attrs.evolve)(
        GOOD, **{"api_key": leaks.CANARY} | bad
    ),
    "session": lambda bad: ImageSession(SessionConfig.from_env(**bad)),
}


def as_rich_shows(error):
    file = io.StringIO()
    console = Console(file=file, width=500, no_color=True)
    parts = Traceback.from_exception(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_length=None,
        locals_max_string=None,
    )
    console.print(parts)
    yield "rich", file.getvalue()


def as_its_frames_are(error):
    """Look at the variables themselves, behind every error that led to this one."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            for name, value in frame.f_locals.items():
                where = f"{name} in {frame.f_code.co_qualname}"
                yield where, str(value) if isinstance(value, str) else repr(value)
        error = error.__cause__ or error.__context__


def shown(error):
    return seen(of_error(error), as_its_frames_are(error))


@pytest.mark.parametrize("bad", CASES)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_beside_a_setting_that_is_refused(way, bad, environment):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever is raised
        way(bad)

    assert shown(caught.value) == []


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_beside_a_setting_that_is_refused_as_rich_shows_it(way, environment):
    with pytest.raises(ConfigurationError) as caught:
        way({"max_in_flight": 0})

    assert seen(as_rich_shows(caught.value)) == []


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "https://[bad"},
        {"max_cost": -1},
        {"max_pictures": "5"},
        {"a_typing_error": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("config", [None, GOOD], ids=["no config", "config"])
def test_beside_an_option_of_the_session_that_is_refused(config, options, environment):
    with pytest.raises((ConfigurationError, TypeError)) as caught:
        ImageSession(config, api_key=leaks.CANARY, **options)

    assert shown(caught.value) == []


WRONG_KEYS = {
    "bytes": CANARY.encode,
    "a list": lambda: [CANARY],
    "a mapping": lambda: {"key": CANARY},
    "a line's end within": lambda: f"{CANARY}\nx",
    "a letter of another script": lambda: f"{CANARY}é",
}
WRONG_PLACES = {
    "base_url": lambda: CANARY,
    "base_url, as its user": lambda: f"https://{CANARY}@x.example/v4",
    "base_url, as its query": lambda: f"https://x.example/v4?key={CANARY}",
    "proxy": lambda: CANARY,
    "proxy, as its password": lambda: f"socks5://me:{CANARY}@x.example",
    "headers": lambda: {"authorization": f"Bearer {CANARY}"},
}


@pytest.mark.parametrize("key", WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_a_key_that_is_none(key):
    for make in (SessionConfig, SessionConfig.from_env, ImageSession):
        with pytest.raises(ConfigurationError) as caught:
            make(api_key=key())
        assert shown(caught.value) == []
    with pytest.raises(ConfigurationError) as caught:
        attrs.evolve(GOOD, api_key=key())
    assert shown(caught.value) == []


@pytest.mark.parametrize("place", WRONG_PLACES)
def test_a_key_in_the_place_of_another_setting(place):
    name = place.partition(",")[0]
    for make in (SessionConfig, SessionConfig.from_env):
        with pytest.raises(ConfigurationError) as caught:
            make(**{name: WRONG_PLACES[place]()})
        assert shown(caught.value) == []


def test_every_setting_that_can_be_refused_is_tried_here():
    checked = {
        field.name
        for field in attrs.fields(SessionConfig)
        if field.validator or field.converter
    }
    assert checked <= REFUSED.keys()


def test_a_refusal_points_at_the_line_that_made_it():
    with pytest.raises(ConfigurationError) as caught:
        SessionConfig(max_in_flight=0)

    frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.tb)]
    assert frames == ["test_a_refusal_points_at_the_line_that_made_it", "called"]


def test_what_the_caller_was_handling_stays_as_it_was():
    with pytest.raises(ConfigurationError) as caught:
        try:
            [].pop()
        except IndexError:
            ImageSession(api_key="sk-1", base_url="https://[bad")

    earlier = caught.value
    while not isinstance(earlier, IndexError):
        earlier = earlier.__context__
    assert earlier.__traceback__ is not None


@pytest.mark.parametrize("kind", [SessionConfig, RetryPolicy, Timeouts, ImageSession])
def test_what_is_half_made_shows_itself_all_the_same(kind):
    half = kind.__new__(kind)

    assert repr(half) == f"<{kind.__name__} that could not be made>"


class TestComparisons:
    """What tools that compare texts print of them."""

    config = SessionConfig(api_key="x" * 60 + CANARY, headers={"X-Key": CANARY})

    def test_a_difference_line_by_line(self):
        key = self.config.api_key
        for secret in (
            key,
            key + "\n",
            key[5:],
            key[:-1],
            self.config.headers["X-Key"],
        ):
            told = "\n".join(difflib.ndiff(secret.splitlines(), ["other"]))
            assert not hits(told)
            assert not hits(repr(secret))

    def test_a_failed_assertion_of_unittest(self):
        for check in ("assertEqual", "assertIs", "assertIn"):
            with pytest.raises(AssertionError) as caught:
                getattr(unittest.TestCase(), check)(self.config.api_key, "other")
            assert not hits(str(caught.value)), check

    def test_a_long_one_that_rich_cuts(self):
        file = io.StringIO()
        Console(file=file, width=500).print({"key": self.config.api_key}, self.config)
        shown = pretty_repr(self.config.api_key, max_string=80)

        assert not hits(file.getvalue() + shown)
        assert "xxx" not in shown

    def test_it_is_a_text_for_whoever_sends_it(self):
        key = self.config.api_key

        assert key == "x" * 60 + CANARY
        assert f"Bearer {key}" == "Bearer " + key == "Bearer " + "x" * 60 + CANARY
        assert key[-1] == CANARY[-1]
        assert key + "!" == "x" * 60 + CANARY + "!"
        assert {key: 1}["x" * 60 + CANARY] == 1


FAILING = """
    import os
    import attrs
    from zai_images import ImageSession, SessionConfig

    def config():
        return SessionConfig.from_env(headers={"X-Key": os.environ["ZAI_API_KEY"]})

    def test_text():
        assert config().api_key == "other"

    def test_text_with_the_same_beginning():
        assert config().api_key == "x" * 60 + "other"

    def test_text_on_the_right():
        assert "other" == config().api_key

    def test_text_within():
        assert "xx" not in config().api_key

    def test_variable():
        key = config().api_key
        assert key == "other"
        assert not key

    def test_config():
        assert config() == attrs.evolve(config(), api_key="other")

    def test_mapping():
        assert {"key": config().api_key} == {"key": "other"}

    def test_list():
        assert [config().api_key] == ["other"]

    def test_headers():
        assert config().headers == {"X-Key": "other"}

    def test_field():
        assert config().headers["X-Key"] == "other"

    def test_beginning():
        assert config().api_key.startswith("other")

    def test_refused():
        SessionConfig(api_key=os.environ["ZAI_API_KEY"], max_in_flight=0)

    def test_refused_by_evolve():
        attrs.evolve(config(), api_key=os.environ["ZAI_API_KEY"], max_in_flight=0)

    def test_refused_by_the_session():
        ImageSession(api_key=os.environ["ZAI_API_KEY"], base_url="x")
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("options", [["-vv", "-l"], []], ids=["all told", "short"])
def test_a_failed_test_of_a_user_shows_no_key(tmp_path, options):
    (tmp_path / "test_theirs.py").write_text(textwrap.dedent(FAILING))
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "."],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"ZAI_API_KEY": "x" * 60 + CANARY},
    )

    assert "14 failed" in told.stdout, told.stdout + told.stderr
    assert not hits(told.stdout + told.stderr)
