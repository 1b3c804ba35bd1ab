"""`zai-images retry`: what failed, is unknown or missing, asked for once more."""

from functools import partial
from typing import Annotated, Literal

from cyclopts import Parameter

from zai_images.cli._options import (
    DEFAULT_MODEL,
    FOLDER,
    JSON,
    NAME,
    SANDBOX,
    CapOptions,
)
from zai_images.cli._output import Output
from zai_images.cli._run.runner import RunReporter
from zai_images.cli._signals import SignalHandler, run_command
from zai_images.cli._target import check_cap, open_target, raise_open_files
from zai_images.jobs import DEFAULT_NAME, ImageJob

_NO_CAPS = CapOptions()

ONLY = Annotated[
    Literal["failed", "unknown", "missing"],
    Parameter(
        help="'failed': what ended in an error that cost nothing. 'unknown': what was "
        "sent without learning what became of it, and paid pictures whose links are "
        "dead; each once, and it may be paid twice. 'missing': files that were "
        "removed, fetched again for free by their links."
    ),
]


def retry(  # noqa: PLR0913 - the options of the command
    folder: FOLDER,
    /,
    *,
    only: ONLY,
    name: NAME = DEFAULT_NAME,
    caps: CapOptions = _NO_CAPS,
    sandbox: SANDBOX = False,
    as_json: JSON = False,
) -> int:
    """
    Ask once more for some requests of a job: the failed, unknown or missing.

    Give the --name that the batch was given. The paths of the pictures go to stdout,
    everything else to stderr.
    """
    raise_open_files()
    output = Output(as_json=as_json)

    async def command(signals: SignalHandler) -> int:
        async with ImageJob.open(folder, read_only=True) as job:
            before = await job.status()  # makes no folder where there is no job
        reporter = RunReporter(output, folder, caps, signals)
        reporter.counts.total = {
            "failed": before.failed,
            "unknown": before.unknown + before.dead_links,
            "missing": before.missing,
        }[only]
        async with (
            ImageJob.open(
                folder, name=name, sandbox=sandbox, observer=reporter.observe
            ) as job,
            open_target(output, sandbox=sandbox, limit=caps.limit) as target,
        ):
            check_cap(target, {DEFAULT_MODEL}, caps.max_cost)
            again = partial(
                job.retry, only=only, max_failures=caps.max_failures, limit=caps.limit
            )
            return await reporter.run(job, target, again, whole=False)

    return run_command(command)
