"""What a command says: data on stdout, everything else on stderr."""

import asyncio
import errno
import os
import sys
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from zai_images.cli._text import harmless, json_line

_NOBODY_THERE = (errno.EPIPE, errno.EIO)  # a pipe, a terminal


class _TolerantStream:
    """
    A stream that keeps quiet once nobody is there to read it.

    A reader may go, a terminal may be closed: what is paid must come home all the same.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a stream has
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write what somebody may read."""
        try:
            return self._stream.write(text)
        except OSError:
            silence(self._stream)
            return len(text)

    def flush(self) -> None:
        """See that it gets there."""
        try:
            self._stream.flush()
        except OSError:
            silence(self._stream)


class Output:
    """
    The two streams: data goes to stdout, everything else to stderr.

    Attributes:
        as_json: The data is wanted as JSON, one object a line.
        live: A progress bar is on the screen.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.live = False
        stderr: Any = _TolerantStream(sys.stderr)  # of a stream, all that rich asks for
        self.console = Console(file=stderr, highlight=False)
        self._heard = True

    @property
    def on_terminal(self) -> bool:
        """Whether a person looks at stderr."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def say(self, text: str, style: str = "") -> None:
        """Write a line on stderr."""
        self.console.print(Text(harmless(text), style=style), soft_wrap=True)

    async def put(self, *data: tuple[str | None, object]) -> None:
        """
        Write data on stdout: lines, or records where JSON is wanted.

        A thread waits for a slow reader: this loop has paid answers to receive.
        """
        await asyncio.to_thread(self.put_now, *data)

    def put_now(self, *data: tuple[str | None, object]) -> None:
        """Write data on stdout, and keep quiet when nobody reads it any more."""
        if self.as_json:
            lines = [json_line(record) for _, record in data]
        else:
            lines = [line for line, _ in data if line is not None]
        if not lines or not self._heard:
            return
        text = "\n".join(lines)
        if self.live and sys.stdout.isatty():
            # The bar lives on the same screen, so it must know.
            self.console.print(Text(text), soft_wrap=True)
            return
        try:
            try:
                sys.stdout.write(text + "\n")
            except UnicodeEncodeError:  # half a surrogate pair; in JSON this is right
                sys.stdout.write(text.encode(errors="backslashreplace").decode() + "\n")
            sys.stdout.flush()
        except OSError as error:
            self._heard = False
            silence(sys.stdout)  # what it still holds would fail again at the end
            if error.errno not in _NOBODY_THERE:
                raise


def silence(stream: TextIO) -> None:
    """Let Python's own last flush of a stream find somebody who listens."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
