"""
What happens in a session, as frozen records for an observer.

An observer is a plain function of one event: `ImageSession(observer=print)`. It is
advisory: it runs on the event loop, so it must be quick; what it raises is logged and
never disturbs a call.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import attrs

from zai_images._api.errors import Billed, ZaiImagesError
from zai_images._api.request import ImageRequest
from zai_images._api.response import ImageResponse

__all__ = [
    "Abandoned",
    "Answered",
    "CallEvent",
    "Downloaded",
    "Event",
    "Failed",
    "LimitChanged",
    "Observer",
    "Queued",
    "Refused",
    "Rescued",
    "Retried",
    "Sent",
    "fan_out",
]

_log = logging.getLogger("zai_images")


@attrs.frozen(kw_only=True)
class Event:
    """The root of all events; `at` is in seconds of the running loop's clock."""

    at: float


@attrs.frozen(kw_only=True)
class CallEvent(Event):
    """The root of the events of a call; `request` is what was asked for."""

    request: ImageRequest


@attrs.frozen(kw_only=True)
class LimitChanged(Event):
    """
    A change in the number of places believed to be there.

    Attributes:
        model: The model whose places they are.
        old: How many there were before.
        new: How many there are now.
        reason: What this rests on: "growing", "refused", "known", "latency", "fixed";
            or the ceiling that is reached: "max_in_flight", "connector" (of a borrowed
            session) or "open files" (of this process, by `ulimit -n`).
    """

    model: str
    old: int
    new: int
    reason: str


@attrs.frozen(kw_only=True)
class Queued(CallEvent):
    """The start of a call's wait for its first place."""


@attrs.frozen(kw_only=True)
class Sent(CallEvent):
    """The moment just before the first byte of an attempt leaves."""

    attempt: int


@attrs.frozen(kw_only=True)
class Refused(CallEvent):
    """A refusal of an attempt by the service, for now; this is free."""

    attempt: int
    error: ZaiImagesError


@attrs.frozen(kw_only=True)
class Retried(CallEvent):
    """A failed attempt that another follows after `pause` seconds."""

    attempt: int
    error: ZaiImagesError
    pause: float


@attrs.frozen(kw_only=True)
class Answered(CallEvent):
    """A picture that was made, `latency` seconds after its request was sent."""

    attempt: int
    latency: float


@attrs.frozen(kw_only=True)
class Downloaded(CallEvent):
    """A picture of `size` bytes that was fetched and checked."""

    size: int


@attrs.frozen(kw_only=True)
class Abandoned(CallEvent):
    """
    A call that was cancelled after its request was sent or its picture was paid for.

    Attributes:
        billed: "maybe", or "yes" where the answer had come.
        response: That answer, with the link; fetching it costs nothing.
    """

    billed: Billed
    response: ImageResponse | None = None


@attrs.frozen(kw_only=True)
class Rescued(CallEvent):
    """
    A call that was cancelled after it was sent, and brought its answer all the same.

    It needs `SessionConfig(finish_cancelled=True)`, which is the default in a notebook.

    Attributes:
        response: The paid answer, with the link.
        picture: The `Picture`, where the call was to fetch it and could.
    """

    response: ImageResponse
    picture: Any = None  # its class stands on this module's own floor


@attrs.frozen(kw_only=True)
class Failed(CallEvent):
    """A call that ended in an error."""

    error: ZaiImagesError


Observer = Callable[[Event], None]


def notify(observer: Observer, event: Event) -> None:
    """Call an observer, and log what it raises."""
    try:
        observer(event)
    except Exception:  # noqa: BLE001 - a stranger's code, and only advisory
        _log.exception("An observer failed on %s", type(event).__name__)


def announce(observer: Observer | None, kind: type[Event], **fields: object) -> None:
    """Tell an observer, if there is one, of something that happens now."""
    if observer is not None:  # nothing is built that nobody sees
        now = asyncio.get_running_loop().time()
        notify(observer, kind(at=now, **fields))


def fan_out(*observers: Observer) -> Observer:
    """Combine several observers into one; each is told even if another raises."""

    def tell(event: Event) -> None:
        for observer in observers:
            notify(observer, event)

    return tell
