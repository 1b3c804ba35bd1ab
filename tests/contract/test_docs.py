"""The documents are true: every block of Python in them runs."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zai_images.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md"))]
OF_TESTS = "docs/testing.md"  # its blocks are for pytest


def blocks(page: str) -> list[tuple[int, str]]:
    """Find the blocks of Python on a page, with the lines they begin at."""
    text = (ROOT / page).read_text()
    return [
        (text[: found.start(1)].count("\n"), found[1])
        for found in re.finditer(
            r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE
        )
    ]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p) and p != OF_TESTS])
async def test_every_block_of_python_runs(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "page"}
    async with Sandbox(speed=200, limit=5, pictures="plain") as sandbox:
        monkeypatch.setenv("ZAI_API_KEY", sandbox.api_key)
        monkeypatch.setenv("ZAI_BASE_URL", sandbox.base_url)
        for line, block in blocks(page):
            # asyncio.run in an example stands for the loop that runs already here.
            source = "\n" * line + block.replace("asyncio.run(", "await (")
            code = compile(source, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, namespace)  # noqa: S307 - our own documents
            if inspect.isawaitable(result):
                await result


def test_every_test_on_the_page_about_tests_passes(tmp_path):
    text = "\n".join(block for _, block in blocks(OF_TESTS))
    (tmp_path / "test_page.py").write_text(text)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nasyncio_mode = auto\n"
        "asyncio_default_fixture_loop_scope = function\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-ra"]
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    number = len(re.findall(r"^ *(?:async )?def test_", text, re.MULTILINE))
    assert number > 15
    assert f"{number} passed in" in ran.stdout.splitlines()[-1], ran.stdout


def test_the_readme_names_real_files():
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / link).exists(), link


def test_the_example_in_the_readme_is_twelve_lines():
    (_, block), *_ = blocks("README.md")

    assert len([line for line in block.splitlines() if line]) == 12


def test_every_default_is_told_where_the_settings_are():
    """The table of the settings and the settings themselves say the same."""
    from zai_images import RetryPolicy, SessionConfig, Timeouts

    rows = re.findall(r"^ *\| `([\w.]+)` \| (\S+)", SessionConfig.__doc__, re.MULTILINE)
    table = dict(rows)
    config = SessionConfig()
    for name, told in table.items():
        if not re.match(r"\d", told):
            continue
        owner, _, field = name.rpartition(".")
        found = getattr(getattr(config, owner) if owner else config, field)
        assert float(told) == found, name
    settings = {field.name for field in SessionConfig.__attrs_attrs__}
    assert settings == {name.partition(".")[0] for name in table}
    for part, kind in (("retry", RetryPolicy), ("timeouts", Timeouts)):
        for field in kind.__attrs_attrs__:
            assert f"{part}.{field.name}" in table
