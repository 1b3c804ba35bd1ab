"""What a job says of itself: frozen records."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import attrs

from zai_images.events import Event
from zai_images.jobs._states import State


@attrs.frozen(kw_only=True)
class JobStatus:
    """
    The items of a job, counted by their state.

    `total` is the sum of the seven states.

    Attributes:
        service: The base URL the job was made with, or `sandbox`; None before that.
        pending: Not sent yet.
        sent: Sent by a process that has not told yet what became of them.
        answered: Paid, and not saved yet; their links are kept.
        saved: Pictures that became files.
        failed: Ended in an error that cost nothing.
        refused: Refused for their content.
        unknown: Sent, and no answer is known; they may be billed.
        dead_links: Of the answered, those whose link gives no picture any more.
        links_expire: When the first link of the answered dies.
        billed: Payments that are known to be made, second ones included.
        missing: Of the saved, those whose file was removed; it is left so unless asked.
        changed: Of the saved, those whose file somebody has changed; it is kept.
        more_maybe_billed: Attempts that may be billed on top of `billed` and
            `maybe_billed`.
        cost: US dollars for what is billed; None where a price is not known.
    """

    service: str | None = None
    pending: int = 0
    sent: int = 0
    answered: int = 0
    saved: int = 0
    failed: int = 0
    refused: int = 0
    unknown: int = 0
    billed: int = 0
    missing: int = 0
    changed: int = 0
    dead_links: int = 0
    links_expire: datetime | None = None
    more_maybe_billed: int = 0
    cost: float | None = 0.0

    @property
    def total(self) -> int:
        """All items."""
        return sum(getattr(self, state) for state in State)

    @property
    def maybe_billed(self) -> int:
        """Items that may be paid for without a picture: sent and unknown."""
        return self.sent + self.unknown


@attrs.frozen(kw_only=True)
class Spend:
    """
    The payments of a job on one day for one model.

    Attributes:
        day: The day of the answers (UTC), as `2026-11-28`.
        model: The model's code.
        payments: Pictures that are known to be paid for.
        cost: US dollars; None where a price is not known.
    """

    day: str
    model: str
    payments: int
    cost: float | None


@attrs.frozen(kw_only=True)
class Unwritten:
    """
    A paid answer that the disk would not take, with its link in full.

    Attributes:
        number: The item's number in the job.
        url: The link, which may carry a signature: as good as the picture.
    """

    number: int
    url: str


@attrs.frozen(kw_only=True)
class JobReport:
    """
    The end of a run of a job.

    Attributes:
        status: The job's counts at the end.
        moved: How many items this run brought to each state.
        stopped_by: What ended it early: an error of the account, a cap that was
            reached, the disk; None where it ran to its end or was stopped by `stop()`.
        unwritten: Paid answers that could not be kept on the disk. Save them now.
        elapsed: Seconds.
    """

    status: JobStatus
    moved: Mapping[State, int]
    stopped_by: Exception | None = None
    unwritten: tuple[Unwritten, ...] = ()
    elapsed: float = 0.0


@attrs.frozen(kw_only=True)
class JobPlan:
    """
    What a run would do, told without doing it.

    Attributes:
        requests: Pictures that the input asks for, repeats included.
        duplicates: Of these, how many are equal to an earlier line.
        states: Where the items of the input are now; `pending` would be sent.
        models: How many of those that would be sent are of each model and quality.
        bad_lines: How many lines cannot be used.
        cost: US dollars for what would be sent; None where a price is not known.
    """

    requests: int
    duplicates: int
    states: Mapping[State, int]
    models: Mapping[tuple[str, str], int]
    bad_lines: int
    cost: float | None


@attrs.frozen(kw_only=True)
class JobRecord:
    """
    All that the journal knows of one item.

    Attributes:
        number: The item's number in the job, from 1.
        key: The item's key, hexadecimal.
        state: Where it is.
        id: The caller's id.
        body: The request's body, as it is sent.
        attempts: How often it was sent.
        error: What went wrong last, in words.
        code: The business code of that.
        billed: Payments that are known to be made for it.
        maybe: Attempts that may be billed on top.
        answer: The service's latest answer as JSON, or as text where it is none.
        url: The link, which may carry a signature.
        links: The links of all its answers, the earliest first.
        path: The file, relative to the job's folder.
        size: Of the file, bytes.
        sha256: Of the file.
        seen: What became of the file: "missing" and "changed" are a person's doing;
            one that was cut off is to be fetched "again"; None: it is there.
        latency: Seconds in service.
        cost: US dollars; None where a price is not known.
        saved_at: When the file was recorded, Unix seconds.
    """

    number: int
    key: str
    state: State
    id: str | int | None
    body: Mapping[str, Any]
    attempts: int
    error: str | None = None
    code: str | None = None
    billed: int = 0
    maybe: int = 0
    answer: Any = None
    url: str | None = attrs.field(default=None, repr=False)
    links: tuple[str, ...] = attrs.field(default=(), repr=False)
    path: str | None = None
    size: int | None = None
    sha256: str | None = None
    seen: str | None = None
    latency: float | None = None
    cost: float | None = None
    saved_at: float | None = None


@attrs.frozen(kw_only=True)
class Damage:
    """
    A saved picture that is not as it was saved.

    Attributes:
        number: The item's number in the job.
        path: The file, relative to the job's folder.
        kind: "missing", "changed" (a whole picture, but another), or "damaged".
        reason: What is wrong with it, in words.
    """

    number: int
    path: str
    kind: Literal["missing", "changed", "damaged"]
    reason: str


@attrs.frozen(kw_only=True)
class ItemMoved(Event):
    """
    The event of an item that reached a state (never of `PENDING` or `SENT`).

    Attributes:
        number: The item's number in the job.
        id: The caller's id.
        prompt: What was asked for.
        state: Where it is now.
        path: The file, relative to the job's folder, where it was saved.
        error: Why, where it was not.
        queued: Seconds of waiting.
        latency: Seconds in service.
    """

    number: int
    id: str | int | None
    prompt: str
    state: State
    path: str | None = None
    error: Exception | None = None
    queued: float = 0.0
    latency: float = 0.0
