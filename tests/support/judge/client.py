"""
The command line in real processes, quickly: one that has imported it, forked per run.

    with Client(shim) as client:
        ran = client.run("batch", "p.txt", "--out", "out", environment=..., cwd=...)

Each run is a process of its own, with its own signals, descriptors and death; only the
import is shared. The first process does nothing but fork, so it has no threads.
"""

import contextlib
import importlib
import json
import os
import queue
import signal
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

TESTS = Path(__file__).parents[2]
HANGS = 60.0  # seconds; no run of a test is that long
AT_ONCE = 2  # trials side by side: one waits where the other computes
_First = subprocess.Popen[str]  # it has imported the program, and only forks


@attrs.frozen(kw_only=True)
class Ran:
    """
    Hold how a run ended.

    Attributes:
        code: The exit code; of a killed process the negative signal.
    """

    code: int
    out: str
    err: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    def json(self) -> Any:
        return json.loads(self.out)


class Client:
    """
    Fork the program for each run; as many at once as there are first processes.

    Args:
        shim: The library to preload, or None.
        package: The folder that holds the `zai_images` to run; None is the installed.
        at_once: Runs side by side, each asked for by a thread of its own.
        preload: More modules that the first processes import.
    """

    def __init__(
        self,
        shim: Path | None,
        package: Path | None = None,
        at_once: int = 1,
        preload: Iterable[str] = (),
    ) -> None:
        self._preload = tuple(preload)
        self._package = package
        self._at_once = at_once
        self._free: queue.SimpleQueue[_First] = queue.SimpleQueue()
        self._environment = dict(os.environ, PYTHONPATH=str(TESTS))
        if package is not None:
            self._environment["PYTHONPATH"] = f"{package}{os.pathsep}{TESTS}"
        if shim is not None:
            self._environment["LD_PRELOAD"] = str(shim)

    def __enter__(self) -> Self:
        for _ in range(self._at_once):
            first = subprocess.Popen(
                [sys.executable, "-P", "-m", "support.judge.client", *self._preload],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self._environment,
            )
            found = Path(_line(first).strip())
            assert self._package is None or found == self._package / "zai_images"
            self._free.put(first)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for _ in range(self._at_once):
            self._free.get().communicate()

    def run(
        self,
        *arguments: object,
        cwd: Path,
        said: Path,
        environment: Mapping[str, str],
        judge: Mapping[str, Any] | None = None,
        pages: int | None = None,
        meanwhile: Callable[[int], None] | None = None,
        play: str | None = None,
    ) -> Ran:
        """
        Run the program to its end.

        Args:
            arguments: Those of `zai-images`.
            cwd: The folder to run in.
            said: Where what it says is written, in files.
            environment: Added to this process's own.
            judge: What the shim is to do: `root`, `log`, `record`, `rule`.
            pages: How many pages a SQLite file may have.
            meanwhile: Called with the process id as soon as it runs.
            play: A module whose `main(arguments)` is run instead of the program's.
        """
        asked = {
            "arguments": [str(one) for one in arguments],
            "cwd": str(cwd),
            "said": str(said),
            "environment": dict(environment),
            "judge": dict(judge) if judge else None,
            "pages": pages,
            "play": play or "zai_images.cli",
        }
        for name in ("stdout", "stderr"):  # it may be killed before it opens them
            (said / name).write_text("")
        first = self._free.get()
        try:
            code = _run(first, asked, meanwhile)
        finally:
            self._free.put(first)
        return Ran(
            code=code,
            out=(said / "stdout").read_text(),
            err=(said / "stderr").read_text(),
        )


def _run(
    first: _First, asked: Mapping[str, Any], meanwhile: Callable[[int], None] | None
) -> int:
    """Let a first process fork, and wait for the exit code."""
    assert first.stdin is not None
    first.stdin.write(json.dumps(asked) + "\n")
    first.stdin.flush()
    pid = int(_line(first))
    try:
        if meanwhile is not None:
            meanwhile(pid)
    except BaseException:
        send(pid, signal.SIGKILL)
        raise
    finally:
        code = int(_line(first))
    return code


def _line(first: _First) -> str:
    assert first.stdout is not None
    line = first.stdout.readline()
    assert line, "the client's first process has died"
    return line


def side_by_side(work: Callable[[Any], object], items: Iterable[Any]) -> int:
    """Do work for each item, each in a thread; returns how many there were."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return len(list(threads.map(work, items)))


def send(pid: int, which: signal.Signals) -> None:
    """Send a signal to a run, which may have ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, which)


def _child(asked: dict[str, Any]) -> int:
    os.chdir(asked["cwd"])
    # Whatever has not ended by then hangs; SIGALRM kills it and the test sees -14.
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(
            f"{asked['said']}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600
        )
        os.dup2(file, number)
        os.close(file)
    os.environ.update(asked["environment"])
    judge = asked["judge"]
    if judge is not None:
        from support.judge.shim import Rule, setup

        rule = judge.get("rule")
        if rule is not None:
            rule = Rule(**rule | {"calls": tuple(rule["calls"])})
        setup(judge["root"], judge["log"], record=judge["record"], rule=rule)
    if asked["pages"] is not None:
        _limit_pages(asked["pages"])
    code: int = importlib.import_module(asked["play"]).main(asked["arguments"])
    return code


def _limit_pages(pages: int) -> None:
    """Let SQLite find every file full at a size; the rest of it is as it was."""
    connect = sqlite3.connect

    def connect_limited(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.execute(f"PRAGMA max_page_count={pages}")
        return connection

    sqlite3.connect = connect_limited


def _fork(asked: dict[str, Any]) -> None:
    pid = os.fork()
    if pid:
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
        return
    code = 70
    try:
        code = _child(asked)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter itself would
        traceback.print_exc()
        code = 71
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Import everything, then fork for each line of the input."""
    for name in ("cli", "jobs", "sandbox"):
        importlib.import_module(f"zai_images.{name}")
    for name in sys.argv[1:]:
        importlib.import_module(name)
    sys.stdout.write(f"{Path(sys.modules['zai_images'].__path__[0])}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        _fork(json.loads(line))


if __name__ == "__main__":
    main()
