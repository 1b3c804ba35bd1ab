"""How a command hears signals: the first one stops it gently, the second ends it."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalHandler:
    """
    The signals that a command hears while it runs.

    The first one stops the command gently and the second ends it. Where the command has
    set no gentle way, the first ends it too. A SIGHUP is never the second: a terminal
    that is closed may send several.

    Attributes:
        signal: The last one that was heard; None where there was none.
        gently: Called at the first one.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.gently: Callable[[], None] | None = None

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that was ended so."""
        return 128 + (self.signal or signal.SIGINT)

    async def run(self, command: "Command") -> int:
        """Run a command; return its exit code, or that of the signal that ended it."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(command(self))
        for number in _SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # so does nohup ask for it
            with suppress(ValueError, RuntimeError):  # not in the main thread
                loop.add_signal_handler(number, self._heed, number, task)
        try:
            return await task
        except asyncio.CancelledError:
            return self.exit_code
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _heed(self, number: int, task: asyncio.Task[int]) -> None:
        first = self.signal is None
        if number == signal.SIGHUP and not first:
            return
        self.signal = number
        if first and self.gently is not None:
            self.gently()
        else:
            task.cancel()


Command = Callable[[SignalHandler], Coroutine[Any, Any, int]]


def run_command(command: Command) -> int:
    """Run a command on a loop of its own, with its signals heard."""
    return asyncio.run(SignalHandler().run(command))
