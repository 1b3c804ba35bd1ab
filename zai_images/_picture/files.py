"""Folders and files that are their owner's alone, whatever the umask allows."""

import os
from pathlib import Path


def make_folder(path: Path) -> None:
    """
    Make a folder, and those above it that are missing.

    Raises:
        OSError: The disk does not let us.
    """
    # Not `parents=True`: that makes the folders above as the umask has it.
    for folder in reversed([one for one in (path, *path.parents) if not one.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)


def opener(path: str, flags: int) -> int:
    """Open for `open(..., opener=opener)`."""
    return os.open(path, flags, 0o600)
