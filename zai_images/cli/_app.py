"""The program: its commands, and the one place where an expected error ends it."""

import io
import logging
import sys
from collections.abc import Sequence

from cyclopts import (
    App,
    CycloptsError,
    Parameter,
    UnknownOptionError,
    UnusedCliTokensError,
)

from zai_images import __version__
from zai_images.cli._commands.batch import batch
from zai_images.cli._commands.doctor import doctor
from zai_images.cli._commands.export import export
from zai_images.cli._commands.generate import generate
from zai_images.cli._commands.plan import plan
from zai_images.cli._commands.retry import retry
from zai_images.cli._commands.sandbox import sandbox
from zai_images.cli._commands.status import status
from zai_images.cli._commands.verify import verify
from zai_images.cli._exit import ARGUMENTS, BAD_INPUT, EXPECTED, exit_code, sentence
from zai_images.cli._output import Output

_HELP = """\
Make pictures with Z.AI's CogView-4: one, or a whole file of prompts.

Set ZAI_API_KEY, or add --sandbox to try everything without a key and without paying.
"""
_EPILOGUE = """\
Exit codes: 0 all done; 1 some pictures are missing, failed or unknown; 2 usage or bad \
input; 3 the account needs a person; 4 the disk; 5 a limit you set was reached; \
129/130/143 interrupted (run it again to go on).
"""
_QUOTES = 'Put the prompt in quotes: zai-images generate "a red fox"'
_DASH = (
    "Before a prompt that begins with a dash, put --, and options before that: "
    'zai-images generate --sandbox -- "-5 degrees outside"'
)


app = App(
    name="zai-images",
    help=_HELP,
    help_format="markdown",
    help_epilogue=_EPILOGUE,
    version=__version__,
    default_parameter=Parameter(negative=(), show_default=False),
    suppress_keyboard_interrupt=False,
)
for command in (generate, batch, plan, status, retry, export, verify, doctor, sandbox):
    app.command(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path need not be text, nor text that this terminal can show.
        utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
        sys.stdout.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")
    ARGUMENTS.set(tuple(arguments))
    if not (logger := logging.getLogger("zai_images")).handlers:
        # Commands say themselves what matters; a warning in between breaks the bar.
        logger.addHandler(logging.NullHandler())
    try:
        result = app(
            arguments,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as error:
        Output().say(_explain(error, list(arguments)))
        return BAD_INPUT
    except EXPECTED as error:
        Output().say(sentence(error), "red")
        return exit_code(error)
    return result if isinstance(result, int) else 0


def _explain(error: CycloptsError, arguments: Sequence[str]) -> str:
    """Put a fault of the caller into words, with what to do about it."""
    chain = error.command_chain or ()
    lines = [str(error)]
    if isinstance(error, UnusedCliTokensError):
        lines = [f"There is no use for: {' '.join(error.unused_tokens or ())}"]
    if "generate" in chain:
        if isinstance(error, UnusedCliTokensError):
            lines.append(_QUOTES)
        elif isinstance(error, UnknownOptionError) and _may_be_prompt(error, arguments):
            lines.append(_DASH)
    lines.append(f"Try: {' '.join(('zai-images', *chain))} --help")
    return "\n".join(lines)


def _may_be_prompt(error: UnknownOptionError, arguments: Sequence[str]) -> bool:
    """Tell a prompt from a mistyped option: by a blank, its place, or a `--`."""
    written = error.token.keyword or error.token.value
    # Cyclopts before 5 takes `-snow` for four options, and names the first of them.
    first = any(one.startswith(written) for one in arguments[1:2])
    return " " in written or first or "--" in arguments
