"""Secrets that never show themselves, and their masking where others quote them."""

import functools
import inspect
import re
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, ParamSpec, Self, SupportsIndex, TypeVar

import attrs

from zai_images._api.response import ContentFilter

P = ParamSpec("P")
T = TypeVar("T")

# What stands between a caller and a constructor, with what the caller has given.
_BETWEEN = ("attr._funcs", "attr._make", "copy")

SECRET_LENGTH = 8  # characters; a key of fewer letters is no secret


class Hidden(str):
    """
    A string that shows only where written out on purpose: its `repr` is masked.

    Tools that compare texts, or shorten them, go by lines and slices instead: its lines
    are masked, and a part of it is as hidden as the whole.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __getitem__(self, index: SupportsIndex | slice) -> Self:
        return type(self)(super().__getitem__(index))

    def __add__(self, other: str) -> Self:
        return type(self)(super().__add__(other))

    def splitlines(self, keepends: bool = False) -> list[str]:  # noqa: FBT001, FBT002 - as in str
        """Mask what a comparison would show line by line."""
        del keepends
        return ["***"]


class Secret(Hidden):
    """A hidden string that is not pickled either: it comes back as None."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self


def mask_credentials(text: object) -> str:
    """Mask the user name and password in an error or a URL."""
    return re.sub(r"//[^/]*@", "//***@", str(text))


def redact(value: Any, key: str) -> Any:  # noqa: ANN401 - the same, masked
    """Mask a key in a string, tuple or filter, even if only its beginning is left."""
    if len(key) < SECRET_LENGTH:
        return value
    if isinstance(value, tuple):
        return tuple(redact(one, key) for one in value)
    if isinstance(value, ContentFilter):
        return attrs.evolve(value, role=redact(value.role, key))
    if isinstance(value, str):
        for written in {str(key), repr(str(key))[1:-1]}:
            value = _masked(value, written)
    return value


def _masked(text: str, key: str) -> str:
    """Replace a key, or its beginning, with `***`."""
    at = text.find(key[:SECRET_LENGTH])
    while at >= 0:
        length = SECRET_LENGTH
        while length < len(key) and text.startswith(key[: length + 1], at):
            length += 1
        text = f"{text[:at]}***{text[at + length :]}"
        at = text.find(key[:SECRET_LENGTH], at + 3)
    return text


def strip_traceback(error: Exception, handled: BaseException | None) -> Exception:
    """
    Strip the frames off an aiohttp error: they hold headers and answers.

    `handled`, which the caller was handling already, stays as it is.
    """
    one: BaseException | None = error
    while one is not None and one is not handled:
        one.__traceback__ = None
        one = one.__cause__ or one.__context__
    return error


def frameless(function: Callable[P, T]) -> Callable[P, T]:
    """
    Raise a function's errors without its frames, and without those it calls.

    A traceback may be shown with the variables of its frames, and these hold a key as
    it was given. The frames of the caller stay, but for those of `attrs.evolve` and
    `copy.replace` in between: these lose the changes that they were asked for.
    """

    @functools.wraps(function)
    def called(*args: P.args, **settings: P.kwargs) -> T:
        handled = sys.exception()
        try:
            return function(*args, **settings)
        except Exception as error:  # noqa: BLE001 - raised again below
            failed = strip_traceback(error, handled)
        del args, settings
        frame = inspect.currentframe()
        while (frame := frame and frame.f_back) and _is_between(frame):
            frame.f_locals.get("changes", {}).clear()
        try:
            raise failed
        finally:
            del failed, frame

    return called


def _is_between(frame: FrameType) -> bool:
    return frame.f_globals["__name__"] in _BETWEEN


def discreet(cls: type[T]) -> type[T]:
    """Keep a class's constructor out of tracebacks, and let it be shown half made."""
    shown = cls.__repr__

    def __repr__(self: T) -> str:  # noqa: N807 - it becomes one
        try:
            return shown(self)
        except AttributeError:
            return f"<{cls.__name__} that could not be made>"

    for name, function in (
        ("__init__", frameless(cls.__init__)),
        ("__repr__", __repr__),
    ):
        setattr(cls, name, function)
    return cls
