"""The command line in this process, with nobody's own state."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from support.keys import KEY

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
