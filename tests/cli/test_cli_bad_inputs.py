"""Bad prompt files: no traceback, file and line named, nothing sent for a bad line."""

import asyncio
import json
import threading
from pathlib import Path

import pytest
from support.bad_prompts import BAD_FILES, HOPELESS
from support.keys import KEY

from zai_images.cli import main
from zai_images.sandbox import Sandbox


@pytest.fixture(scope="module")
def anywhere():
    """Serve all cases of this file from a loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    box = Sandbox(speed=1000, api_key=KEY, pictures="plain")
    asyncio.run_coroutine_threadsafe(box.start(), loop).result()
    yield box
    asyncio.run_coroutine_threadsafe(box.aclose(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def service(anywhere, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZAI_BASE_URL", anywhere.base_url)
    monkeypatch.setenv("ZAI_API_KEY", KEY)
    return anywhere


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = main(list(arguments))
        return code, *capsys.readouterr()

    return run


def test_every_case_of_the_corpus_is_another():
    cases = [bad.case for bad in BAD_FILES]

    assert len(cases) == len(set(cases))
    assert len(cases) + len(HOPELESS) >= 300


@pytest.mark.tried("bad prompt files")
@pytest.mark.parametrize("bad", BAD_FILES, ids=lambda bad: bad.case)
def test_a_bad_line_is_named_and_nothing_is_sent(bad, service, run):
    Path(bad.name).write_bytes(bad.content)
    sent = service.requests

    code, out, err = run("batch", bad.name, "--out", "out")
    first = err.splitlines()[0]

    assert (code, out) == (2, "")
    assert first.startswith(f"{bad.name}:{bad.line}: ")
    assert bad.words in first
    assert len(first) < 600
    assert "1 line cannot be used; nothing was sent" in err
    assert service.requests == sent


@pytest.mark.tried("bad prompt files, planned")
@pytest.mark.parametrize("bad", BAD_FILES[::3], ids=lambda bad: bad.case)
def test_a_plan_names_it_as_well(bad, service, run):
    Path(bad.name).write_bytes(bad.content)

    code, out, err = run("plan", bad.name, "--json")
    plan = json.loads(out)

    assert (code, err) == (2, "")
    assert [one["line"] for one in plan["invalid"]] == [bad.line]
    assert bad.words in plan["invalid"][0]["message"]
    assert (plan["requests"], plan["bad_lines"]) == (len(bad.good), 1)


@pytest.mark.tried("bad prompt files, skipped over")
@pytest.mark.parametrize("bad", BAD_FILES[::5], ids=lambda bad: bad.case)
def test_only_the_good_lines_are_sent_where_that_is_wanted(bad, service, run):
    Path(bad.name).write_bytes(bad.content)
    sent = len(service.bill)

    code, out, err = run("batch", bad.name, "--out", "out", "--skip-invalid")

    assert (code, len(out.splitlines())) == (1, len(bad.good))
    assert f"{bad.name}:{bad.line}: " in err
    paid = service.bill.entries[sent:]
    assert sorted(one.prompt for one in paid) == sorted(bad.good)


@pytest.mark.tried("prompt files that cannot be read")
@pytest.mark.parametrize("fault", HOPELESS)
@pytest.mark.parametrize("command", ["batch", "plan"])
def test_a_file_that_cannot_be_read_is_named(fault, command, service, run):
    name, content, words = HOPELESS[fault]
    Path(name).write_bytes(content)
    sent = service.requests

    code, out, err = run(command, name, "--out", "out")

    assert (code, out) == (2, "")
    assert words in err
    assert name in err
    assert service.requests == sent
