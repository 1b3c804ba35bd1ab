"""Every benchmark is one command that works, whatever it measures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import unmeasured

FOLDER = Path(__file__).parents[2] / "benchmarks"
HEADS = {
    "capacity": "scenario",
    "downloads": "claim",
    "journal": "claim",
    "overhead": "claim",
    "peers": "claim",
    "scale": "claim",
    "soak": "claim",
}


def quick(name, *arguments):
    return subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", "--quick", *arguments],
        check=False,
        env=unmeasured(),
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_every_benchmark_is_run_here():
    """A new one is not forgotten; `service` and what begins with _ are helpers."""
    found = {file.stem for file in FOLDER.glob("[!_]*.py")} - {"service"}
    assert set(HEADS) == found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", HEADS)
def test_it_runs_and_prints_its_table(name, tmp_path):
    """Without any peer, in seconds, as a table and as JSON."""
    ran = quick(name, "--json", tmp_path / "figures.json")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(HEADS[name])
    assert json.loads((tmp_path / "figures.json").read_text())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["capacity", "peers"])
def test_the_plot_is_drawn_where_it_is_asked_for(name, tmp_path):
    """One bar for each client, in a file of its own."""
    plot = tmp_path / "plot.svg"
    assert quick(name, "--svg", plot).returncode == 0
    assert plot.read_text().startswith("<svg ")
