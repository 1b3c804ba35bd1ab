"""`zai-images export`: what the journal knows of each request, for other programs."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from cyclopts import Parameter

from zai_images.cli._exit import UsageError
from zai_images.cli._export_lines import csv_header, csv_row, full_line, openai_line
from zai_images.cli._options import FOLDER, JSON
from zai_images.cli._output import Output
from zai_images.cli._signals import SignalHandler, run_command
from zai_images.cli._text import some
from zai_images.jobs import ImageJob, JobRecord

_AT_ONCE = 200  # lines written together
_Format = Literal["jsonl", "csv", "openai"]

FORMAT = Annotated[
    _Format | None,
    Parameter(
        name="--format",
        help="'jsonl': all that is known, an object a line; if left out. 'csv': a "
        "table. 'openai': the output lines of the OpenAI Batch API, of the requests "
        "that have ended.",
    ),
]
_WRITERS: Mapping[str, Callable[[JobRecord], str | None]] = MappingProxyType(
    {"jsonl": full_line, "csv": csv_row, "openai": openai_line}
)


def export(
    folder: FOLDER, /, *, as_format: FORMAT = None, as_json: JSON = False
) -> int:
    """
    Write all that a job knows to stdout, a line for each request.

    Links are part of it, and a link is as good as the picture. It sends nothing.
    """
    if as_json and as_format == "csv":
        raise UsageError("--json and --format csv do not go together; choose one")
    kind = as_format or "jsonl"
    output = Output()
    write = _WRITERS[kind]

    async def command(_: SignalHandler) -> int:
        lines = [csv_header()] if kind == "csv" else []
        left_out = 0
        async with ImageJob.open(folder, read_only=True) as job:
            async for one in job.records():
                line = write(one)
                if line is None:
                    left_out += 1
                    continue
                lines.append(line)
                if len(lines) >= _AT_ONCE:
                    await output.put(("\n".join(lines), None))
                    lines.clear()
        if lines:
            await output.put(("\n".join(lines), None))
        if left_out:
            output.say(f"{some(left_out, 'request')} left out that have not ended")
        return 0

    return run_command(command)
