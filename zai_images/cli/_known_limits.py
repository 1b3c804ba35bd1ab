"""
What is remembered from run to run: how many places an account had for a model.

It stands in `zai-images/limits.json` in the user's state folder, under a fingerprint of
the key, which does not tell the key. It is advice only: without it the places are found
again.
"""

import hashlib
import hmac
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zai_images import SessionConfig, SessionStats
from zai_images._picture.files import make_folder, state_folder, write_atomically

_LABEL = b"zai-images: whose limits are these"
_LEARNED = ("refused", "latency", "known")
_log = logging.getLogger("zai_images")


def limits_file() -> Path:
    """
    Tell where the limits are kept.

    Raises:
        RuntimeError: There is no home folder.
    """
    folder = state_folder()
    if folder is None:
        raise RuntimeError("there is no home folder")
    return folder / "limits.json"


def account(config: SessionConfig) -> str | None:
    """Name the account that limits belong to; None for a server on this machine."""
    if config.api_key is None or config.loopback:
        return None
    mark = hmac.digest(config.api_key.encode(), _LABEL, hashlib.sha256)[:8]
    return f"{mark.hex()}@{config.host}"


def load_known_limits(config: SessionConfig) -> Mapping[str, int]:
    """Look up the limits of an account, by model; never fails."""
    name = account(config)
    found = None if name is None else _read().get(name)
    if not isinstance(found, dict):
        return {}
    return {model: limit for model, limit in found.items() if _is_limit(limit)}


def save_known_limits(config: SessionConfig, stats: SessionStats) -> None:
    """Keep what a session has learned; never fails."""
    name = account(config)
    if name is None:
        return
    before = load_known_limits(config)
    now = dict(before)
    for model, found in stats.models.items():
        if found.limit_reason in _LEARNED:
            now[model] = found.limit
        if found.limit_reason == "known":
            # Nothing spoke against it, and a session begins below what it was told.
            now[model] = max(found.limit, before.get(model, 0))
    if now == before:
        return
    try:
        path = limits_file()
        make_folder(path.parent)
        content = json.dumps(_read() | {name: now}, indent=1)
        write_atomically(path, content.encode() + b"\n")
    except (OSError, RuntimeError) as error:
        _log.debug("The limits that were found cannot be kept: %s", error)


def clear_known_limits() -> Path | None:
    """
    Delete all that is remembered, and tell where it was.

    Raises:
        OSError: The disk does not let us.
    """
    path = limits_file()
    if not path.exists():
        return None
    path.unlink()
    return path


def _read() -> dict[str, Any]:
    try:
        found = json.loads(limits_file().read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError, RuntimeError) as error:
        _log.debug("The limits of earlier runs cannot be read: %s", error)
        return {}
    if isinstance(found, dict):
        return found
    _log.debug("The limits of earlier runs are no JSON object")
    return {}


def _is_limit(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 10**5
