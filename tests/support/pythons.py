"""The Pythons of this machine, and those that cannot be had here."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MISSING = os.environ.get("PYTHONS_MISSING", "").split()


def interpreters(version: str) -> Iterator[str]:
    """Look where a Python may be: here, on the path, and with pyenv."""
    yield sys.executable
    if found := shutil.which(f"python{version}"):
        yield found
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for folder in sorted((home / "versions").glob(f"{version}.*")):
        yield str(folder / "bin/python")


def interpreter(version: str) -> str | None:
    """Find a Python of a version that can make environments; a shim may be hollow."""
    code = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    for found in interpreters(version):
        ran = subprocess.run(
            [found, "-c", code], check=False, capture_output=True, text=True
        )
        if ran.returncode == 0 and ran.stdout.strip() == version:
            return found
    return None
