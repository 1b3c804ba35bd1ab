"""A job from end to end: its records, and what became of its files."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Literal

from zai_images._picture.header import NotAPictureError
from zai_images._picture.picture import inspect
from zai_images.jobs._errors import JobError
from zai_images.jobs._folder import JobFolder
from zai_images.jobs._journal import queries
from zai_images.jobs._journal.queries import Recorded
from zai_images.jobs._journal.steps import Seen, see
from zai_images.jobs._journal.writer import Writer
from zai_images.jobs._report import Damage, JobRecord
from zai_images.jobs._store import Store

Kind = Literal["missing", "changed", "damaged"]
_BLOCK = 500  # rows read together
_PART = 2**20  # bytes hashed at once


async def records(store: Store) -> AsyncIterator[JobRecord]:
    """Read all that is known of each item, by number."""
    number = 0
    while block := await store.read(queries.records_after(number, _BLOCK)):
        for record in block:
            yield record
        number = block[-1].number


async def verify(store: Store) -> AsyncIterator[Damage]:
    """Compare every saved file with its recorded hash."""
    shard = 0
    while shard < await store.read(queries.shards):
        block = await store.read(queries.recorded(shard))
        for damage in await asyncio.to_thread(_damages, store.folder.path, block):
            yield damage
        shard += 1


def _damages(folder: Path, recorded: Iterable[Recorded]) -> list[Damage]:
    found = [(one, _damage(folder / one.path, one)) for one in recorded]
    return [
        Damage(number=one.number, path=one.path, kind=damage[0], reason=damage[1])
        for one, damage in found
        if damage is not None
    ]


def _damage(file: Path, one: Recorded) -> tuple[Kind, str] | None:
    try:
        if file.stat().st_size == one.size and _sha256(file) == one.sha256:
            return None
        whole = _is_whole(file)
    except FileNotFoundError:
        return "missing", "is missing"
    except OSError as error:
        return "damaged", f"cannot be read: {error.strerror}"
    if whole:
        return "changed", "was changed since it was saved"
    return "damaged", "is not a whole picture"


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while part := content.read(_PART):
            digest.update(part)
    return digest.hexdigest()


def _readable_sha256(file: Path) -> str:
    try:
        return _sha256(file)
    except OSError:  # it is none of ours, or not to be had now
        return ""


def _is_whole(file: Path) -> bool:
    try:
        inspect(file.read_bytes())
    except NotAPictureError:
        return False
    return True


class Inventory:
    """
    What became of the files of a job since they were saved.

    A file that is back, moved within the folder or renamed is its item's again. One
    that a person removed or changed is left so. One that was cut off is fetched again.

    Attributes:
        shards: How many folders files may be in.
    """

    def __init__(self, folder: JobFolder, writer: Writer) -> None:
        self._folder = folder
        self._writer = writer
        self.shards = 0
        self._missing: list[Recorded] = []
        self._strangers: dict[str, int] = {}  # sizes of files that no item has

    async def refuse_if_away(self, shards: int) -> None:
        """
        Check that no folder with pictures is away as a whole, its disk perhaps.

        Raises:
            JobError: It is, and its pictures are not elsewhere in the job's folder.
        """
        self.shards = shards
        for shard in await asyncio.to_thread(self._folder.away, shards):
            await self.look(shard)
        for one in await self._match():
            if one.seen != "missing":
                folder = (self._folder.path / one.path).parent
                raise JobError(
                    f"{folder} is not there, and pictures were saved in it. Nothing "
                    "was sent or fetched. Is its disk away? Put the folder back and "
                    "run the same command again; if you removed it on purpose, make an "
                    "empty folder of that name."
                )

    async def look(self, shard: int) -> list[int]:
        """Note what became of the files of a shard; returns what is to be fetched."""
        # Recorded first, listed then: a file is there before its record is.
        recorded = await self._writer.do(queries.recorded(shard), "read")
        there = await asyncio.to_thread(self._folder.files, shard)
        seen: list[tuple[Recorded, str, Seen | None]] = []
        for one in recorded:
            size = there.pop(one.path, None)
            if size is None and one.seen != "again":
                self._missing.append(one)
                continue
            now = await self._now(one, size)
            if now != one.seen:
                seen.append((one, one.path, now))
        self._strangers |= there
        if seen:
            await self._writer.do(see(seen))
        return [one.number for one, _, now in seen if now == "again"]

    async def _now(self, one: Recorded, size: int | None) -> Seen | None:
        if size is None:
            return "again"  # as was asked
        if size == one.size and one.seen is None:
            return None
        damage = await asyncio.to_thread(_damage, self._folder.path / one.path, one)
        if damage is None:
            return None
        torn = damage[0] == "damaged" and size < one.size
        return "again" if torn else "changed"

    async def look_elsewhere(self) -> None:
        """Find what is not where it was, and note the rest as missing."""
        gone = [one for one in await self._match() if one.seen != "missing"]
        if gone:
            await self._writer.do(see([(one, one.path, "missing") for one in gone]))

    async def _match(self) -> list[Recorded]:
        """Find missing files by their hashes; returns those that are nowhere."""
        missing, self._missing = self._missing, []
        if not missing:
            return []
        found = await asyncio.to_thread(self._found, missing)
        if found:
            await self._writer.do(see([(one, path, None) for one, path in found]))
        there = {one.number for one, _ in found}
        return [one for one in missing if one.number not in there]

    def _found(self, missing: list[Recorded]) -> list[tuple[Recorded, str]]:
        wanted = defaultdict[tuple[int, str], list[Recorded]](list)
        for one in missing:
            wanted[one.size, one.sha256].append(one)
        sizes = {size for size, _ in wanted}
        strangers = self._strangers | dict(self._folder.other_files(self.shards))
        return [
            (same.pop(0), path)
            for path, size in strangers.items()
            if size in sizes
            and (same := wanted[size, _readable_sha256(self._folder.path / path)])
        ]
