"""The long run with trouble, shortened: nothing lost, nothing grown."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"
PICTURES = 2000


@pytest.mark.timeout(240)
@pytest.mark.tried("a soak's pictures")
def test_two_thousand_pictures_with_faults_lose_nothing_and_grow_nothing(
    tmp_path, record_property
):
    """The full one is `python benchmarks/soak.py`; this keeps it true between."""
    record_property("cases", PICTURES)
    ran = subprocess.run(
        [sys.executable, SOAK, "--pictures", str(PICTURES), "--json", tmp_path / "f"],
        check=False,
        capture_output=True,
        text=True,
        timeout=220,
    )

    assert ran.stderr == ""
    claims = json.loads((tmp_path / "f").read_text())["claims"]
    assert [one["claim"] for one in claims if one["holds"] is False] == []
    assert ran.returncode == 0
