"""
Make pictures with Z.AI's CogView-4 from asyncio: one, or a million.

Nothing is paid twice by accident, nothing paid is lost, and every error says what
happened, whether it cost money, and what to do next.

The names are loaded on first use, so a process that never uses them, such as a pytest
run that only loads the plugin, does not pay for the import.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from zai_images._version import __version__ as __version__

if TYPE_CHECKING:
    from zai_images._exports import *  # noqa: F403 - `_exports` is the list


def __getattr__(name: str) -> object:
    # Public names begin with a capital; Python finds the submodules by itself.
    if (name[:1].isupper() or name == "__all__") and name in _load():
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_load())


def _load() -> dict[str, object]:
    """Load all public names when the first one is asked for."""
    exports = vars(import_module(f"{__name__}._exports"))
    public = {name: value for name, value in exports.items() if name[:1].isupper()}
    globals().update(public, __all__=sorted([*public, "__version__"]))
    return globals()
