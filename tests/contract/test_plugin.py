"""The pytest plugin is in everybody's runs, so it must cost nobody anything."""

import os
import subprocess
import sys
from importlib.metadata import entry_points, requires

import pytest

LOADED = """
import sys
import pytest

@pytest.fixture(autouse=True)
def _shown(request):
    ours = ("zai_images", "aiohttp", "attr", "cattrs", "tenacity", "PIL")
    print("loaded", sorted(set(ours) & set(sys.modules)))
"""
A_TEST = """
import pytest
{imports}

{mark}
async def test_a_fox(zai_sandbox, zai_session):
    zai_sandbox.next(status=429, code="1302", times=2)
    picture = await zai_session.generate_picture("a fox")
    assert picture.width == 1024
    assert zai_sandbox.bill.prompts == {{"a fox": 1}}
"""
OWN_LOOP = """
import asyncio, functools
def own_loop(test):
    @functools.wraps(test)
    def run(**fixtures):
        asyncio.run(test(**fixtures))
    return run
"""
SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")
STRICT = ("-p", "pytest_asyncio.plugin", *SCOPE, "-o", "asyncio_mode=strict")
AUTO = ("-p", "pytest_asyncio.plugin", *SCOPE, "-o", "asyncio_mode=auto")
ANYIO = ("-p", "anyio.pytest_plugin")
ON_ASYNCIO = (
    "@pytest.mark.anyio\n@pytest.mark.parametrize('anyio_backend', ['asyncio'])"
)
# The columns: how the test is marked, the options of pytest, what the file has above.
WAYS = {
    "pytest-asyncio, strict": ("@pytest.mark.asyncio", STRICT, ""),
    "pytest-asyncio, auto": ("", AUTO, ""),
    "pytest-asyncio, one loop for a module": (
        "@pytest.mark.asyncio(loop_scope='module')",
        *(STRICT, ""),
    ),
    "anyio's plugin": (ON_ASYNCIO, ANYIO, ""),
    "anyio's plugin beside pytest-asyncio": (ON_ASYNCIO, (*ANYIO, *STRICT), ""),
    "no plugin, and a loop of the test's own": ("@own_loop", (), OWN_LOOP),
}


@pytest.fixture
def project(tmp_path):
    """Run pytest on a project of one file, in a process and a folder of its own."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")

    def run(text, *options):
        (tmp_path / "test_it.py").write_text(text)
        command = [sys.executable, "-m", "pytest", "-q", "-s", "--strict-markers"]
        return subprocess.run(
            [*command, "-p", "zai_images._pytest_plugin", *options],
            cwd=tmp_path,
            # Only the plugins that are named: this repository has more than a user's.
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_it_is_registered_and_pytest_is_not_needed_to_use_the_package():
    (entry,) = entry_points(group="pytest11", name="zai_images")

    assert entry.value == "zai_images._pytest_plugin"
    needs = [line for line in requires("zai-images") if line.startswith("pytest")]
    assert needs
    assert all("extra ==" in line for line in needs)


def test_importing_it_loads_nothing_that_costs():
    code = (
        "import pytest, sys; before = set(sys.modules)\n"
        "import zai_images._pytest_plugin\n"
        "print(*set(sys.modules) - before)"
    )
    shown = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=True,
        capture_output=True,
        text=True,
    )

    assert set(shown.stdout.split()) == {
        "zai_images",
        "zai_images._pytest_plugin",
        "zai_images._version",
    }


def test_a_run_that_asks_for_no_fixture_loads_nothing_that_costs(project):
    ran = project(LOADED + "\ndef test_it():\n    assert True\n")

    assert ran.returncode == 0, ran.stdout
    assert "loaded ['zai_images']" in ran.stdout


def test_a_run_shows_its_fixtures_and_markers(project):
    fixtures = project("", "--fixtures").stdout
    markers = project("", "--markers").stdout

    for name in ("zai_sandbox", "zai_session"):
        assert name in fixtures
        assert f"@pytest.mark.{name}(**settings)" in markers
    assert "no docstring" not in fixtures.partition("zai_sandbox")[2][:300]


@pytest.mark.tried("ways to run an async test")
@pytest.mark.parametrize(("mark", "options", "imports"), WAYS.values(), ids=WAYS)
def test_the_fixtures_serve_every_way_to_run_an_async_test(
    project, mark, options, imports
):
    ran = project(A_TEST.format(mark=mark, imports=imports), *options)

    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout


def test_a_test_that_fails_says_what_was_billed_and_leaves_no_warning(project):
    text = A_TEST.format(imports="", mark="") + "    assert zai_sandbox.bill.total == 2"
    ran = project(text, *AUTO)

    assert "1 failed in" in ran.stdout.splitlines()[-1]
    assert "<Bill 1 pictures $0.01, 3 requests: 0 rejected, 0 refused, 2" in ran.stdout
