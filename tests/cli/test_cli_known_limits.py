"""What the command line remembers from run to run, and what it asks of the system."""

import asyncio
import json
import logging
import resource
from pathlib import Path

import pytest
from support.keys import KEY

from zai_images import ModelStats, SessionConfig
from zai_images._api.request import DEFAULT_MODEL
from zai_images._session.stats import Counters
from zai_images.cli import _known_limits as _memory
from zai_images.cli._known_limits import (
    clear_known_limits,
    limits_file,
    load_known_limits,
    save_known_limits,
)
from zai_images.cli._target import raise_open_files

REAL = SessionConfig(api_key=KEY)


def stats(limit, reason):
    model = ModelStats(in_flight=0, limit=limit, limit_reason=reason, latency={})
    return Counters().stats({DEFAULT_MODEL: model})


def test_what_was_found_is_told_to_the_next_run():
    save_known_limits(REAL, stats(8, "refused"))

    assert load_known_limits(REAL) == {DEFAULT_MODEL: 8}
    assert load_known_limits(SessionConfig(api_key="another")) == {}
    assert (
        load_known_limits(
            SessionConfig(api_key=KEY, base_url="https://x.example/paas/v4")
        )
        == {}
    )


def test_it_is_private_and_does_not_tell_the_key():
    save_known_limits(REAL, stats(8, "refused"))

    assert limits_file().stat().st_mode & 0o777 == 0o600
    assert limits_file().parent.stat().st_mode & 0o777 == 0o700
    assert KEY not in limits_file().read_text()
    assert KEY[:4] not in limits_file().read_text()
    (name,) = json.loads(limits_file().read_text())
    assert name.endswith("@api.z.ai")
    assert len(name.partition("@")[0]) == 16


@pytest.mark.parametrize(
    ("limit", "reason", "kept"),
    [
        (6, "refused", 6),
        (6, "latency", 6),
        (6, "known", 8),  # a session begins below what it was told
        (9, "known", 9),
        (6, "growing", 8),
        (6, "max_in_flight", 8),
        (6, "open files", 8),
        (6, "fixed", 8),
    ],
)
def test_only_what_was_learned_replaces_what_was_known(limit, reason, kept):
    save_known_limits(REAL, stats(8, "refused"))
    save_known_limits(REAL, stats(limit, reason))

    assert load_known_limits(REAL) == {DEFAULT_MODEL: kept}


def test_nothing_is_remembered_of_a_server_on_this_machine():
    for config in (
        SessionConfig(api_key=KEY, base_url="http://127.0.0.1:9/paas/v4"),
        SessionConfig(),
    ):
        save_known_limits(config, stats(8, "refused"))
        assert load_known_limits(config) == {}
    assert not limits_file().exists()


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 10**5, None])
def test_a_broken_file_is_passed_over(content, caplog):
    caplog.set_level(logging.DEBUG, "zai_images")
    limits_file().parent.mkdir()
    if content is None:
        limits_file().mkdir()
    else:
        limits_file().write_bytes(content)

    assert load_known_limits(REAL) == {}
    assert "The limits of earlier runs" in caplog.text


@pytest.mark.parametrize("limit", [0, -1, 10**9, True, "8", None, 2.5, {}])
def test_a_limit_that_is_none_is_passed_over(limit):
    save_known_limits(REAL, stats(8, "refused"))
    (name,) = json.loads(limits_file().read_text())
    limits_file().write_text(json.dumps({name: {DEFAULT_MODEL: limit, "good": 3}}))

    assert load_known_limits(REAL) == {"good": 3}


def test_what_others_found_stays():
    other = SessionConfig(api_key="another")
    save_known_limits(REAL, stats(8, "refused"))
    save_known_limits(other, stats(3, "refused"))

    assert load_known_limits(REAL) == {DEFAULT_MODEL: 8}
    assert load_known_limits(other) == {DEFAULT_MODEL: 3}


def test_a_place_that_cannot_be_written_is_no_reason_to_fail(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))

    save_known_limits(REAL, stats(8, "refused"))
    assert load_known_limits(REAL) == {}


@pytest.mark.parametrize("state", [None, "", "not/absolute"])
def test_without_a_state_folder_it_is_in_the_home_folder(monkeypatch, state, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    if state is None:
        monkeypatch.delenv("XDG_STATE_HOME")
    else:
        monkeypatch.setenv("XDG_STATE_HOME", state)

    assert limits_file() == tmp_path / ".local/state/zai-images/limits.json"


async def test_it_can_be_forgotten(cli):
    save_known_limits(REAL, stats(8, "refused"))
    path = limits_file()

    ran = await cli("doctor", "--forget-limits")
    again = await cli("doctor", "--forget-limits", "--json")

    assert (ran.code, ran.out) == (0, f"{path} is deleted\n")
    assert not path.exists()
    assert json.loads(again.out) == {"deleted": None}
    assert clear_known_limits() is None


async def test_a_batch_begins_with_what_an_earlier_one_found(
    cli, service, monkeypatch, tmp_path
):
    monkeypatch.setattr(_memory, "account", lambda config: "me")
    prompts = [f"picture {n}" for n in range(24)]
    Path("p.txt").write_text("\n".join(prompts))
    service.limit, service.speed = 3, 20.0  # slow beside what a busy machine delays
    ran = await cli("batch", "p.txt", "--out", "out")
    found = load_known_limits(REAL)

    seen = []
    monkeypatch.setattr(_memory, "_is_limit", lambda value: seen.append(value) or True)
    assert (await cli("generate", "a fox")).code == ran.code == 0
    assert found == {DEFAULT_MODEL: 3}
    assert seen[0] == 3


async def test_nothing_is_remembered_of_the_private_sandbox(cli):
    Path("p.txt").write_text("\n".join(f"picture {n}" for n in range(30)))
    assert (await cli("batch", "p.txt", "--out", "out", "--sandbox")).code == 0

    assert not limits_file().exists()


@pytest.mark.parametrize("command", ["generate", "batch", "sandbox"])
async def test_as_many_files_may_be_open_as_the_system_allows(
    command, cli, monkeypatch
):
    Path("p.txt").write_text("a fox")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    if command == "sandbox":  # it ends as soon as it has begun
        monkeypatch.setattr(asyncio.Event, "wait", lambda _: asyncio.sleep(0))
    arguments = {
        "generate": ["x", "--sandbox"],
        "batch": ["p.txt", "--out", "out", "--sandbox"],
        "sandbox": ["--port", "0"],
    }
    await cli(command, *arguments[command])

    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(hard, 65536), hard)


def test_a_system_that_refuses_is_left_as_it_is(monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)

    raise_open_files()


def test_without_a_home_nothing_is_remembered(monkeypatch):
    def homeless():
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr("pathlib.Path.home", homeless)

    with pytest.raises(RuntimeError, match="no home folder"):
        limits_file()
