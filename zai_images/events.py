"""
What happens in a session, as frozen records for an observer.

An observer is a plain function of one event: `ImageSession(observer=print)`. It is
advisory: it runs on the event loop, so it must be quick, and one that raises is logged
and never disturbs a call.
"""

import logging
from collections.abc import Callable

import attrs

from zai_images._errors import Billed, ZaiImagesError
from zai_images._models import ImageRequest

_log = logging.getLogger("zai_images")


@attrs.frozen(kw_only=True)
class Event:
    """
    Be what every event derives from.

    Attributes:
        request: What was asked for.
        at: When, in seconds of the running event loop's clock.
    """

    request: ImageRequest
    at: float


@attrs.frozen(kw_only=True)
class Queued(Event):
    """A call has begun to wait for its first place."""


@attrs.frozen(kw_only=True)
class Sent(Event):
    """The first byte of an attempt is about to leave."""

    attempt: int


@attrs.frozen(kw_only=True)
class Refused(Event):
    """The service refused an attempt for now; this is free."""

    attempt: int
    error: ZaiImagesError


@attrs.frozen(kw_only=True)
class Retried(Event):
    """An attempt failed, and another follows after `pause` seconds."""

    attempt: int
    error: ZaiImagesError
    pause: float


@attrs.frozen(kw_only=True)
class Answered(Event):
    """A picture was made, `latency` seconds after its request was sent."""

    attempt: int
    latency: float


@attrs.frozen(kw_only=True)
class Downloaded(Event):
    """A picture of `size` bytes was fetched and checked."""

    size: int


@attrs.frozen(kw_only=True)
class Abandoned(Event):
    """A call was cancelled after its request was sent or its picture was paid."""

    billed: Billed


@attrs.frozen(kw_only=True)
class Failed(Event):
    """A call ended in an error."""

    error: ZaiImagesError


Observer = Callable[[Event], None]


def notify(observer: Observer | None, event: Event) -> None:
    """Tell an observer, whatever it does."""
    if observer is None:
        return
    try:
        observer(event)
    except Exception:  # noqa: BLE001 - a stranger's code, and only advisory
        _log.exception("An observer failed on %s", type(event).__name__)


def fan_out(*observers: Observer) -> Observer:
    """Make one observer of several; each is told even where another raises."""

    def tell(event: Event) -> None:
        for observer in observers:
            notify(observer, event)

    return tell
