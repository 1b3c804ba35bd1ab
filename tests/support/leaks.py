"""Where a key could be seen after something went wrong, and whether it was."""

import contextlib
import copy
import logging
import os
import pickle
import pprint
import reprlib
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import attrs

# It opens nothing. No part of it is a word that could stand anywhere by chance.
CANARY = "zq7Xw9-Kv3Jt8.Qm5Zr2Yb6"
PART = 9  # characters; a beginning as long as this is a leak too


def hits(text: str | bytes) -> bool:
    """Tell whether a text holds the key, or enough of it."""
    if isinstance(text, str):
        text = text.encode(errors="surrogatepass")
    whole = CANARY.encode()
    return any(whole[at : at + PART] in text for at in (0, len(whole) - PART))


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Go through an error and everything that it would be shown with."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from chain(inner)
        suppressed = error.__suppress_context__
        error = error.__cause__ or (None if suppressed else error.__context__)


def of_error(error: BaseException) -> Iterator[tuple[str, str | bytes]]:
    """Show an error in every way in which errors are shown and kept."""
    with contextlib.suppress(AttributeError):  # 3.11 gives up on what is half made
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        yield "traceback with locals", "".join(told.format())
    for one in chain(error):
        for frame, _ in traceback.walk_tb(one.__traceback__):
            for name, value in frame.f_locals.items():
                with contextlib.suppress(AttributeError):
                    yield f"{name} in {frame.f_code.co_qualname}", repr(value)
    yield "traceback", "".join(traceback.format_exception(error))
    for one in chain(error):
        kind = type(one).__name__
        yield f"str of {kind}", str(one)
        yield f"repr of {kind}", repr(one)
        yield f"args of {kind}", repr(one.args)
        yield f"fields of {kind}", _fields(one)
        yield f"notes of {kind}", repr(getattr(one, "__notes__", ()))
    kept = copy.copy(error)
    if getattr(kept, "response", None) is not None:
        kept.response = None  # as below
    yield "pickle", pickle.dumps(kept)


def _fields(error: BaseException) -> str:
    # A link may hold anything, and must stay what it is: `response` is its home.
    return repr({k: v for k, v in vars(error).items() if k != "response"})


def of_object(thing: object) -> Iterator[tuple[str, str | bytes]]:
    """Show something that lives on in every way in which that can be shown."""
    kind = type(thing).__name__
    yield f"repr of {kind}", repr(thing)
    yield f"str of {kind}", str(thing)
    yield f"format of {kind}", f"{thing}"
    yield f"pprint of {kind}", pprint.pformat(thing)
    yield f"short repr of {kind}", reprlib.repr(thing)
    if hasattr(thing, "__dict__"):
        yield f"vars of {kind}", repr(vars(thing))
        for name, value in vars(thing).items():
            yield f"{name} of {kind}", repr(getattr(value, "__dict__", value))
    if attrs.has(type(thing)):
        yield f"asdict of {kind}", repr(attrs.asdict(thing))
        yield f"astuple of {kind}", repr(attrs.astuple(thing))
        yield f"pickle of {kind}", pickle.dumps(thing)


def of_files(folder: Path) -> Iterator[tuple[str, str | bytes]]:
    """Read every file under a folder, and its name."""
    for path in folder.rglob("*"):
        yield f"name of {path.name}", os.fsencode(path)
        if path.is_file():
            yield str(path.name), path.read_bytes()


class Records(logging.Handler):
    """Keep what is logged at any level, as text and as the arguments it is made of."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("%(message)s"))
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))
        self.texts.append(repr(record.args))
        if record.exc_info and record.exc_info[1] is not None:
            self.texts += [str(text) for _, text in of_error(record.exc_info[1])]


def warned(caught: list[warnings.WarningMessage]) -> Iterator[tuple[str, str]]:
    for one in caught:
        yield "warning", f"{one.message!s} {one.source!r}"
