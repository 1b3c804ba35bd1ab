"""Data for stdout while something else goes on."""

import asyncio
from collections.abc import Callable
from typing import Self

from zai_images.cli._output import Output


class Printer:
    """
    A task that writes data on stdout, whose reader may be slow, or stop.

    Attributes:
        error: Why nothing more can be written.
    """

    _task: asyncio.Task[None]

    def __init__(self, output: Output, on_error: Callable[[], None]) -> None:
        self.error: OSError | None = None
        self._output = output
        self._on_error = on_error
        self._lines: list[tuple[str | None, object]] = []
        self._more = asyncio.Event()
        self._ended = False

    def add(self, line: str | None, record: object) -> None:
        """Have a line written, or its record where JSON is wanted."""
        self._lines.append((line, record))
        self._more.set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended = True
        self._more.set()
        await self._task

    async def _write(self) -> None:
        while self._lines or not self._ended:
            if not self._lines:
                await self._more.wait()
                self._more.clear()
                continue
            lines, self._lines = self._lines, []
            try:
                await self._output.put(*lines)
            except OSError as error:
                self.error = error
                self._on_error()
                return
