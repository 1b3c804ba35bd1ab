"""The whole suites of batches and jobs with tasks that begin at once, and on uvloop."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_package import MISSING, interpreter

ROOT = Path(__file__).parents[2]
SUITES = ("tests/batch", "tests/jobs")
# What waits for minutes, or tells its seconds: uvloop has no virtual time.
VIRTUAL_TIME = ()

pytestmark = pytest.mark.timeout(1800)


def run(python: Path | str, *options: str) -> str:
    """Run the suites and tell the last line of it."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COV", "PYTEST"))
    }
    ran = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *SUITES],
        cwd=ROOT,
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-8000:]
    return ran.stdout.splitlines()[-1]


def test_batches_and_jobs_pass_with_tasks_that_begin_inside_create_task(tmp_path):
    """By asyncio's own eager factory, on the oldest Python that has it."""
    if "3.12" in MISSING:
        pytest.skip("Python 3.12 cannot be had here: PYTHONS_MISSING says so")
    found = interpreter("3.12")
    assert found, "there is no Python 3.12, and PYTHONS_MISSING does not say so"
    subprocess.run([found, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    install = [python, "-m", "pip", "install", "-q", "-e", f"{ROOT}[test]"]
    subprocess.run(install, check=True)

    assert " passed" in run(python, "--loop", "eager")


def test_batches_and_jobs_pass_on_uvloop():
    """But for those few that need virtual time."""
    assert len(VIRTUAL_TIME) <= 12
    left_out = [f"--deselect={name}" for name in VIRTUAL_TIME]

    assert " passed" in run(sys.executable, "--loop", "uvloop", *left_out)
