"""Secrets that never show themselves, and their masking where others quote them."""

import re
from typing import Any, Self

import attrs

from zai_images._api.response import ContentFilter

SECRET_LENGTH = 8  # characters; a key of fewer letters is no secret


class Hidden(str):
    """A string that shows only where written out on purpose: its `repr` is masked."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Secret(Hidden):
    """A hidden string that is not pickled either: it comes back as None."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self


def secret(text: str | None) -> Secret | None:
    """Hide a string from tracebacks that show a frame's variables."""
    return Secret(text) if isinstance(text, str) else text


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
