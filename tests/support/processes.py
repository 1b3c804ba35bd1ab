"""Processes of a test's own, which coverage need not watch."""

import os


def unmeasured() -> dict[str, str]:
    """Make the environment of a process in which coverage does not start."""
    return {k: v for k, v in os.environ.items() if not k.startswith("COV")}
