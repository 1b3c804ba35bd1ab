"""`zai-images retry`: what failed, or what nobody knows of, sent once more."""

from functools import partial
from typing import Annotated, Literal

from cyclopts import Parameter

from zai_images._api.request import DEFAULT_MODEL
from zai_images.cli._exit import Interruptions, carry_out
from zai_images.cli._options import FOLDER, JSON, NAME, SANDBOX, CapOptions
from zai_images.cli._output import Talk
from zai_images.cli._run.runner import Work
from zai_images.cli._target import check_cap, open_service, raise_open_files
from zai_images.jobs import ImageJob
from zai_images.jobs._names import DEFAULT_NAME

_NO_CAPS = CapOptions()

ONLY = Annotated[
    Literal["failed", "unknown"],
    Parameter(
        help="'failed': what ended in an error that cost nothing. 'unknown': what was "
        "sent without learning what became of it, and paid pictures whose links are "
        "dead; each once, and it may be paid twice."
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
    Send some requests of a job once more: the failed, or the unknown.

    Give the --name that the batch was given. The paths of the pictures go to stdout,
    everything else to stderr.
    """
    raise_open_files()
    talk = Talk(as_json=as_json)

    async def command(interruptions: Interruptions) -> int:
        async with ImageJob.open(folder, read_only=True) as job:
            before = await job.status()  # makes no folder where there is no job
        work = Work(talk, folder, caps, interruptions)
        unknown = before.unknown + before.dead_links
        work.counts.total = before.failed if only == "failed" else unknown
        async with (
            ImageJob.open(
                folder, name=name, sandbox=sandbox, observer=work.observe
            ) as job,
            open_service(talk, sandbox=sandbox, limit=caps.limit) as service,
        ):
            check_cap(service, {DEFAULT_MODEL}, caps.max_cost)
            again = partial(
                job.retry, only=only, max_failures=caps.max_failures, limit=caps.limit
            )
            return await work.run(job, service, again, whole=False)

    return carry_out(command)
