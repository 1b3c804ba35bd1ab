"""
The command line: `zai-images`, also `python -m zai_images`.

It needs the extra `cli`; importing this package does not.
"""

import sys
from collections.abc import Sequence

__all__ = ["main"]

_EXTRA = "The command line needs its extra: pip install 'zai-images[cli]'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `sys.argv` where none is given."""
    try:
        from zai_images.cli._app import run  # noqa: PLC0415 - the extra may be missing

        return run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("cyclopts", "rich"):
            raise
        print(_EXTRA, file=sys.stderr)  # noqa: T201 - rich itself may be missing
        return 2
