"""`zai-images plan`: what a batch would do and cost, without doing it."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from zai_images import ImageRequest, SessionConfig
from zai_images.cli._estimate import lines, record
from zai_images.cli._exit import BAD_INPUT, UsageError
from zai_images.cli._known_limits import load_known_limits
from zai_images.cli._options import JSON, PROMPTS, REPEAT, PictureOptions
from zai_images.cli._output import Output
from zai_images.cli._prompt_source import input_faults, name_of, open_source
from zai_images.cli._signals import SignalHandler, run_command
from zai_images.cli._text import shown
from zai_images.jobs import BadLine, ImageJob

_DEFAULTS = PictureOptions()
_OUT = Annotated[
    Path | None,
    Parameter(help="The folder of the job, so that what is there is not counted."),
]


def plan(
    prompts: PROMPTS,
    /,
    *,
    out: _OUT = None,
    repeat: REPEAT = 1,
    picture: PictureOptions = _DEFAULTS,
    as_json: JSON = False,
) -> int:
    """
    Say what a batch would do: its requests, every line it cannot use, cost and time.

    It sends nothing, needs no key and leaves the folder as it is.
    """
    ImageRequest("the options alone", **picture.given)
    output = Output(as_json=as_json)
    name = name_of(prompts)
    with open_source(prompts, output, picture.given) as file:

        async def command(_: SignalHandler) -> int:
            config = SessionConfig.from_env()
            price = config.price_of
            bad: list[BadLine] = []
            with input_faults(name):
                if out is None or _is_new(out):
                    found = await ImageJob.plan_new(
                        file, price=price, repeat=repeat, on_bad=bad.append
                    )
                else:
                    async with ImageJob.open(out, read_only=True) as job:
                        found = await job.plan(
                            file, price=price, repeat=repeat, on_bad=bad.append
                        )
            if not found.requests and not bad:
                raise UsageError(f"{name} holds no prompt")
            known = load_known_limits(config)
            faults = [f"{name}:{one.line}: {shown(one.message)}" for one in bad]
            text = "\n".join([*faults, *lines(found, known)])
            await output.put((text, record(found, bad, known)))
            return BAD_INPUT if bad else 0

        return run_command(command)


def _is_new(out: Path) -> bool:
    """Tell whether a batch would begin a job there."""
    return not out.exists() or (out.is_dir() and not any(out.iterdir()))
