"""Read a job from end to end: its records, and its files against their hashes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from zai_images.jobs._journal import queries
from zai_images.jobs._report import Damage, JobRecord
from zai_images.jobs._store import Store

_BLOCK = 500  # rows read together
_PART = 2**20  # bytes hashed at once


async def records(store: Store) -> AsyncIterator[JobRecord]:
    """Read all that is known of each item, by number."""
    number = 0
    while block := await store.do(queries.records_after(number, _BLOCK)):
        for record in block:
            yield record
        number = block[-1].number


async def verify(store: Store) -> AsyncIterator[Damage]:
    """Compare every saved file with its recorded hash."""
    number = 0
    while block := await store.do(queries.pictures_after(number, _BLOCK)):
        for damage in await asyncio.to_thread(_damages, store.folder.path, block):
            yield damage
        number = block[-1][0]


def _damages(folder: Path, recorded: list[tuple[int, str, int, str]]) -> list[Damage]:
    found = []
    for number, path, size, sha256 in recorded:
        if reason := _fault(folder / path, size, sha256):
            found.append(Damage(number=number, path=path, reason=reason))
    return found


def _fault(file: Path, size: int, sha256: str) -> str | None:
    digest = hashlib.sha256()
    try:
        if file.stat().st_size != size:
            return f"has {file.stat().st_size} bytes, not {size}"
        with file.open("rb") as content:
            while part := content.read(_PART):
                digest.update(part)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if digest.hexdigest() == sha256 else "has another content"
