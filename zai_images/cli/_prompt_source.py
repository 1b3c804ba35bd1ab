"""Where a job's prompts come from: a file, a pipe, stdin; and what is wrong there."""

import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from zai_images import InvalidRequestError
from zai_images._picture.files import opener
from zai_images.cli._exit import UsageError, sentence
from zai_images.cli._output import Output
from zai_images.cli._text import shown, some
from zai_images.jobs import InputCheck, PromptFile

STDIN = "-"
_PART = 2**16  # bytes read at once


@contextmanager
def open_source(
    prompts: str, output: Output, defaults: Mapping[str, str]
) -> Iterator[PromptFile]:
    """
    Give a prompt file that can be read twice: what comes through a pipe is copied.

    Raises:
        UsageError: It cannot be read, or is of no kind that is known.
    """
    path = Path(prompts)
    with tempfile.TemporaryDirectory(prefix="zai-images-") as folder:
        with input_faults(name_of(prompts)):
            if prompts == STDIN or not stat.S_ISREG(path.stat().st_mode):
                copy = Path(folder) / "prompts"
                _copy(prompts, copy, output)
                suffix = "" if prompts == STDIN else path.suffix
                file = PromptFile.find(copy, suffix=suffix, defaults=defaults)
            else:
                file = PromptFile.find(path, defaults=defaults)
        yield file


def name_of(prompts: str) -> str:
    """Tell what messages call the file."""
    return "stdin" if prompts == STDIN else prompts


def _copy(prompts: str, copy: Path, output: Output) -> None:
    with open(copy, "wb", opener=opener) as target:
        if prompts != STDIN:
            with Path(prompts).open("rb") as source:
                shutil.copyfileobj(source, target)
            return
        if sys.stdin.isatty():
            output.say("type a prompt a line, and end with Ctrl-D")
        # Line by line: at a terminal, Ctrl-D ends one read, and there is no other.
        part = b"\n"
        while part.endswith(b"\n") or len(part) == _PART:
            part = sys.stdin.buffer.readline(_PART)
            target.write(part)


@contextmanager
def input_faults(name: str) -> Iterator[None]:
    """
    Put what is wrong with a file as a whole into words that name it.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(sentence(error)) from None
    except InvalidRequestError as error:
        raise UsageError(f"{name}: {error}") from None


def say_check(
    output: Output, found: InputCheck, name: str, *, skip_invalid: bool
) -> bool:
    """
    Name what cannot be used, and tell whether to go on.

    Raises:
        UsageError: The file holds nothing.
    """
    if not found.requests and not found.bad_lines:
        raise UsageError(f"{name} holds no prompt; nothing was sent")
    if found.ignored:
        names = ", ".join(shown(column, 40) for column in found.ignored)
        output.say(f"note: columns that are not used: {names}")
    if found.duplicates and not found.unchanged:
        output.say(
            f"note: {some(found.duplicates, 'request')} like an earlier line: each is "
            "a picture of its own"
        )
    for one in found.bad:
        output.say(f"{name}:{one.line}: {shown(one.message)}")
    if found.bad_lines > len(found.bad):
        output.say(f"and {found.bad_lines - len(found.bad)} more such lines")
    if not found.bad_lines:
        return True
    if skip_invalid and found.requests:
        output.say(f"{some(found.bad_lines, 'line')} left out, {found.requests} go on")
        return True
    advice = (
        "Correct them, or go on without them with --skip-invalid."
        if found.requests
        else "There is no good one."
    )
    output.say(
        f"{some(found.bad_lines, 'line')} cannot be used; nothing was sent. {advice}"
    )
    return False
