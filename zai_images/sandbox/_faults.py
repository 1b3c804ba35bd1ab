"""Faults declared as data: which requests they meet, and what happens then."""

import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

import attrs

from zai_images.sandbox._answers import code_of, status_of

Action = Literal[
    "answer",
    "html",
    "reset",
    "hang",
    "picture",
    "truncate",
    "empty",
    "null_url",
    "missing_picture",
    "truncated_picture",
    "expired_picture",
]

# A request that meets one of these is not admitted and costs nothing.
_FREE: Final = ("answer", "html", "reset", "hang")
PICTURE_TROUBLES: Final = ("missing_picture", "truncated_picture", "expired_picture")
_CONTENT_CODES = ("1300", "1301")
_SAFE = ({"role": "assistant", "level": 3},)
_UNSAFE = ({"role": "user", "level": 1},)

_is_duration = attrs.validators.optional(attrs.validators.ge(0))


def _freeze(headers: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(headers))


def _freeze_filter(
    items: Iterable[Mapping[str, Any]] | None,
) -> tuple[Mapping[str, Any], ...] | None:
    return None if items is None else tuple(items)


def _is_count(_: object, attribute: "attrs.Attribute[Any]", value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{attribute.name} must be at least 1")


def _is_final_status(_: object, __: object, status: int | None) -> None:
    if status is not None and not 200 <= status <= 599:
        raise ValueError(f"{status} is not the status of an answer")


@attrs.frozen(kw_only=True)
class Fault:
    """
    A piece of trouble, declared as data.

    A fault meets requests that keep the page's rules; a request with a bad key or a
    bad field is turned away first. Of several faults that fit, the first declared acts.

    Which request: `nth` counts the POSTs that reached the endpoint, from 1; `prompt`
    is the exact prompt; both together must both fit; neither fits every request.
    `times` is how often it acts, None for always.

    What happens, by `action`:

    - "answer": the error envelope with `code` and `message`
    - "html": a web page, as a proxy in front of the service would send
    - "reset": the connection is reset
    - "hang": no answer ever, until the sandbox closes
    - "picture": an ordinary success (to change its `delay`, `headers`, ...)
    - "truncate": half of a success, then the connection ends
    - "empty": a success with `data: []`
    - "null_url": a success whose link is null
    - "missing_picture": a success; the picture host answers 404
    - "truncated_picture": a success; the picture host sends half of the picture
    - "expired_picture": a success; the picture host answers 403

    The trouble at the picture host lasts for `fetches` fetches, or for `seconds`
    seconds from the answer, or for ever.

    `billed` requests need a place, are on the bill and take their generation time;
    the others are answered as fast as a refusal. It defaults to True for "picture"
    and what follows it above. `delay` replaces the time taken, in seconds; it and
    `seconds` are divided by the sandbox's speed. `status`, `body` and `headers`
    replace or add to what would be sent; `retry_after`, in real seconds or as an HTTP
    date, is the header of that name.
    """

    nth: int | None = attrs.field(default=None, validator=_is_count)
    prompt: str | None = None
    times: int | None = attrs.field(default=1, validator=_is_count)
    action: Action = attrs.field(
        default="answer", validator=attrs.validators.in_(get_args(Action))
    )
    status: int | None = attrs.field(default=None, validator=_is_final_status)
    code: str | None = attrs.field(
        default=None, converter=attrs.converters.optional(str)
    )
    message: str | None = None
    body: bytes | str | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict, converter=_freeze)
    retry_after: float | str | None = None
    delay: float | None = attrs.field(default=None, validator=_is_duration)
    content_filter: tuple[Mapping[str, Any], ...] | None = attrs.field(
        default=None, converter=_freeze_filter
    )
    billed: bool | None = None
    fetches: int | None = attrs.field(default=None, validator=_is_count)
    seconds: float | None = attrs.field(default=None, validator=_is_duration)

    def __attrs_post_init__(self) -> None:
        # A field that its action ignores would be a fault that silently is another.
        if self.action != "answer" and (self.code or self.message) is not None:
            raise ValueError(f"code and message do not go with {self.action!r}")
        lasting = (self.fetches, self.seconds)
        if self.action not in PICTURE_TROUBLES and lasting != (None, None):
            raise ValueError(f"fetches and seconds do not go with {self.action!r}")
        if None not in lasting:
            raise ValueError("give fetches or seconds, not both")

    @property
    def is_billed(self) -> bool:
        """Whether a request that meets this fault is admitted and paid for."""
        return self.action not in _FREE if self.billed is None else self.billed

    @property
    def answer_code(self) -> str:
        """The business code of the error envelope."""
        if self.code is not None:
            return self.code
        return "1234" if self.status is None else code_of(self.status)

    @property
    def answer_status(self) -> int:
        """The HTTP status of whatever is sent."""
        if self.status is not None:
            return self.status
        if self.action == "answer":
            return status_of(self.answer_code)
        return 502 if self.action == "html" else 200

    @property
    def answer_headers(self) -> Mapping[str, str]:
        """The headers that are added to whatever is sent."""
        if self.retry_after is None:
            return self.headers
        return {"Retry-After": f"{self.retry_after}", **self.headers}

    @property
    def answer_filter(self) -> tuple[Mapping[str, Any], ...]:
        """The content filter's findings that go with the answer."""
        if self.content_filter is not None:
            return self.content_filter
        if self.action != "answer":
            return _SAFE
        return _UNSAFE if self.answer_code in _CONTENT_CODES else ()

    def fits(self, number: int, prompt: str) -> bool:
        """Tell whether this fault is meant for the request."""
        return self.nth in (None, number) and self.prompt in (None, prompt)


# What every request meets when no fault is meant for it.
ORDINARY: Final = Fault(action="picture", times=None)


class FaultPlan:
    """
    The faults still to come, in the order of their declaration.

    They may be declared from any thread while the sandbox serves in another.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._lock = threading.Lock()
        self._left = [(fault, fault.times) for fault in faults]

    def add(self, fault: Fault) -> None:
        """Declare one more fault, behind the others."""
        with self._lock:
            self._left.append((fault, fault.times))

    def clear(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._left.clear()

    def find(self, number: int, prompt: str) -> Fault:
        """Return the fault that this request meets, without using it up."""
        with self._lock:
            fitting = (fault for fault, _ in self._left if fault.fits(number, prompt))
            return next(fitting, ORDINARY)

    def spend(self, fault: Fault) -> None:
        """Use a fault up by one time."""
        with self._lock:
            for index, (candidate, left) in enumerate(self._left):
                if candidate is fault:
                    if left == 1:
                        del self._left[index]
                    elif left is not None:
                        self._left[index] = (fault, left - 1)
                    return
