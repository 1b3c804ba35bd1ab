"""Somebody else's project tests its code with the built wheel, away from the source."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOP = '''
"""A shop that sells pictures: it knows of nothing but a session."""

from zai_images import ContentRefusedError


class Shop:
    def __init__(self, session):
        self.session = session
        self.sold = {}

    async def order(self, prompt):
        try:
            self.sold[prompt] = await self.session.generate_picture(prompt)
        except ContentRefusedError:
            return "refused"
        return "sold"
'''
TESTS = """
import asyncio

import pytest
import shop
import zai_images


def test_it_is_the_wheel_that_is_tested():
    assert "site-packages" in zai_images.__file__


@pytest.fixture
def counter(zai_session):
    return shop.Shop(zai_session)


FIXTURE
async def busy(zai_sandbox, counter):
    zai_sandbox.next(status=429, code="1302", times=2)
    yield counter
    await counter.order("one after closing time")
    assert zai_sandbox.bill.prompts["one after closing time"] == 1


MARK
async def test_an_order_is_billed_once(zai_sandbox, busy):
    assert await busy.order("a fox") == "sold"
    assert busy.sold["a fox"].data.startswith(b"\\x89PNG")
    assert zai_sandbox.bill.prompts == {"a fox": 1}
    assert [one.status for one in zai_sandbox.log] == [429, 429, 200]


MARK
async def test_a_refused_order_is_free(zai_sandbox, counter):
    zai_sandbox.fail(prompt="a crime", code="1301")
    assert await counter.order("a crime") == "refused"
    assert zai_sandbox.bill.total == 0


def test_an_order_from_sync_code(zai_sandbox, counter):
    assert asyncio.run(counter.order("a heron")) == "sold"
    assert zai_sandbox.bill.total == 1
"""
BACKEND = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
STRICT = 'asyncio_mode = "strict"'
AUTO = 'asyncio_mode = "auto"\nasyncio_default_fixture_loop_scope = "function"'
# The columns: what is installed beside the wheel, settings of pytest, how an async test
# and an async fixture are marked. docs/testing.md names the oldest pytest.
PROJECTS = {
    "the oldest pytest, pytest-asyncio in strict mode": (
        ["pytest==7.4.0", "pytest-asyncio==0.23.8"],
        STRICT,
        "@pytest.mark.asyncio",
        "@pytest_asyncio.fixture",
    ),
    "the newest, pytest-asyncio in auto mode": (
        ["pytest", "pytest-asyncio"],
        AUTO,
        "",
        "@pytest.fixture",
    ),
    "the newest, anyio's plugin": (
        ["pytest", "anyio"],
        "",
        "@pytest.mark.anyio",
        "@pytest.fixture",
    ),
}
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def run(*command, cwd):
    """Run a command in an environment that knows nothing of this repository."""
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=known,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (built,) = folder.glob("zai_images-*.whl")
    return built


@pytest.mark.timeout(300)
@pytest.mark.tried("projects of others, beside the built wheel")
@pytest.mark.parametrize("project", PROJECTS.values(), ids=PROJECTS)
def test_somebody_elses_project_uses_the_fixtures(wheel, tmp_path, project):
    beside, settings, mark, fixture = project
    run(sys.executable, "-m", "venv", "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, *PIP[1:], "install", "-q", wheel, *beside, cwd=tmp_path)
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "pyproject.toml").write_text(
        "[tool.pytest.ini_options]\n"
        f'addopts = "--strict-markers"\nfilterwarnings = ["error"]\n{settings}\n'
    )
    (shop / "conftest.py").write_text(BACKEND)
    (shop / "shop.py").write_text(SHOP)
    text = TESTS.replace("MARK", mark).replace("FIXTURE", fixture)
    if "pytest_asyncio" in fixture:
        text = f"import pytest_asyncio\n{text}"
    (shop / "test_shop.py").write_text(text)

    shown = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=shop)

    assert "4 passed in" in shown
