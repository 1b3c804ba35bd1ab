"""`zai-images batch`: a file of prompts, a folder of pictures, nothing paid twice."""

from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Literal

import attrs
from cyclopts import Parameter, validators

from zai_images._batch import BatchRunner
from zai_images._errors import ZaiImagesError
from zai_images._models import ImageRequest
from zai_images._session import ImageSession
from zai_images._stats import SessionStats
from zai_images.cli._exit import (
    BAD_INPUT,
    DISK,
    SOME_FAILED,
    Interruptions,
    carry_out,
    exit_code,
)
from zai_images.cli._folder import Folder
from zai_images.cli._memory import remember
from zai_images.cli._options import JSON, SANDBOX, PictureOptions
from zai_images.cli._progress import Counts, Reporter
from zai_images.cli._service import Service, check_cap, open_service, raise_open_files
from zai_images.cli._source import STDIN, check, name_of, open_source, say_check
from zai_images.cli._summary import Ending, say_summary
from zai_images.cli._talk import Talk
from zai_images.cli._work import Work
from zai_images.jobs import InputCheck, PromptFile

_DEFAULTS = PictureOptions()
_AT_LEAST_ONE = validators.Number(gte=1)


def _file_or_stdin(_: object, prompts: str) -> None:
    """Let `-` through and no option that nobody knows."""
    if prompts.startswith("-") and prompts != STDIN:
        raise ValueError(f"there is no option {prompts}")


PROMPTS = Annotated[
    str,
    Parameter(
        allow_leading_hyphen=True,
        validator=_file_or_stdin,
        help="A .txt with a prompt a line, a .jsonl with request fields, a .csv or "
        ".tsv with a column 'prompt', or - for stdin.",
    ),
]


@Parameter(name="*")  # its fields are options of the command itself
@attrs.frozen(kw_only=True)
class BatchOptions:
    """Hold what the command line says about a batch."""

    out: Annotated[Path, Parameter(help="The folder for the pictures.")]
    limit: Annotated[
        int | None,
        Parameter(
            help="At most so many pictures in flight; below that the account's own "
            "limit is found by itself.",
            validator=_AT_LEAST_ONE,
        ),
    ] = None
    skip_invalid: Annotated[
        bool, Parameter(help="Go on without the lines that cannot be used.")
    ] = False
    max_pictures: Annotated[
        int | None,
        Parameter(help="Pay for no more pictures than this.", validator=_AT_LEAST_ONE),
    ] = None
    max_cost: Annotated[
        float | None,
        Parameter(
            help="Spend no more US dollars than this.",
            validator=validators.Number(gt=0),
        ),
    ] = None
    on_unknown: Annotated[
        Literal["keep", "resend"],
        Parameter(
            help="What to do with requests that an earlier run sent without learning "
            "what became of them, and with paid pictures whose links are dead; "
            "'resend' makes them again and may pay twice. 'keep' if left out."
        ),
    ] = "keep"


def batch(
    prompts: PROMPTS,
    /,
    *,
    options: BatchOptions,
    picture: PictureOptions = _DEFAULTS,
    sandbox: SANDBOX = False,
    as_json: JSON = False,
) -> int:
    """
    Make a picture of each prompt of a file, into a folder.

    The whole file is checked before anything is sent. Run the same command again to go
    on where it stopped: pictures that are in the folder are not paid for again.

    The paths of the pictures go to stdout, everything else to stderr.
    """
    ImageRequest("the options alone", **picture.given)
    raise_open_files()
    talk = Talk(as_json=as_json)
    name = name_of(prompts)
    with open_source(prompts, talk, picture.given) as file:
        found = check(file, name)
        if not say_check(talk, found, name, skip_invalid=options.skip_invalid):
            return BAD_INPUT
        job = Batch(talk, options, file, found)

        async def command(interruptions: Interruptions) -> int:
            async with open_service(
                talk, sandbox=sandbox, limit=options.limit
            ) as service:
                check_cap(service, found.models, options.max_cost)
                return await job.run(service, interruptions)

        return carry_out(command)


class Batch:
    """Carry out one batch, from the folder to the closing words."""

    def __init__(
        self, talk: Talk, options: BatchOptions, file: PromptFile, found: InputCheck
    ) -> None:
        self._talk = talk
        self._options = options
        self._file = file
        self._bad_lines = found.bad_lines
        self._counts = Counts(total=found.requests)
        self._stopped_by: ZaiImagesError | None = None

    async def run(self, service: Service, interruptions: Interruptions) -> int:
        """Run to the end, or to where it is stopped; return the exit code."""
        folder = Folder(self._options.out)
        folder.open(service.name)
        if service.sandbox:
            folder.forget()
        try:
            return await self._run(service, folder, interruptions)
        finally:
            folder.close()

    async def _run(
        self, service: Service, folder: Folder, interruptions: Interruptions
    ) -> int:
        reporter = Reporter(self._talk, self._counts)
        work = Work(
            file=self._file,
            folder=folder,
            talk=self._talk,
            counts=self._counts,
            reporter=reporter,
            resend=self._options.on_unknown == "resend",
        )
        session = ImageSession(
            service.config,
            observer=reporter.observe,
            max_pictures=self._options.max_pictures,
            max_cost=self._options.max_cost,
        )
        stats = session.stats()
        try:
            async with session:
                try:
                    with reporter:
                        await work.fetch_links(session)
                        await self._send(session, work, interruptions)
                finally:
                    stats = session.stats()  # a closed one has forgotten its places
        finally:
            self._close(
                service,
                folder,
                work,
                stats=stats,
                elapsed=reporter.elapsed,
                interrupted=interruptions.signal is not None,
            )
        return self._exit_code(work, interruptions)

    def _close(  # noqa: PLR0913 - everything that is known at the end
        self,
        service: Service,
        folder: Folder,
        work: Work,
        *,
        stats: SessionStats,
        elapsed: float,
        interrupted: bool,
    ) -> None:
        """Leave the folder in order, and say how it ended."""
        remember(service.config, stats)
        folder.tidy()
        if service.sandbox:
            folder.forget()
        ending = Ending(
            folder=folder.path,
            stats=stats,
            elapsed=elapsed,
            waits=work.waits,
            sandbox=service.sandbox,
            stopped_by=work.disk_error or self._stopped_by,
            interrupted=interrupted,
            max_pictures=self._options.max_pictures,
            max_cost=self._options.max_cost,
        )
        say_summary(self._talk, self._counts, ending)

    async def _send(
        self, session: ImageSession, work: Work, interruptions: Interruptions
    ) -> None:
        async with aclosing(work.requests()) as requests:
            runner = BatchRunner(session, download=True, limit=self._options.limit)
            run = runner.run(requests)
            work.stop = run.stop

            def stop() -> None:
                self._talk.say(
                    "stopping: nothing new is sent, what is in flight is finished and "
                    "kept (once more to end at once)"
                )
                run.stop()

            interruptions.gently = stop
            try:
                async with run:
                    async for outcome in run:
                        await work.take(outcome)
            except ZaiImagesError as error:
                self._stopped_by = error
            finally:
                work.take_abandoned(run)

    def _exit_code(self, work: Work, interruptions: Interruptions) -> int:
        if interruptions.signal is not None:
            return interruptions.exit_code
        if work.disk_error is not None:
            return DISK
        if self._stopped_by is not None:
            return exit_code(self._stopped_by)
        counts = self._counts
        trouble = counts.failed or counts.unknown or counts.left or self._bad_lines
        return SOME_FAILED if trouble else 0
