"""What tests read off a command that ran, and off the folder of its job."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def pictures(folder: str = "out") -> list[str]:
    """Name the pictures of a job."""
    return sorted(path.name for path in Path(folder).glob("pictures/*/*"))


def lines(ran: SimpleNamespace) -> list[dict[str, Any]]:
    """Read the JSON lines that a command wrote."""
    return [json.loads(line) for line in ran.out.splitlines()]
