"""
Make pictures with Z.AI's CogView-4 from asyncio: one, or a million.

Nothing is paid twice by accident, nothing paid is lost, and every error says what
happened, whether it cost money, and what to do next.

The names are loaded when they are first used: whoever has this package installed and
does not use it, as a run of pytest with its plugin, does not pay for its import.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from zai_images._version import __version__ as __version__

if TYPE_CHECKING:
    from zai_images._exports import *  # noqa: F403 - `_exports` is the list


def __getattr__(name: str) -> object:
    # The names begin with a capital. All else is a door, which Python finds by itself.
    if (name[:1].isupper() or name == "__all__") and name in _load():
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_load())


def _load() -> dict[str, object]:
    """Bring the public names in; what asks for the first of them waits for all."""
    exports = vars(import_module(f"{__name__}._exports"))
    public = {name: value for name, value in exports.items() if name[:1].isupper()}
    globals().update(public, __all__=sorted([*public, "__version__"]))
    return globals()
