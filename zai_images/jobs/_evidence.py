"""
What follows from what is known of an item: pure functions of its evidence.

The journal keeps a row for each attempt that is or may be paid for, and only ever adds
to it. Where an item is and what it cost follow from its rows alone, so that no refusal,
no lost answer and no second payment changes what was known before.
"""

from collections.abc import Sequence
from datetime import datetime

import attrs

from zai_images._api.errors import Billed, ContentRefusedError, ZaiImagesError
from zai_images._api.judge import judge
from zai_images._api.response import ImageResponse, RawResponse
from zai_images.jobs._states import State


@attrs.frozen
class Payment:
    """
    What is known of one attempt that was sent.

    Attributes:
        billed: "yes", "maybe", or None while it is in flight.
        price: US dollars; None where it is not known.
    """

    billed: Billed | None
    price: float | None = None


@attrs.frozen(kw_only=True)
class Standing:
    """
    Where an item is, and what it has cost.

    Attributes:
        state: Where it is.
        billed: Payments that are known to be made.
        maybe: Attempts that may be paid for beside them.
        cost: US dollars for what is billed; None where a price is not known.
    """

    state: State
    billed: int
    maybe: int
    cost: float | None


def standing(
    payments: Sequence[Payment], *, saved: bool, ended: State | None
) -> Standing:
    """
    Tell where an item is.

    Args:
        payments: All its attempts but those that cost nothing.
        saved: Its picture became a file that is not to be fetched again.
        ended: How its latest attempt ended, where that cost nothing and was final.
    """
    paid = [one.price for one in payments if one.billed == "yes"]
    if saved:
        state = State.SAVED
    elif any(one.billed is None for one in payments):
        state = State.SENT
    elif paid:
        state = State.ANSWERED
    elif payments:
        state = State.UNKNOWN
    else:
        state = ended or State.PENDING
    known = [price for price in paid if price is not None]
    return Standing(
        state=state,
        billed=len(paid),
        maybe=len(payments) - len(paid),
        cost=sum(known) if len(known) == len(paid) else None,
    )


@attrs.frozen(kw_only=True)
class Reading:
    """
    What an answer says.

    Attributes:
        response: The answer with its picture's links; None where it has none.
        error: What it says instead.
    """

    response: ImageResponse | None = None
    error: ZaiImagesError | None = None

    @property
    def billed(self) -> Billed:
        """Whether the attempt was paid for."""
        return "yes" if self.error is None else self.error.billed


def read(raw: RawResponse, now: datetime) -> Reading:
    """Read an answer as the session does."""
    try:
        return Reading(response=judge(raw, now=now))
    except ZaiImagesError as error:
        return Reading(error=error)


def ended(error: Exception) -> State | None:
    """Tell how an error that cost nothing ends its item; None: it is sent again."""
    if isinstance(error, ContentRefusedError):
        return State.REFUSED
    # What was free and may go well later is asked for again by the next run.
    if not isinstance(error, ZaiImagesError):
        return None
    later = error.retryable or error.stops != "nothing"
    return None if later else State.FAILED
