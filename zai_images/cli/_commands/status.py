"""`zai-images status`: where the requests of a job are, and what they cost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs
from cyclopts import Parameter

from zai_images.cli._advice import advice
from zai_images.cli._options import FOLDER, JSON
from zai_images.cli._output import Output
from zai_images.cli._signals import SignalHandler, run_command
from zai_images.cli._text import dollars, some
from zai_images.jobs import ImageJob, JobStatus, Spend, State

# In the order that a request goes through.
_MEANING = {
    State.PENDING: "not sent yet",
    State.SENT: "sent, no answer yet",
    State.ANSWERED: "paid, picture not fetched yet",
    State.SAVED: "picture saved",
    State.FAILED: "ended in an error, for free",
    State.REFUSED: "refused for the content, for free",
    State.UNKNOWN: "sent, and no answer is known: may be billed",
}


SPEND = Annotated[
    bool,
    Parameter(
        negative="", help="Also what was paid, by day (UTC) and model, in US dollars."
    ),
]


def status(folder: FOLDER, /, *, spend: SPEND = False, as_json: JSON = False) -> int:
    """
    Count the requests of a job by where they are; also while a run is at work.

    It sends nothing and needs no key.
    """
    output = Output(as_json=as_json)

    async def command(_: SignalHandler) -> int:
        async with ImageJob.open(folder, read_only=True) as job:
            found = await job.status()
            paid = await job.spend() if spend else []
        told = record(found, folder)
        if spend:
            told["spend"] = [attrs.asdict(one) for one in paid]
        await output.put((_table(found, paid), told))
        for line in advice(found, folder, sandbox=found.service == "sandbox"):
            output.say(line)
        return 0

    return run_command(command)


def record(found: JobStatus, folder: Path) -> dict[str, Any]:
    """Make the object that `--json` writes."""
    dies = found.links_expire
    return {
        "total": found.total,
        **{str(state): getattr(found, state) for state in State},
        "billed": found.billed,
        "maybe_billed": found.maybe_billed,
        "cost": found.cost if found.cost is None else round(found.cost, 6),
        "service": found.service,
        "dead_links": found.dead_links,
        "links_expire": dies.isoformat() if dies else None,
        "more_maybe_billed": found.more_maybe_billed,
        "missing": found.missing,
        "changed": found.changed,
        "folder": str(folder),
    }


def _table(found: JobStatus, spend: Sequence[Spend]) -> str:
    lines = [f"{found.total:>9} {some(found.total, 'request').split(' ')[1]}"]
    lines += [
        f"{number:>9} {state:<9} {meaning}"
        for state, meaning in _MEANING.items()
        if (number := getattr(found, state)) or state in (State.SAVED, State.PENDING)
    ]
    if_real = " if it were real" if found.service == "sandbox" else ""
    cost = "not known" if found.cost is None else dollars(found.cost) + if_real
    if found.missing or found.changed:
        lines.append(f"of these {found.missing} missing, {found.changed} changed")
    maybe = found.maybe_billed + found.more_maybe_billed
    lines.append(f"billed {found.billed}, maybe billed {maybe}")
    lines.append(f"cost   {cost}")
    lines.append(f"made by {found.service or 'nobody yet'}")
    lines += [
        f"{one.day} {one.model}: {some(one.payments, 'picture')}, "
        f"{'unknown' if one.cost is None else dollars(one.cost) + if_real}"
        for one in spend
    ]
    return "\n".join(lines)
