"""Keep a key out of what is shown, though others have quoted it."""

from typing import Any

import attrs

from zai_images._api.response import ContentFilter

SECRET_LENGTH = 8  # characters; a key of fewer letters is no secret


def without(value: Any, key: str) -> Any:  # noqa: ANN401 - the same, masked
    """Mask a key in a text, a tuple or a filter, also where it was cut off within."""
    if len(key) < SECRET_LENGTH:
        return value
    if isinstance(value, tuple):
        return tuple(without(one, key) for one in value)
    if isinstance(value, ContentFilter):
        return attrs.evolve(value, role=without(value.role, key))
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


def bare(error: Exception, handled: BaseException | None) -> Exception:
    """
    Take the frames off an error of aiohttp: they carry headers and answers along.

    `handled` is the caller's own, which was there before and stays as it is.
    """
    one: BaseException | None = error
    while one is not None and one is not handled:
        one.__traceback__ = None
        one = one.__cause__ or one.__context__
    return error
