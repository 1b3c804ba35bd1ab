"""The command line as tests call it: in this process, at a service of their own."""

import asyncio
import json
import signal
import sqlite3
from types import SimpleNamespace

import pytest
from support.keys import KEY

from zai_images.cli import main
from zai_images.sandbox import Sandbox


@pytest.fixture(autouse=True)
def _heard_hangup():
    """The tests may run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Run a command in a fresh folder; the key must not be seen, whatever it does."""
    monkeypatch.chdir(tmp_path)

    async def cli(*arguments):
        code = await asyncio.to_thread(main, [str(one) for one in arguments])
        out, err = capsys.readouterr()
        assert KEY not in out + err
        return SimpleNamespace(code=code, out=out, err=err)

    return cli


@pytest.fixture
async def service(monkeypatch):
    """Point the command line at a sandbox whose bill the test can read."""
    async with Sandbox(speed=200, api_key=KEY, pictures="plain") as service:
        monkeypatch.setenv("ZAI_BASE_URL", service.base_url)
        monkeypatch.setenv("ZAI_API_KEY", service.api_key)
        yield service


@pytest.fixture
def batch(cli, service, tmp_path):
    """Run a batch of prompts at the service, into the folder `out`."""

    async def batch(*options, prompts=("a fox", "a bear", "a cat")):
        (tmp_path / "p.txt").write_text("\n".join(prompts))
        return await cli("batch", "p.txt", "--out", "out", *options)

    return batch


@pytest.fixture
def journal(tmp_path):
    """Look into the journal of the job in `out`, or change it, with a line of SQL."""

    def journal(statement, *values):
        with sqlite3.connect(tmp_path / "out/job.sqlite") as connection:
            rows = connection.execute(statement, values).fetchall()
        connection.close()
        return rows

    return journal


@pytest.fixture
def status(cli):
    """Count the job's items by state, those that have none left out."""

    async def status(folder="out"):
        ran = await cli("status", folder, "--json")
        assert ran.code == 0
        found = json.loads(ran.out)
        states = (
            "pending",
            "sent",
            "answered",
            "saved",
            "failed",
            "refused",
            "unknown",
        )
        counts = {state: found[state] for state in states if found[state]}
        assert found["total"] == sum(counts.values())
        return counts

    return status


@pytest.fixture
def jsonl(tmp_path):
    """Write a file of JSON lines."""

    def jsonl(*records, name="p.jsonl"):
        (tmp_path / name).write_text("\n".join(map(json.dumps, records)))

    return jsonl
