"""The whole suites of batches and jobs with tasks that begin at once, and on uvloop."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.pythons import MISSING, interpreter

ROOT = Path(__file__).parents[2]
SUITES = ("tests/batch", "tests/jobs")
# Not run on uvloop, which has no virtual time: they say what the loop's clock shows, or
# what is in flight at one moment of it. All of them are in tests/batch.
VIRTUAL_TIME = (
    "test_runner.py::TestAwaited::test_a_failed_item_says_how_long_and_how_often",
    "test_runner.py::TestAwaited::test_five_places_are_kept_busy",
    "test_runner.py::TestAwaited::test_one_outcome_for_each_item_in_the_order_of_the_input",
    "test_runner.py::TestStreamed::test_a_slow_reader_slows_the_sending",
    "test_runner.py::TestStreamed::test_no_place_is_held_while_a_picture_is_fetched",
    "test_runner.py::TestStreamed::test_outcomes_come_as_they_finish",
    "test_runner.py::TestStreamed::test_the_limit_is_a_ceiling_on_this_batch_alone",
    "test_runner_stopping.py::TestLeaving::test_cancelling_an_awaited_run_keeps_what_had_finished",
    "test_runner_stopping.py::TestLeaving::test_leaving_early_cancels_and_says_what_was_abandoned",
    "test_runner_stopping.py::TestStopping::test_a_refusal_that_comes_after_the_stop_is_not_waited_out",
    "test_runner_kept.py::TestFinishing::test_a_cancelled_run_has_all_that_it_paid_for_in_the_end",
    "test_runner_kept.py::TestFinishing::test_stopping_from_within_a_call_still_ends_it",
    "test_runner_stopping.py::TestStopping::test_nothing_refused_is_sent_again_after_the_stop",
    "test_workers_items.py::TestInputs::test_stopping_from_within_a_call_does_not_wait_out_its_pause",
)

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
    assert len(VIRTUAL_TIME) <= 14
    left_out = [f"--deselect=tests/batch/{name}" for name in VIRTUAL_TIME]

    assert " passed" in run(sys.executable, "--loop", "uvloop", *left_out)
