"""The command line in this process, and a canary key that must not be seen."""

import asyncio
import json
import logging
from types import SimpleNamespace

import pytest
from support.keys import KEY
from support.leaks import CANARY, Records, hits

from zai_images.cli import main


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Run a command at a service, in a fresh folder."""
    monkeypatch.chdir(tmp_path)

    async def cli(base_url, *arguments, key=KEY):
        monkeypatch.setenv("ZAI_BASE_URL", base_url)
        monkeypatch.setenv("ZAI_API_KEY", key)
        code = await asyncio.to_thread(main, [str(one) for one in arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return cli


@pytest.fixture
def prompts(tmp_path):
    """Write prompts as a file for `batch`, whatever they hold."""

    def prompts(*texts, name="p.jsonl"):
        lines = (json.dumps({"prompt": text}) for text in texts)
        (tmp_path / name).write_text("\n".join(lines))
        return name

    return prompts


@pytest.fixture
def logged(request):
    """Hear everything that anybody logs."""
    records, root = Records(), logging.getLogger()
    names = ("aiohttp", "aiohttp.client", "aiohttp.internal", "asyncio", "zai_images")
    loggers = [root, *map(logging.getLogger, names)]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.DEBUG)
    root.addHandler(records)
    yield records
    root.removeHandler(records)
    for one, level in zip(loggers, before, strict=True):
        one.setLevel(level)
    assert not any(map(hits, records.texts))


@pytest.fixture
def environment(monkeypatch):
    """Give the canary key as a user would, so that no frame of the test holds it."""
    monkeypatch.setenv("ZAI_API_KEY", CANARY)
