"""
One life: a process of its own in which the real code runs, until it ends or is ended.

It is told in a file what to do and what happens to it at which moment of the virtual
time. The service is on the same loop; the disk's troubles are the shim's.
"""

import asyncio
import ctypes
import json
import os
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
from support.world.clock import VirtualLoop, Wall, watch_threads
from support.world.ledger import Ledger
from support.world.service import KEY, PATH, PORT, Service

import zai_images.cli
from zai_images import (
    BatchRun,
    BatchRunner,
    Failed,
    ImageSession,
    SessionConfig,
    ZaiImagesError,
)
from zai_images.events import Event, Rescued
from zai_images.jobs import ImageJob, JobError, JobReport

DAYS = 3 * 86400.0  # no life may take longer on its own clock
UNTYPED, UNHEARD, ENDLESS = 71, 72, 73  # exit codes
_SUMS = ("total", "billed", "maybe_billed")


class Life:
    """A life, and what happens in it."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self._log = os.open(told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.loop = VirtualLoop()
        self.wall = self.loop.wall = Wall()
        self.jumped = 0.0
        self.loop.set_exception_handler(self._unheard)
        ctypes.CDLL(None).judge_slow(int(told.get("slow", 0) * 1e6))
        eager = getattr(asyncio, "eager_task_factory", None)
        if told.get("eager") and eager is not None:  # Python 3.12 and newer
            self.loop.set_task_factory(eager)
        self.faults: list[str] = []
        self.rescued: list[str] = []
        self.job: ImageJob | None = None
        self.task: asyncio.Task[Any] | None = None
        self._locks: list[sqlite3.Connection] = []
        self._frozen = 0.0
        self.service: Service | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        if told["service"] is not None:
            self.service = Service(
                seed=told["seed"],
                life=told["life"],
                ledger=Ledger(Path(told["ledger"])),
                told=told["service"],
                note=self.note,
                address=told["address"],
                on_told=self._freeze,
                true_time=lambda: time.time() - self.jumped,
            )
            self.service.listen()
        self.loop.call_soon(self._begin)

    def note(self, text: str) -> None:
        """Write into the world's log."""
        at = self.loop.time() - 1000
        os.write(self._log, f"{self.told['life']:>4} {at:9.3f} {text}\n".encode())

    def _unheard(self, loop: asyncio.AbstractEventLoop, context: Any) -> None:
        text = str(context.get("message"))
        if (error := context.get("exception")) is not None:
            text += "\n" + "".join(traceback.format_exception(error))
        self.faults.append(text)
        self.note(f"UNHEARD {text}")

    # What happens.

    def _begin(self) -> None:
        if self.service is not None:
            self._tasks.add(self.loop.create_task(self.service.serve()))
        for at, what, *more in self.told["events"]:
            self.loop.call_later(at, self._happen, what, more)
        self.loop.call_later(DAYS, self._endless)

    def _endless(self) -> None:
        self.note("it does not end")
        os._exit(ENDLESS)

    def _happen(self, what: str, more: list[Any]) -> None:
        self.note(f"now: {what} {more}")
        getattr(self, f"_on_{what}")(*more)

    def _on_kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _on_signal(self, number: int) -> None:
        os.kill(os.getpid(), number)

    def _on_jump(self, seconds: float) -> None:
        self.wall.move(seconds)
        self.jumped += seconds

    def _on_stop(self) -> None:
        if self.job is not None:
            self.job.stop()

    def _on_cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def _on_freeze(self, seconds: float) -> None:
        """Be stopped as soon as an answer has come, and go on long afterwards."""
        self._frozen = seconds

    def _freeze(self) -> None:
        """
        Stand still for some time, in which the service does not.

        What it answers lies in the sockets when this process goes on, and every
        deadline is past: in one turn of the loop the answers are written, then time
        passes.
        """
        seconds, self._frozen = self._frozen, 0.0
        if not seconds or self.service is None:
            return
        self.note(f"stopped for {seconds} s")
        self.service.hurry(seconds)
        self.loop.call_soon(self._go_on, seconds)

    def _go_on(self, seconds: float) -> None:
        self.loop.pass_(seconds)
        self.loop.blind = True

    def _on_pause(self, name: str) -> None:
        """Stand still while others do what they do, if the job is open."""
        if self.job is None:
            return
        Path(self.told["said"], f"paused-{name}").touch()
        go = Path(self.told["said"], f"go-{name}")
        while not go.exists():
            time.sleep(0.001)

    def _on_lock(self, seconds: float) -> None:
        """Let another program hold the journal for some time."""
        journal = Path(self.told["folder"], "job.sqlite")
        if not journal.exists():
            return
        other = sqlite3.connect(journal, isolation_level=None, timeout=1)
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self.note(f"not locked: {error}")
            other.close()
            return
        self._locks.append(other)
        self.loop.held += 1
        self.loop.call_later(seconds, self._unlock, other)

    def _unlock(self, other: sqlite3.Connection) -> None:
        self.note("unlocked")
        other.execute("ROLLBACK")
        other.close()
        self._locks.remove(other)
        self.loop.held -= 1

    # The doors.

    def live(self) -> int:
        """Go in by a door; returns the exit code."""
        door: Callable[[], int] = getattr(self, f"_{self.told['door']}")
        code = door()
        return UNHEARD if self.faults else code

    def _cli(self) -> int:
        policy = _Policy(self.loop)
        asyncio.set_event_loop_policy(policy)
        os.environ |= {"ZAI_BASE_URL": self._base_url, "ZAI_API_KEY": KEY}
        try:
            return int(zai_images.cli.main(self.told["arguments"]) or 0)
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else 1

    @property
    def _base_url(self) -> str:
        return f"http://{self.told['address']}:{PORT}{PATH}"

    def _python(self, work: Callable[[], Awaitable[dict[str, Any]]]) -> int:
        """Carry out work, and tell how it ended."""

        async def main() -> dict[str, Any]:
            self.task = asyncio.ensure_future(work())
            try:
                return await self.task
            except asyncio.CancelledError:
                return {"error": "CancelledError", "notes": ""}
            except ZaiImagesError as error:
                return {"error": type(error).__name__, "text": str(error)}

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            told = runner.run(main())
        told["took"] = self.loop.time() - 1000
        sys.stdout.write(json.dumps(told))
        self.note(f"ended: {json.dumps(told)[:2000]}")
        return 0

    def _session(self) -> ImageSession:
        config = SessionConfig(
            api_key=KEY, base_url=self._base_url, **self.told.get("config", {})
        )
        return ImageSession(
            config, max_pictures=self.told.get("budget"), observer=self._observe
        )

    def _observe(self, event: Event) -> None:
        if isinstance(event, Rescued):
            self.rescued.append(event.request.prompt)

    def _job(self) -> int:
        return self._python(self._run_job)

    async def _run_job(self) -> dict[str, Any]:
        told = self.told
        async with (
            self._session() as session,
            ImageJob.open(told["folder"], name=told["name"]) as job,
        ):
            self.job = job
            if told["only"] is not None:
                report = await job.retry(session, told["only"], limit=told["limit"])
            else:
                report = await job.run(
                    session,
                    told["requests"],
                    on_unknown=told["on_unknown"],
                    limit=told["limit"],
                )
            self.job = None
        return _told(report)

    def _batch(self) -> int:
        return self._python(self._run_batch)

    async def _run_batch(self) -> dict[str, Any]:
        told = self.told
        found: list[Any] = []
        async with self._session() as session:
            runner = BatchRunner(session, limit=told["limit"], download=True)
            run = runner.run(told["requests"])
            ended = None
            try:
                await self._follow(run, found)
            except (ZaiImagesError, asyncio.CancelledError) as error:
                ended = type(error).__name__
            # What was awaited whole is there twice.
            finished = [] if ended is None and told["how"] == "await" else run.finished
        stats = session.stats()
        return {
            "ended": ended,
            "outcomes": [_outcome(one) for one in found],
            "finished": [_outcome(one) for one in finished],
            "abandoned": [_prompt(one.request) for one in run.abandoned],
            "rescued": self.rescued,
            "billed": stats.billed,
            "maybe": stats.maybe_billed,
        }

    async def _follow(self, run: BatchRun, found: list[Any]) -> None:
        how, most = self.told["how"], self.told["leave"]
        if how == "await":
            found += await run
            return
        async with run:
            async for outcome in run:
                found.append(outcome)
                if len(found) == most and how == "stop":
                    run.stop()
                if len(found) == most and how == "leave":
                    return

    def _calls(self) -> int:
        return self._python(self._make_calls)

    async def _make_calls(self) -> dict[str, Any]:
        requests = self.told["requests"]
        outcomes: list[dict[str, Any]] = []
        abandoned: list[str] = []
        ended = None
        async with self._session() as session:

            async def one(index: int, patience: float | None) -> None:
                try:
                    async with asyncio.timeout(patience):
                        await session.generate_picture(requests[index])
                except (TimeoutError, asyncio.CancelledError) as error:
                    abandoned.append(requests[index])
                    if isinstance(error, asyncio.CancelledError):
                        raise
                except ZaiImagesError as error:
                    outcomes.append({"index": index, "error": type(error).__name__})
                else:
                    outcomes.append({"index": index, "error": None})

            try:
                async with asyncio.TaskGroup() as group:
                    for index, patience in enumerate(self.told["patience"]):
                        group.create_task(one(index, patience))
            except asyncio.CancelledError:
                ended = "CancelledError"
        stats = session.stats()
        return {
            "ended": ended,
            "outcomes": outcomes,
            "finished": [],
            "abandoned": abandoned,
            "rescued": self.rescued,
            "billed": stats.billed,
            "maybe": stats.maybe_billed,
        }

    def _look(self) -> int:
        """Ask the program itself what it knows: `status` and `export`."""
        folder = self.told["folder"]
        if not self.told["by_command"]:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                return runner.run(self._look_on())
        code = _main("status", folder, "--json")
        sys.stdout.write("\n---\n")
        return code or _main("export", folder)

    async def _look_on(self) -> int:
        try:
            async with ImageJob.open(self.told["folder"], read_only=True) as job:
                found = await job.status()
                records = [attrs.asdict(one) async for one in job.records()]
                damages = [one.kind async for one in job.verify()]
        except JobError as error:
            sys.stderr.write(str(error))
            return 2
        sums = {name: getattr(found, name) for name in _SUMS}
        status = attrs.asdict(found) | sums | {"damages": damages}
        texts = [json.dumps(status, default=str), "\n---"]
        texts += [json.dumps(one, default=str) for one in records]
        sys.stdout.write("\n".join([*texts, ""]))
        return 0


def _main(*arguments: str) -> int:
    try:
        code = int(zai_images.cli.main(list(arguments)) or 0)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    sys.stdout.flush()
    return code


def _told(report: JobReport) -> dict[str, Any]:
    stopped = report.stopped_by
    return {
        "error": None,
        "stopped_by": None if stopped is None else type(stopped).__name__,
        "text": str(stopped or ""),
        "unwritten": [[one.number, one.url] for one in report.unwritten],
        "moved": {str(state): number for state, number in report.moved.items()},
        "billed": report.status.billed,
    }


def _prompt(request: Any) -> str:
    return str(getattr(request, "prompt", request))


def _outcome(one: Any) -> dict[str, Any]:
    if isinstance(one, Failed):
        return {
            "index": one.index,
            "error": type(one.error).__name__,
            "billed": one.error.billed,
        }
    return {"index": one.index, "error": None, "billed": "yes"}


class _Policy(asyncio.DefaultEventLoopPolicy):
    """Give every `asyncio.run` the life's own loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._life = loop

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return self._life


def main(arguments: list[str]) -> int:
    """Live the life that a file tells of."""
    told = json.loads(Path(arguments[0]).read_text())
    watch_threads()
    return Life(told).live()
