"""The closing words of a batch: what became of it, and what to do next."""

import shlex
from pathlib import Path

from zai_images._stats import SessionStats
from zai_images.cli._exit import ARGUMENTS, sentence
from zai_images.cli._folder import LINKS, UNKNOWN
from zai_images.cli._progress import Counts, duration
from zai_images.cli._talk import Talk, some


def say_summary(  # noqa: PLR0913 - everything that is known at the end, by keyword
    talk: Talk,
    counts: Counts,
    *,
    folder: Path,
    stats: SessionStats,
    elapsed: float,
    sandbox: bool,
    stopped_by: Exception | None,
    interrupted: bool,
) -> None:
    """Say on stderr how a batch ended."""
    if stopped_by is not None:
        talk.say(f"stopped: {sentence(stopped_by)}", "red")
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
    talk.say(f"{_cost(stats, sandbox=sandbox)}, {duration(elapsed)}, in {folder}")
    if counts.unfetched:
        talk.say(
            f"{counts.unfetched} of the failed are paid, and their links are kept in "
            f"{folder / LINKS}: the next run fetches them for free"
        )
    if counts.unknown:
        talk.say(
            f"{counts.unknown} may have been billed without a picture: they are listed "
            f"in {folder / UNKNOWN} and sent again only with --on-unknown resend"
        )
    if interrupted or counts.left or counts.failed:
        talk.say(f"to go on: {_command()}")


def _cost(stats: SessionStats, *, sandbox: bool) -> str:
    if stats.cost is None:
        return "cost unknown (the price at this host is not known)"
    return f"${stats.cost:.2f}" + (" if it were real" if sandbox else "")


def _command() -> str:
    return shlex.join(["zai-images", *ARGUMENTS.get()])
