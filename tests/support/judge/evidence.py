"""Where a paid picture has left a trace: journal, files, the terminal."""

import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from support.judge.paid_service import canonical, content

JOURNAL = "job.sqlite"


@attrs.frozen(kw_only=True)
class Evidence:
    """
    All that is known of the links and pictures of one account after a run.

    Attributes:
        journal: What stands in any cell of the journal, as one text.
        beside: What stands in the other files of the job and of the state folder.
        elsewhere: What stands in files outside of these two.
        told: What the program has said so far, in full.
        pictures: The pictures that are files anywhere, by their content.
        unrecorded: Something lies beside the journal that it has not taken in yet.
    """

    journal: str
    beside: str
    elsewhere: str
    told: str
    pictures: frozenset[str]
    unrecorded: bool = False

    @classmethod
    def of(cls, job: Path, place: Path, told: str) -> "Evidence":
        """Look through a job's folder, all that lies around it, and what was said."""
        texts: dict[bool, list[str]] = {True: [], False: []}
        pictures, unrecorded = set(), False
        for path in sorted(place.parent.rglob("*")):
            ours = job in path.parents or place.parent / "state" in path.parents
            if path.suffix == ".png":
                pictures.add(content(path.read_bytes()))
            elif path.is_file() and not path.name.startswith(JOURNAL):
                texts[ours].append(path.read_bytes().decode("latin-1"))
                unrecorded = unrecorded or (ours and "unrecorded" in str(path))
        return cls(
            journal="\n".join(cells(job)),
            beside="\n".join(texts[True]),
            elsewhere="\n".join(texts[False]),
            told=told,
            pictures=frozenset(pictures - {"damaged"}),
            unrecorded=unrecorded,
        )

    def in_journal(self, link: str) -> bool:
        return link in self.journal

    def on_disk(self, link: str, picture: str) -> bool:
        """Tell whether a later run can come by the picture."""
        return link in self.journal or link in self.beside or picture in self.pictures

    def anywhere(self, link: str, picture: str) -> bool:
        return (
            self.on_disk(link, picture) or link in self.elsewhere or link in self.told
        )


NOTHING = Evidence(journal="", beside="", elsewhere="", told="", pictures=frozenset())


def _copied(job: Path, folder: str) -> sqlite3.Connection:
    """Open a copy of a journal, for opening it would recover its log."""
    for name in (JOURNAL, f"{JOURNAL}-wal"):
        if (job / name).exists():
            shutil.copy(job / name, folder)
    return sqlite3.connect(Path(folder, JOURNAL))


def cells(job: Path) -> Iterator[str]:
    """Read every text and blob of a journal, whatever its tables are."""
    if not (job / JOURNAL).exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        connection = _copied(job, folder)
        try:
            tables = connection.execute(
                "SELECT name FROM sqlite_master WHERE type='table'"
            ).fetchall()
            for (table,) in tables:
                for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 - its own name
                    for cell in row:
                        if isinstance(cell, bytes):
                            yield cell.decode("latin-1")
                        elif isinstance(cell, str):
                            yield cell
        finally:
            connection.close()


def payments(job: Path) -> Mapping[str, tuple[int, int]] | None:
    """
    Read what a journal says of the payments for each prompt: billed, maybe.

    None where it has no such columns.
    """
    if not (job / JOURNAL).exists():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        connection = _copied(job, folder)
        try:
            columns = {row[1] for row in connection.execute("PRAGMA table_info(items)")}
            if not columns >= {"billed", "maybe"}:
                return None if columns else {}
            rows = connection.execute(
                "SELECT body, billed, maybe FROM items"
            ).fetchall()
        finally:
            connection.close()
    billed: Counter[str] = Counter()
    maybe: Counter[str] = Counter()
    for body, paid, unsure in rows:
        prompt = canonical(json.loads(body)["prompt"])
        billed[prompt] += paid
        maybe[prompt] += unsure
    return {prompt: (billed[prompt], maybe[prompt]) for prompt in billed | maybe}


def links_of(entry: Mapping[str, Any], number: int) -> list[tuple[str, str]]:
    """List the links of a request, as they can be looked for, with their pictures."""
    names = [f"/p/{number}.png?"]
    names += [f"/p/{number}.{n}.png?" for n in range(1, len(entry["contents"]))]
    return list(zip(names, entry["contents"], strict=False))
