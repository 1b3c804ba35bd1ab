"""Folders and files that are their owner's alone, whatever the umask allows."""

import os
from pathlib import Path


def make_folder(path: Path) -> list[Path]:
    """
    Make a folder, and those above it that are missing; returns those it made.

    Raises:
        OSError: The disk does not let us.
    """
    # Not `parents=True`: that makes the folders above as the umask has it.
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    return missing


def opener(path: str, flags: int) -> int:
    """Open for `open(..., opener=opener)`."""
    return os.open(path, flags, 0o600)
