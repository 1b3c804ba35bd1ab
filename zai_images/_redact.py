"""Secrets that show themselves nowhere, and their removal where others quote them."""

import re
from typing import Any, Self

import attrs

from zai_images._api.response import ContentFilter

SECRET_LENGTH = 8  # characters; a key of fewer letters is no secret


class Hidden(str):
    """A text that shows itself only where it is written out on purpose."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Secret(Hidden):
    """A hidden text that does not travel in a pickle either: what comes out is None."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self


def secret(text: str | None) -> Secret | None:
    """Hide a text from whoever looks at the variables of a frame."""
    return Secret(text) if isinstance(text, str) else text


def mask_credentials(text: object) -> str:
    """Write an error or a URL without the name and the password in it."""
    return re.sub(r"//[^/]*@", "//***@", str(text))


def redact(value: Any, key: str) -> Any:  # noqa: ANN401 - the same, masked
    """Mask a key in a text, a tuple or a filter, also where it was cut off within."""
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
    """Put `***` in the place of a key, or of its beginning."""
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
    Take the frames off an error of aiohttp: they carry headers and answers along.

    `handled` is the caller's own, which was there before and stays as it is.
    """
    one: BaseException | None = error
    while one is not None and one is not handled:
        one.__traceback__ = None
        one = one.__cause__ or one.__context__
    return error
