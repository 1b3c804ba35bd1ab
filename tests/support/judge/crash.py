"""
Rebuild what a disk may hold after the power went: from the recorded calls of one run.

A file's data is safe once the file was synced, a name once its folder was. What was not
synced may be there or not, in any mixture: a `Mode` says which mixture is looked at.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import attrs
from support.judge.shim import Event

# Each of these is a fault class that no other one covers.
Mode = Literal[
    "dropped",  # nothing that was not synced: a missing sync
    "kept",  # everything, as after a kill: what a sync would have hidden
    "names",  # names without their data: a rename before the file's own sync
    "data",  # data without its names: a missing sync of a folder
    "torn",  # everything, but of the last write the first half
    "mixed",  # any mixture, in sectors: a reordering
]
MODES: tuple[Mode, ...] = ("dropped", "kept", "names", "data", "torn", "mixed")
SECTOR = 512
CHANGES = frozenset(
    (
        "create",
        "write",
        "truncate",
        "allocate",
        "sync",
        "rename",
        "unlink",
        "mkdir",
        "link",
    )
)


@attrs.define(eq=False)
class _Node:
    """A file or a folder: what is safe, and what was done since, in order."""

    is_folder: bool
    data: bytearray = attrs.field(factory=bytearray)
    writes: list[tuple[int, bytes | None]] = attrs.field(factory=list)
    names: dict[str, "_Node"] = attrs.field(factory=dict)
    moves: list[list[tuple[str, "_Node | None"]]] = attrs.field(factory=list)

    def sync(self) -> None:
        for write in self.writes:
            _apply(self.data, write)
        for move in self.moves:
            _rename(self.names, move)
        self.writes.clear()
        self.moves.clear()

    def now(self) -> dict[str, "_Node"]:
        """Tell the names as the running program sees them."""
        names = dict(self.names)
        for move in self.moves:
            _rename(names, move)
        return names


def _apply(data: bytearray, write: tuple[int, bytes | None]) -> None:
    offset, content = write
    end = offset if content is None else offset + len(content)
    if len(data) < end:
        data.extend(bytes(end - len(data)))
    if content is None:  # a truncation
        del data[offset:]
    else:
        data[offset:end] = content


def _rename(names: dict[str, _Node], move: Sequence[tuple[str, _Node | None]]) -> None:
    for name, node in move:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """
    Follow the recorded calls below `root`, as the disk would.

    Args:
        root: The folder whose calls were recorded.
        before: What lay in it when the run began: paths and contents, all of it safe;
            a path that ends with a slash is an empty folder.
    """

    def __init__(self, root: Path, before: dict[str, bytes]) -> None:
        self._root = str(root)
        self._top = _Node(is_folder=True)
        self._open: dict[int, _Node] = {}
        for path, content in before.items():
            *folders, name = path.split("/")
            node = self._top
            for folder in folders:
                node = node.names.setdefault(folder, _Node(is_folder=True))
            if name:
                node.names[name] = _Node(is_folder=False, data=bytearray(content))
        self._last: _Node | None = None

    def follow(self, event: Event) -> None:
        """Take note of one call."""
        assert event.call != "unseen", f"{event.other} goes past the log: {event}"
        if event.call == "open":
            node = self._find(event.path)
            assert node is not None, event
            self._open[event.fd] = node
        elif event.call == "create":
            self._open[event.fd] = _Node(is_folder=False)
            self._move(event.path, self._open[event.fd])
        elif event.call in ("truncate", "allocate"):
            self._open[event.fd].writes.append((event.offset, None))
        elif event.call == "write":
            self._last = self._open[event.fd]
            self._last.writes.append((event.offset, event.data))
        elif event.call == "sync":
            self._open[event.fd].sync()
        elif event.call == "mkdir":
            self._move(event.path, _Node(is_folder=True))
        elif event.call == "unlink":
            self._move(event.path, None)
        elif event.call == "link":
            self._move(event.path, self._find(event.other))
        elif event.call == "rename":
            self._renamed(event.other, event.path)

    def _parts(self, path: str) -> list[str]:
        return list(Path(path).relative_to(self._root).parts)

    def _find(self, path: str) -> _Node | None:
        node: _Node | None = self._top
        for part in self._parts(path):
            node = node.now().get(part) if node is not None else None
        return node

    def _move(self, path: str, node: _Node | None) -> None:
        *parents, name = self._parts(path)
        folder = self._find(str(Path(self._root, *parents)))
        assert folder is not None, path
        folder.moves.append([(name, node)])

    def _renamed(self, source: str, target: str) -> None:
        node = self._find(source)
        *parents, old = self._parts(source)
        *others, new = self._parts(target)
        if parents == others:  # one step of one folder: both names or neither
            folder = self._find(str(Path(self._root, *parents)))
            assert folder is not None, target
            folder.moves.append([(old, None), (new, node)])
            return
        self._move(target, node)
        self._move(source, None)

    def write(self, folder: Path, mode: Mode, seed: int = 0) -> None:
        """Write what the disk may hold now into an empty folder."""
        self._mode, self._dice = mode, random.Random(seed)
        self._write(self._top, folder)

    def _write(self, node: _Node, path: Path) -> None:
        path.mkdir(exist_ok=True)
        for name, child in self._names(node).items():
            if child.is_folder:
                self._write(child, path / name)
            else:
                (path / name).write_bytes(self._content(child))

    def _names(self, node: _Node) -> dict[str, _Node]:
        if self._mode in ("dropped", "data"):
            return node.names
        if self._mode != "mixed":
            return node.now()
        names = dict(node.names)
        for move in node.moves[: self._dice.randint(0, len(node.moves))]:
            _rename(names, move)
        return names

    def _content(self, node: _Node) -> bytes:
        data = bytearray(node.data)
        if self._mode in ("dropped", "names"):
            return bytes(data)
        for index, write in enumerate(node.writes):
            (offset, content), torn = write, write
            last = node is self._last and index == len(node.writes) - 1
            if self._mode == "torn" and last and content is not None:
                torn = (offset, content[: len(content) // 2])
            if self._mode != "mixed" or content is None:
                _apply(data, torn)
                continue
            for at in range(0, len(content), SECTOR):
                if self._dice.random() < 0.5:
                    _apply(data, (offset + at, content[at : at + SECTOR]))
        return bytes(data)


def prefixes(events: Sequence[Event]) -> Iterator[int]:
    """Tell after how many events the disk, or what the world was told, is another."""
    for index, event in enumerate(events, 1):
        if event.call in CHANGES or event.call == "send":
            yield index
