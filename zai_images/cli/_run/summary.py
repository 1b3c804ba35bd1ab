"""The closing words of a run: what became of the job, and what to do next."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import attrs

from zai_images import BudgetError, LatencyStats, QuotaError, SessionStats
from zai_images.cli._advice import advice
from zai_images.cli._exit import ARGUMENTS, sentence
from zai_images.cli._options import CapOptions
from zai_images.cli._output import Output
from zai_images.cli._run.progress import Counts
from zai_images.cli._target import SPEED
from zai_images.cli._text import dollars, duration, some, until
from zai_images.jobs import JobStatus, Unwritten


@attrs.frozen(kw_only=True)
class Ending:
    """
    What is known of a run when it ends.

    Attributes:
        folder: The job's.
        status: Where the job's requests are.
        stats: What the session has counted.
        elapsed: Seconds in all.
        waits: Seconds that pictures waited for a place, the latest ones.
        sandbox: Nothing was paid.
        stopped_by: What ended it early.
        interrupted: A signal ended it early.
        unwritten: Links of paid pictures that the disk did not take.
        caps: The bounds that were set.
    """

    folder: Path
    status: JobStatus
    stats: SessionStats
    elapsed: float
    waits: Sequence[float]
    sandbox: bool
    stopped_by: Exception | None
    interrupted: bool
    unwritten: Sequence[Unwritten]
    caps: CapOptions


def say_summary(output: Output, counts: Counts, ending: Ending) -> None:
    """Say on stderr how a run ended."""
    capped = isinstance(ending.stopped_by, BudgetError)
    if ending.stopped_by is not None and not capped:
        output.say(f"stopped: {_why(ending.stopped_by)}", "red")
    for lost in () if ending.sandbox else ending.unwritten:
        output.say(
            f"picture {lost.number} is paid, and the disk did not take its link. Keep "
            f"it yourself, in full: {lost.url}",
            "red",
        )
    output.say(_counted(counts, ending.status), "bold")
    output.say(f"{_cost(ending)}, {duration(ending.elapsed)}")
    for line in _latencies(ending):
        output.say(line)
    if counts.first is not None:
        output.say(f"Open {counts.first}, or the folder {ending.folder}")
    for line in advice(ending.status, ending.folder, sandbox=ending.sandbox):
        output.say(line)
    status = ending.status
    if capped:
        output.say(_cap(counts, ending), "bold")
    elif ending.interrupted or status.pending or status.sent or status.answered:
        output.say(f"to go on: {shlex.join(['zai-images', *ARGUMENTS.get()])}")


def _why(error: Exception) -> str:
    """Say why a run was stopped, and until when, where the service told."""
    words = sentence(error)
    if isinstance(error, QuotaError) and error.resets_at is not None:
        words += f" It is renewed {until(error.resets_at)}."
    return words


def _counted(counts: Counts, status: JobStatus) -> str:
    parts = [
        f"{number} {word}"
        for number, word in (
            (counts.made, "made"),
            (max(0, status.saved - status.missing - counts.made), "already there"),
            (status.missing, "removed since"),
            (status.answered, "paid and not fetched"),
            (status.failed, "failed"),
            (status.refused, "refused"),
            (status.unknown + status.sent, "unknown"),
            (status.pending, "not begun"),
        )
        if number or word == "made"
    ]
    partial = "PARTIAL: " if status.saved < status.total else ""
    return f"{partial}{some(status.total, 'request')}: {', '.join(parts)}"


def _cost(ending: Ending) -> str:
    cost = ending.stats.cost
    if cost is None:
        return "cost unknown (the price at this host is not known)"
    return dollars(cost) + (" if it were real" if ending.sandbox else "")


def _latencies(ending: Ending) -> list[str]:
    """Set the time in service beside what the API page says, and the waiting apart."""
    models = ending.stats.models
    lines = [
        f"{f'{model}, ' if len(models) > 1 else ''}{quality}: median "
        f"{found.median:.1f} s, p95 {found.p95:.1f} s in service"
        f"{_window(found, sandbox=ending.sandbox)}"
        for model, of_model in models.items()
        for quality, found in of_model.latency.items()
    ]
    if lines and ending.waits:
        lines.append(f"waiting for a place: median {median(ending.waits):.1f} s")
    return lines


def _window(found: LatencyStats, *, sandbox: bool) -> str:
    if sandbox:
        return f" (the sandbox is {SPEED:g} times faster than life)"
    if found.window is None:
        return ""
    low, high = found.window
    return f" (documented {low:g}-{high:g} s)"


def _cap(counts: Counts, ending: Ending) -> str:
    """Say which cap is reached, and what the same command would do now."""
    stats, caps = ending.stats, ending.caps
    made, again = f"{counts.made} made", "Run the same command again to go on with"
    most = caps.max_pictures
    if most is not None and stats.billed + stats.maybe_billed >= most:
        more = min(most, ending.status.pending)
        return f"--max-pictures {most} is reached: {made}. {again} {more} more."
    if caps.max_failures is not None and counts.errors >= caps.max_failures:
        return (
            f"--max-failures {caps.max_failures} is reached: {made}. Look at what "
            f"failed, then run the same command again to go on with "
            f"{ending.status.pending} more."
        )
    cost = caps.max_cost or 0.0
    return f"--max-cost {cost:g} is reached: {made}. {again} up to ${cost:g} more."
