"""What is wrong with how a command was written, and how to write it."""

from collections.abc import Sequence

from cyclopts import CycloptsError, UnknownOptionError, UnusedCliTokensError

_QUOTES = 'Put the prompt in quotes: zai-images generate "a red fox"'
_DASH = (
    "Before a prompt that begins with a dash, put --, and options before that: "
    'zai-images generate --sandbox -- "-5 degrees outside"'
)


def explain(error: CycloptsError, arguments: Sequence[str]) -> str:
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
