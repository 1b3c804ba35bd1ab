"""The closing words of a batch: what became of it, and what to do next."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import attrs

from zai_images._errors import BudgetError
from zai_images._stats import LatencyStats, SessionStats
from zai_images.cli._exit import ARGUMENTS, sentence
from zai_images.cli._folder import LINKS, UNKNOWN
from zai_images.cli._progress import Counts, duration
from zai_images.cli._service import SPEED
from zai_images.cli._talk import Talk, some


@attrs.frozen(kw_only=True)
class Ending:
    """
    Hold what is known of a batch when it ends.

    Attributes:
        folder: Where the pictures are.
        stats: What the session has counted.
        elapsed: Seconds in all.
        waits: Seconds that pictures waited for a place, the latest ones.
        sandbox: Nothing was paid.
        stopped_by: What ended it early.
        interrupted: A signal ended it early.
        max_pictures: The cap that was set.
        max_cost: The same in US dollars.
    """

    folder: Path
    stats: SessionStats
    elapsed: float
    waits: Sequence[float]
    sandbox: bool
    stopped_by: Exception | None
    interrupted: bool
    max_pictures: int | None
    max_cost: float | None


def say_summary(talk: Talk, counts: Counts, ending: Ending) -> None:
    """Say on stderr how a batch ended."""
    capped = isinstance(ending.stopped_by, BudgetError)
    if ending.stopped_by is not None and not capped:
        talk.say(f"stopped: {sentence(ending.stopped_by)}", "red")
    parts = [
        f"{number} {word}"
        for number, word in (
            (counts.made, "made"),
            (counts.there, "already there"),
            (counts.failed, "failed"),
            (counts.unknown, "unknown"),
            (counts.left, "not begun"),
        )
        if number or word == "made"
    ]
    talk.say(f"{some(counts.total, 'request')}: {', '.join(parts)}", "bold")
    talk.say(f"{_cost(ending)}, {duration(ending.elapsed)}")
    for line in _latencies(ending):
        talk.say(line)
    if counts.first is not None:
        talk.say(f"Open {counts.first}, or the folder {ending.folder}")
    for line in _kept(counts, ending):
        talk.say(line)
    if capped:
        talk.say(_cap(counts, ending), "bold")
    elif ending.interrupted or counts.left or counts.failed:
        talk.say(f"to go on: {shlex.join(['zai-images', *ARGUMENTS.get()])}")


def _cost(ending: Ending) -> str:
    cost = ending.stats.cost
    if cost is None:
        return "cost unknown (the price at this host is not known)"
    return f"${cost:.2f}" + (" if it were real" if ending.sandbox else "")


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


def _kept(counts: Counts, ending: Ending) -> list[str]:
    """Say what is paid, or may be, and is no picture."""
    if ending.sandbox:
        lost = counts.unfetched + counts.unknown
        said = "nothing is lost, as nothing was paid: the next run makes"
        return [f"of {some(lost, 'picture')} {said} them again"] if lost else []
    lines = []
    links = ending.folder / LINKS
    if counts.unfetched:
        lines.append(
            f"{counts.unfetched} of the failed are paid, and their links are kept in "
            f"{links}: the next run fetches them for free"
        )
    if counts.dead:
        lines.append(
            f"{len(counts.dead)} of the failed are paid, but their links, kept in "
            f"{links}, are dead ({', '.join(sorted(set(counts.dead)))}): "
            "--on-unknown resend makes those pictures again, paying again"
        )
    if counts.unknown:
        lines.append(
            f"{counts.unknown} may have been billed without a picture: they are listed "
            f"in {ending.folder / UNKNOWN} and sent again only with --on-unknown resend"
        )
    return lines


def _cap(counts: Counts, ending: Ending) -> str:
    """Say which cap is reached, and what the same command would do now."""
    stats, most = ending.stats, ending.max_pictures
    made, again = f"{counts.made} made", "Run the same command again to go on with"
    if most is not None and stats.billed + stats.maybe_billed >= most:
        more = min(most, counts.left)
        return f"--max-pictures {most} is reached: {made}. {again} {more} more."
    cost = ending.max_cost or 0.0
    return f"--max-cost {cost:g} is reached: {made}. {again} up to ${cost:g} more."
