"""The outcome of each item of a batch, and of the batch as a whole."""

from collections.abc import Iterable

import attrs

from zai_images._api.errors import Billed, ZaiImagesError
from zai_images._api.request import ImageRequest
from zai_images._api.response import ImageResponse
from zai_images._picture.picture import Picture


@attrs.frozen(kw_only=True)
class Done:
    """
    A picture that was made.

    Attributes:
        index: The item's position in the input, from 0.
        request: What was asked for.
        response: The service's answer, with the link.
        picture: The picture itself, where the runner downloads.
        queued: Seconds spent waiting for a place and in pauses.
        latency: Seconds in service.
        attempts: How often it was sent.
    """

    index: int
    request: ImageRequest
    response: ImageResponse
    picture: Picture | None
    queued: float
    latency: float
    attempts: int


@attrs.frozen(kw_only=True)
class Failed:
    """
    An item that did not become a picture; `error.billed` says what it cost.

    Attributes:
        index: The item's position in the input, from 0.
        request: What was asked for; the raw item where it is no valid request.
        error: The cause; for an item never sent, what stopped the batch.
        response: The answer with the paid link, where only the download failed.
        queued: Seconds spent waiting for a place and in pauses.
        latency: Seconds in service, of the last attempt.
        attempts: How often it was sent; 0 where it never was.
    """

    index: int
    request: object
    error: ZaiImagesError
    response: ImageResponse | None = None
    queued: float = 0.0
    latency: float = 0.0
    attempts: int = 0

    @property
    def billed(self) -> Billed:
        """What this item cost: "no", "maybe" or "yes"."""
        if self.response is not None:
            return "yes"
        return self.error.billed if self.attempts else "no"


Outcome = Done | Failed


@attrs.frozen(kw_only=True)
class Unfinished:
    """
    An item that left the batch without an outcome.

    Attributes:
        index: The item's position in the input, from 0.
        request: What was asked for; the raw item where it never became a request.
        response: The answer with the paid link, where it had come.
        attempts: How often it was sent; 0 where it never was.
    """

    index: int
    request: object
    response: ImageResponse | None = None
    attempts: int = 0


@attrs.frozen(kw_only=True)
class BatchSummary:
    """
    The counts of a batch.

    Attributes:
        done: Pictures made.
        failed: Items that ended in an error, the refused and the never sent included.
        unsent: Items pulled from the input and not sent.
        abandoned: Items sent, or even answered, whose outcome nobody took.
        billed: Pictures known to be paid for.
        maybe_billed: Requests that may be paid for without a picture.
        elapsed: Seconds from the first pull to the end.
    """

    done: int = 0
    failed: int = 0
    unsent: int = 0
    abandoned: int = 0
    billed: int = 0
    maybe_billed: int = 0
    elapsed: float = 0.0


@attrs.define
class Counts:
    """The counts of the outcomes as they are read."""

    done: int = 0
    failed: int = 0
    billed: int = 0
    maybe_billed: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one more outcome."""
        if isinstance(outcome, Done):
            self.done += 1
            self.billed += 1
            return
        self.failed += 1
        self.billed += outcome.billed == "yes"
        self.maybe_billed += outcome.billed == "maybe"


def paid(outcomes: Iterable[Outcome]) -> list[Unfinished]:
    """List the unread outcomes that are, or may be, paid for."""
    return [
        Unfinished(
            index=one.index,
            request=one.request,
            response=one.response,
            attempts=one.attempts,
        )
        for one in outcomes
        if isinstance(one, Done) or one.billed != "no"
    ]


@attrs.define
class Ending:
    """
    The reason why a batch ends, and what it leaves behind.

    Attributes:
        error: What stopped it, of this library's errors.
        crash: An error that is no item's outcome: of the input itself, or a bug.
        models: The models of which no more is sent, and why.
        unsent: What was pulled and not sent.
        abandoned: What was sent, and whose outcome nobody was handed.
        finished: The outcomes that no iteration has handed out.
        counts: The counts of those that were, or that an awaited run keeps.
    """

    error: ZaiImagesError | None = None
    crash: BaseException | None = None
    models: dict[str, ZaiImagesError] = attrs.field(factory=dict)
    unsent: list[Unfinished] = attrs.field(factory=list)
    abandoned: list[Unfinished] = attrs.field(factory=list)
    finished: list[Outcome] = attrs.field(factory=list)
    counts: Counts = attrs.field(factory=Counts)

    def set_aside(self, left: Unfinished, *, gone: bool) -> None:
        """List an item that has no outcome."""
        self._forget(left.index)
        (self.abandoned if gone else self.unsent).append(left)

    def keep(self, outcome: Outcome, *, awaited: bool) -> None:
        """
        Keep an outcome that no iteration hands out.

        An awaited run has it; a streamed one was left, and what is paid stays named.
        """
        self._forget(outcome.index)
        self.finished.append(outcome)
        if awaited:
            self.counts.add(outcome)
        else:
            self.abandoned += paid([outcome])

    def _forget(self, index: int) -> None:
        """Take an item off the list of the abandoned: more is known of it now."""
        left = self.abandoned
        left[:] = [one for one in left if one.index != index]
