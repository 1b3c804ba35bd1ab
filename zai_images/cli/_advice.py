"""What a job's counts ask of a person: links about to die, requests nobody knows of."""

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

from zai_images.cli._text import some, until
from zai_images.jobs import JobStatus

SOON = timedelta(days=3)  # the links of a job that rests over a weekend live on


def advice(status: JobStatus, folder: Path, *, sandbox: bool) -> list[str]:
    """Say what has no picture, whether it cost anything, and what to do about it."""
    retry = f"zai-images retry {shlex.quote(str(folder))} --only"
    lines = []
    lost = status.answered + status.unknown + status.sent
    if not sandbox:
        lines += _paid(status, retry)
    elif lost:
        lines.append(
            f"of {some(lost, 'picture')} nothing is lost, as nothing was paid: "
            f"the next run, or {retry} unknown, makes them again"
        )
    if status.failed:
        lines.append(f"{status.failed} failed for free: {retry} failed")
    if status.refused:
        lines.append(
            f"{status.refused} refused for their content, for free: change the prompts"
        )
    return lines


def _paid(status: JobStatus, retry: str) -> list[str]:
    lines = []
    alive = status.answered - status.dead_links
    if alive:
        lines.append(
            f"{alive} paid and not fetched: their links are kept, and the next run of "
            "the batch fetches them for free"
        )
        lines += _dying(status)
    if status.dead_links:
        lines.append(
            f"{status.dead_links} paid, and their links are dead: {retry} unknown "
            "makes those pictures again, paying again"
        )
    if status.sent:
        lines.append(
            f"{status.sent} sent, and no answer yet: a run is at work, or was killed"
        )
    if status.unknown:
        lines.append(
            f"{status.unknown} unknown: sent, and no answer came, so each may have "
            f"been billed. {retry} unknown sends them once more, and may pay twice"
        )
    if status.more_maybe_billed > 0:
        lines.append(
            f"{some(status.more_maybe_billed, 'more attempt')} may have been billed "
            "without a picture"
        )
    return lines


def _dying(status: JobStatus) -> list[str]:
    dies = status.links_expire
    if dies is None or dies - datetime.now(UTC) > SOON:
        return []
    return [f"WARNING: the first of those links dies {until(dies)}: fetch them now"]
