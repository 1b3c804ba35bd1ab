"""What people do to a job's folder, and what they may then rely on."""

import hashlib
import random
import shutil
import struct
import zlib
from collections import Counter
from pathlib import Path

import attrs
from support.judge.paid_service import picture
from support.world.invariants import Look


def digest(path: Path) -> str:
    """Hash a file as it is."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def with_text(data: bytes) -> bytes:
    """Add a text chunk to a PNG, as an image editor does."""
    end = data.rindex(b"IEND") - 4
    body = b"tEXt" + b"Comment\0mine"
    chunk = struct.pack(">I", len(body) - 4) + body
    return data[:end] + chunk + struct.pack(">I", zlib.crc32(body)) + data[end:]


@attrs.define
class People:
    """
    People who use the same folder.

    Attributes:
        theirs: Files that a person made or changed, by path within the job, and hash.
        removed: Files that a person removed, with what was in them.
        torn: Files that lost their end.
        moved: Files that have another name now.
        recorded: Files that the job knew when it was last looked at.
        gone: Files that it knew when they were removed, and that nobody asked for.
        known: Files that it knew when they were moved.
        edited: Files that it knew when they were changed.
        away: Where a folder is that was moved away, and where it was.
    """

    place: Path
    job: Path
    dice: random.Random
    theirs: dict[Path, str] = attrs.field(factory=dict)
    removed: set[Path] = attrs.field(factory=set)
    torn: set[Path] = attrs.field(factory=set)
    moved: dict[Path, Path] = attrs.field(factory=dict)
    recorded: set[Path] = attrs.field(factory=set)
    gone: set[Path] = attrs.field(factory=set)
    known: set[Path] = attrs.field(factory=set)
    edited: set[Path] = attrs.field(factory=set)
    away: tuple[Path, Path] | None = None

    def pictures(self) -> list[Path]:
        """List the pictures that nobody has touched."""
        touched = {*self.theirs, *self.torn, *self.moved.values()}
        found = sorted(self.job.glob("pictures/*/*.png"))
        return [one for one in found if one not in touched]

    def learn(self, look: Look | None) -> None:
        """Take note of what the job knows."""
        if look is not None:
            saved = (one for one in look.records if one["state"] == "saved")
            self.recorded = {self.job / one["path"] for one in saved}

    def do(self, what: str) -> bool:
        """Do something, if there is anything to do it to."""
        return bool(getattr(self, f"_{what}")())

    def _one(self) -> Path | None:
        found = self.pictures()
        return self.dice.choice(found) if found else None

    def _edit(self) -> bool:
        if (one := self._one()) is None:
            return False
        one.write_bytes(with_text(one.read_bytes()))
        self._changed(one)
        return True

    def _replace(self) -> bool:
        """Put another picture of one's own under the same name."""
        if (one := self._one()) is None:
            return False
        one.write_bytes(picture(f"own {self.dice.random()}", 900))
        self._changed(one)
        return True

    def _changed(self, one: Path) -> None:
        self.theirs[one] = digest(one)
        self.edited |= {one} & self.recorded

    def _delete(self) -> bool:
        if (one := self._one()) is None:
            return False
        one.unlink()
        self.removed.add(one)
        self.gone |= {one} & self.recorded
        return True

    def _tear(self) -> bool:
        if (one := self._one()) is None:
            return False
        whole = one.read_bytes()
        one.write_bytes(whole[: self.dice.randrange(len(whole) - 20)])
        self.torn.add(one)
        return True

    def _rename(self) -> bool:
        if (one := self._one()) is None:
            return False
        target = one.with_name(f"my fox {len(self.moved)}.png")
        one.rename(target)
        self.moved[one] = target
        self.known |= {one} & self.recorded
        return True

    def _sort(self) -> bool:
        """Move a picture into a folder of one's own within the job's."""
        if (one := self._one()) is None:
            return False
        folder = self.job / "pictures" / "best"
        folder.mkdir(exist_ok=True)
        target = folder / f"{len(self.moved)}.png"
        one.rename(target)
        self.moved[one] = target
        self.known |= {one} & self.recorded
        return True

    def _own_file(self) -> bool:
        """Have a file of one's own where a picture would be."""
        folder = self.job / "pictures" / "000"
        number = self.dice.randint(1, 9)
        target = folder / f"{number:06d}.png"
        if not folder.is_dir() or target.exists() or target in self.moved:
            return False
        if target in self.removed:
            return False
        target.write_bytes(picture(f"own {self.dice.random()}", 900))
        self.theirs[target] = digest(target)
        return True

    def _notes(self) -> bool:
        """Leave what file browsers and people leave."""
        folder = self.job / "pictures"
        if not folder.is_dir():
            return False
        for name in (".DS_Store", "notes.txt"):
            (folder / name).write_text("notes")
            self.theirs[folder / name] = digest(folder / name)
        return True

    def _move_job(self) -> bool:
        """Give the whole job another name."""
        old, new = self.job, self.job.with_name(f"{self.job.name}-")
        if not old.is_dir():
            return False
        old.rename(new)

        def there(path: Path) -> Path:
            return new / path.relative_to(old)

        self.job = new
        self.theirs = {there(path): found for path, found in self.theirs.items()}
        self.moved = {there(a): there(b) for a, b in self.moved.items()}
        self.removed = set(map(there, self.removed))
        self.torn = set(map(there, self.torn))
        self.recorded = set(map(there, self.recorded))
        self.gone = set(map(there, self.gone))
        self.known = set(map(there, self.known))
        self.edited = set(map(there, self.edited))
        return True

    def _unlock(self) -> bool:
        lock = self.job / ".lock"
        there = lock.exists()
        lock.unlink(missing_ok=True)
        return there

    def _take_away(self) -> bool:
        """Take the pictures away, as a disk that is not mounted does."""
        whole = self.job / "pictures"
        source = self.dice.choice([whole, whole / "000"])
        known = self.recorded.intersection(self.pictures())
        if self.away is not None or not known or self.theirs:
            return False
        target = self.place / "elsewhere"
        source.rename(target)
        if source == whole and self.dice.random() < 0.5:
            source.mkdir()  # the place where a disk is mounted
        self.away = (source, target)
        return True

    def bring_back(self) -> None:
        """Put back what was taken away."""
        if self.away is None:
            return
        source, target = self.away
        self.away = None
        if source.exists():
            for left in source.iterdir():
                assert not left.is_dir() or not any(left.iterdir()), (
                    f"something was written to {left} while the pictures were away"
                )
            shutil.rmtree(source)
        target.rename(source)

    def asked_back(self) -> None:
        """Allow what was removed to be fetched again."""
        self.gone.clear()

    def mended(self, look: Look) -> None:
        """Expect torn files to be whole again, but where no link gives them."""
        saved = {one["path"] for one in look.records if one["state"] == "saved"}
        names = {path: path.relative_to(self.job).as_posix() for path in self.torn}
        self.torn = {path for path, name in names.items() if name not in saved}

    def check_found(self, look: Look) -> None:
        """What they did is known: what is gone, what is changed, what was moved."""
        saved = [one for one in look.records if one["state"] == "saved"]
        paths = {self.job / one["path"]: one for one in saved}
        gone = [one for one in paths if not one.exists()]
        assert look.status["missing"] == len(gone), (look.status, gone)
        changed = [
            path
            for path, one in paths.items()
            if path.exists() and digest(path) != one["sha256"]
        ]
        assert look.status["changed"] == len(changed), (look.status, changed)
        if "damages" in look.status:
            wrong = Counter(missing=len(gone), changed=len(changed))
            assert Counter(look.status["damages"]) == +wrong, look.status
        for path in self.edited:
            assert path in paths, f"{path} was changed, and is its item's no more"
        for source in self.known:
            assert self.moved[source] in paths, f"{source} was moved, and not found"

    def check(self) -> None:
        """What is theirs is as they left it, and what they removed stays away."""
        for path in self.gone:
            assert not path.exists(), f"removed by a person, and there again: {path}"
        for path, found in self.theirs.items():
            assert path.is_file(), f"a person's file is gone: {path}"
            assert digest(path) == found, f"a person's file was overwritten: {path}"


# What they do to a folder, whether or not its job runs, or between two runs alone.
BETWEEN = ("move_job",)
DOINGS = (
    "edit",
    "replace",
    "delete",
    "tear",
    "rename",
    "sort",
    "own_file",
    "notes",
    "unlock",
)
