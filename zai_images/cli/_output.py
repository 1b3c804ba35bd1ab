"""What a command says: data on stdout, everything else on stderr."""

import asyncio
import errno
import json
import os
import sys
import unicodedata
from typing import Any, TextIO, cast
from urllib.parse import quote

from rich.console import Console
from rich.text import Text

_NOBODY_THERE = (errno.EPIPE, errno.EIO)  # a pipe, a terminal


def shown(text: str, most: int = 500) -> str:
    """Make a stranger's text fit for one line of a terminal."""
    line = " ".join(text[: most * 2].split())
    line = "".join(char if char.isprintable() else "�" for char in line)
    return line if len(line) <= most else line[: most - 1] + "…"


def _commands(char: str) -> bool:
    """Tell what moves a terminal or turns its text round, instead of being shown."""
    return unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")


def harmless(text: str) -> str:
    """Write what a terminal would obey as JSON writes it; lines may end."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        json.dumps(char)[1:-1] if char != "\n" and _commands(char) else char
        for char in text
    )


def whole_link(url: str) -> str:
    """Write a link so that it can be copied from a terminal and still leads there."""
    return "".join(quote(char) if _commands(char) else char for char in url)


def some(number: int, thing: str) -> str:
    """Write a number of things: `1 picture`, `2 pictures`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def dollars(amount: float) -> str:
    """Write a sum, with a third digit where it counts: `$0.24`, `$0.015`."""
    text = f"{amount:.3f}"
    return f"${text.removesuffix('0')}"


def json_line(record: object) -> str:
    """Write a record for programs, of which a terminal obeys nothing either."""
    return harmless(json.dumps(record, ensure_ascii=False, default=str))


class _Ear:
    """
    Take what is said to a stream, and keep quiet once nobody is there to hear it.

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


class Talk:
    """
    Write to both streams.

    Attributes:
        as_json: The data is wanted as JSON, one object a line.
        live: A progress bar is on the screen.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.live = False
        self.console = Console(file=cast("TextIO", _Ear(sys.stderr)), highlight=False)
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
