"""A JSON object that cannot change: hashable, comparable, picklable."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

# Fewer levels than any stack has room for, so that whoever reads, prints, copies or
# pickles an object later can.
MOST_LEVELS = 100


class FrozenJSON(Mapping[str, Any]):
    """
    A JSON object, held as canonical text; the values it returns are fresh copies.

    It carries undocumented fields in both directions, so the frozen classes that hold
    one stay hashable and safe to share, however deep the object is.

    Raises:
        TypeError: A key is not a string, or a value is not JSON.
        ValueError: A number is NaN or infinite, which JSON cannot express, or the
            object has more than 100 levels.
    """

    __slots__ = ("_text",)

    def __init__(self, value: Mapping[str, Any] | None = None) -> None:
        if isinstance(value, FrozenJSON):
            self._text: str = value.text
            return
        plain = dict(value or {})
        if not all(isinstance(key, str) for key in plain):
            raise TypeError("the keys of a JSON object are strings")
        try:
            self._text = json.dumps(
                plain, sort_keys=True, ensure_ascii=False, allow_nan=False
            )
            too_deep = _is_deeper(plain, MOST_LEVELS)
        except RecursionError:
            too_deep = True
        if too_deep:
            raise ValueError(f"it has more than {MOST_LEVELS} levels")

    @property
    def text(self) -> str:
        """The object as JSON, its keys in order."""
        return self._text

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - any JSON value
        return json.loads(self._text)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(json.loads(self._text))

    def __len__(self) -> int:
        return len(json.loads(self._text))

    def __bool__(self) -> bool:
        return self._text != "{}"

    def __hash__(self) -> int:
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FrozenJSON):
            return self._text == other._text
        if isinstance(other, Mapping):
            return dict(self) == dict(other)
        return NotImplemented

    def __repr__(self) -> str:
        return repr(json.loads(self._text))

    def __reduce__(self) -> tuple[type["FrozenJSON"], tuple[dict[str, Any]]]:
        return (FrozenJSON, (json.loads(self._text),))


def _is_deeper(value: dict[str, Any], levels: int) -> bool:
    level: list[Any] = [value]
    while level and levels:
        levels -= 1
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list | tuple)
        ]
    return bool(level)


NOTHING = FrozenJSON()
