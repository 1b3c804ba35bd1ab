"""`zai-images batch`: a file of prompts, a folder of pictures, nothing paid twice."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import attrs
from cyclopts import Parameter

from zai_images import ImageRequest
from zai_images.cli._exit import BAD_INPUT, SOME_FAILED
from zai_images.cli._options import (
    JSON,
    NAME,
    PROMPTS,
    REPEAT,
    SANDBOX,
    CapOptions,
    PictureOptions,
)
from zai_images.cli._output import Output
from zai_images.cli._prompt_source import input_faults, name_of, open_source, say_check
from zai_images.cli._run.runner import RunReporter
from zai_images.cli._signals import SignalHandler, run_command
from zai_images.cli._target import check_cap, open_target, raise_open_files
from zai_images.jobs import DEFAULT_NAME, ImageJob

_NO_CAPS = CapOptions()
_DEFAULTS = PictureOptions()


@Parameter(name="*")  # its fields are options of the command itself
@attrs.frozen(kw_only=True)
class BatchOptions:
    """What the command line says about a batch."""

    out: Annotated[Path, Parameter(help="The folder of the job and its pictures.")]
    repeat: REPEAT = 1
    name: NAME = DEFAULT_NAME
    skip_invalid: Annotated[
        bool, Parameter(help="Go on without the lines that cannot be used.")
    ] = False
    on_unknown: Annotated[
        Literal["keep", "resend"],
        Parameter(
            help="What to do with requests that an earlier run sent without learning "
            "what became of them, and with paid pictures whose links are dead; "
            "'resend' makes them again, once, and may pay twice. 'keep' if left out."
        ),
    ] = "keep"


def batch(  # noqa: PLR0913 - the options of the command
    prompts: PROMPTS,
    /,
    *,
    options: BatchOptions,
    caps: CapOptions = _NO_CAPS,
    picture: PictureOptions = _DEFAULTS,
    sandbox: SANDBOX = False,
    as_json: JSON = False,
) -> int:
    """
    Make a picture of each prompt of a file, into a folder.

    The whole file is checked before anything is sent. Run the same command again to go
    on where it stopped: what is in the folder's journal is not paid for again.

    The paths of the pictures go to stdout, everything else to stderr.
    """
    ImageRequest("the options alone", **picture.given)
    raise_open_files()
    output = Output(as_json=as_json)
    name = name_of(prompts)
    with open_source(prompts, output, picture.given) as file:

        async def command(signals: SignalHandler) -> int:
            reporter = RunReporter(output, options.out, caps, signals)
            async with ImageJob.open(
                options.out,
                name=options.name,
                sandbox=sandbox,
                observer=reporter.observe,
            ) as job:
                with input_faults(name):
                    found = await job.take(
                        file, repeat=options.repeat, skip_invalid=options.skip_invalid
                    )
                if not say_check(
                    output, found, name, skip_invalid=options.skip_invalid
                ):
                    return BAD_INPUT
                async with open_target(
                    output, sandbox=sandbox, limit=caps.limit
                ) as target:
                    check_cap(target, found.models, caps.max_cost)
                    await _count(reporter, job, options)
                    run = partial(
                        job.run,
                        on_unknown=options.on_unknown,
                        max_failures=caps.max_failures,
                        limit=caps.limit,
                    )
                    code = await reporter.run(job, target, run)
            return code or (SOME_FAILED if found.bad_lines else 0)

        return run_command(command)


async def _count(reporter: RunReporter, job: ImageJob, options: BatchOptions) -> None:
    """Count what is there before the run."""
    status = await job.status()
    counts = reporter.counts
    counts.total, counts.there = status.total, status.saved
    counts.failed = status.failed + status.refused
    if options.on_unknown == "keep":
        counts.unknown = status.unknown
