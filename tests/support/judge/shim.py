"""
The preloaded shim from Python: build it, steer it, read what it has seen.

The shim is C because SQLite's own writes pass through libc, where no Python sees them.
"""

import ctypes
import errno
import os
import shutil
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

SOURCE = Path(__file__).with_name("shim.c")
FAILURES = {
    name: getattr(errno, name)
    for name in ("ENOSPC", "EIO", "EMFILE", "EDQUOT", "EROFS", "EACCES")
}
# Calls that touch files; the rest of the operations are of sockets.
FILE_CALLS = (
    "open",
    "write",
    "sync",
    "truncate",
    "allocate",
    "rename",
    "unlink",
    "mkdir",
    "link",
)
_HEAD = struct.Struct("<Iiqq3I12s")


class NoCompilerError(Exception):
    """Say that the shim cannot be built here."""


def build(folder: Path) -> Path:
    """
    Compile the shim into `folder`.

    Raises:
        NoCompilerError: There is no C compiler.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise NoCompilerError("no C compiler (apt-get install gcc libc6-dev)")
    library = folder / "shim.so"
    command = [compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library]
    subprocess.run([*command, SOURCE, "-ldl", "-lpthread"], check=True)
    return library


@attrs.frozen(kw_only=True)
class Rule:
    """
    Say what happens at the n-th matching event.

    Attributes:
        calls: Operations that match; none is every one.
        path: What their path must look like, as a shell pattern.
        nth: The first event that it happens to, from 1.
        after: Kill after the event took effect, not before.
        error: The errno to fail with; 0 kills the process.
        times: How many events fail; -1 is every one from then on.
    """

    calls: tuple[str, ...] = ()
    path: str = "*"
    nth: int = 1
    after: bool = False
    error: int = 0
    times: int = 1


@attrs.frozen
class Event:
    """
    One event: what was done, to what, and for a write or a send with what data.

    Attributes:
        call: `create` is an `open` that made the file; of a rename `other` is the old
            name.
    """

    call: str
    path: str
    other: str
    fd: int
    offset: int
    result: int
    data: bytes = attrs.field(repr=len)


def setup(root: str, log: str, *, record: bool, rule: Rule | None) -> None:
    """Wake the shim in this process, which must have been started with it."""
    shim = ctypes.CDLL(None)
    shim.judge_setup(os.fsencode(root), os.fsencode(log), int(record))
    if rule is not None:
        shim.judge_rule(
            int(rule.after),
            "".join(f",{call}," for call in rule.calls).encode(),
            rule.path.encode(),
            ctypes.c_long(rule.nth),
            ctypes.c_long(rule.times),
            rule.error,
        )


def jump_clock(jumps: Iterable[tuple[float, int]]) -> None:
    """Let the clock on the wall be wrong by so many seconds, from each time on."""
    shim = ctypes.CDLL(None)
    for at, offset in sorted(jumps):
        shim.judge_jump(ctypes.c_double(at), ctypes.c_long(offset))


def events(log: Path) -> Iterator[Event]:
    """Read what the shim has written; a record that was cut off is left out."""
    data = log.read_bytes() if log.exists() else b""
    position = 0
    while position + _HEAD.size <= len(data):
        magic, fd, offset, result, path, other, size, call = _HEAD.unpack_from(
            data, position
        )
        assert magic == 0x4A554447, "the shim's log is garbled"
        position += _HEAD.size
        if position + path + other + size > len(data):
            return
        names = (
            os.fsdecode(data[position : position + path]),
            os.fsdecode(data[position + path : position + path + other]),
        )
        position += path + other
        content = data[position : position + size]
        position += size
        yield Event(call.rstrip(b"\0").decode(), *names, fd, offset, result, content)


def point(event: Event) -> tuple[str, str]:
    """Name the place in the program that an event is of: the call and its target."""
    call = "open" if event.call == "create" else event.call
    path = event.path
    if not path.startswith("/"):
        return call, path
    name = path.rpartition("/")[2]
    if name.startswith("job.sqlite"):
        return call, f"*/{name}"
    if name.endswith(".part"):
        return call, "*.part"
    if name.endswith((".png", ".jpg", ".webp")):
        return call, f"*{name[name.rindex('.') :]}"
    if "/pictures/" in path:
        return call, "*/pictures/*"
    return call, f"*/{name}"
