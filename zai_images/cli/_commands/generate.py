"""`zai-images generate`: one prompt, one picture file."""

import asyncio
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from zai_images import (
    DownloadError,
    ImageRequest,
    ImageResponse,
    ImageSession,
    Picture,
    events,
)
from zai_images._picture.files import numbered, write_new
from zai_images.cli._exit import UsageError
from zai_images.cli._known_limits import save_known_limits
from zai_images.cli._options import JSON, SANDBOX, PictureOptions
from zai_images.cli._output import Output
from zai_images.cli._signals import SignalHandler, run_command
from zai_images.cli._target import open_target, raise_open_files
from zai_images.cli._text import duration, shown, whole_link
from zai_images.jobs import slug

_DEFAULTS = PictureOptions()


PROMPT = Annotated[str, Parameter(help="What the picture shall show.")]
OUTPUT = Annotated[
    Path | None,
    Parameter(
        name=["--output", "-o"],
        help="Where to write it; replaced if it exists. If left out: a name made of "
        "the prompt, in this folder, that no file has yet.",
    ),
]
USER_ID = Annotated[
    str | None,
    Parameter(help="Your end user's id, 6-128 characters, for abuse checks."),
]


def generate(  # noqa: PLR0913 - the options of the command
    prompt: PROMPT,
    /,
    *,
    file: OUTPUT = None,
    picture: PictureOptions = _DEFAULTS,
    user_id: USER_ID = None,
    sandbox: SANDBOX = False,
    as_json: JSON = False,
) -> int:
    """
    Make one picture and print the path of its file.

    Example: zai-images generate "a fox in the snow" -o fox.png --quality hd
    """
    request = ImageRequest(prompt, user_id=user_id, **picture.given)
    _check_file(file)
    raise_open_files()
    output = Output(as_json=as_json)

    async def command(_: SignalHandler) -> int:
        made = await _make(output, request, sandbox=sandbox)
        path = await _write(output, made, file, sandbox=sandbox)
        _say_facts(output, made, sandbox=sandbox)
        await output.put((str(path), _record(made, path)))
        return 0

    return run_command(command)


def _check_file(file: Path | None) -> None:
    """Find out before anything is paid that a file could not be written."""
    folder = Path()
    if file is not None:
        folder = file.parent
        if file.is_dir() or not file.name:
            raise UsageError(f"--output {file}: name a file")
        if not folder.is_dir():
            raise UsageError(f"--output {file}: there is no folder {folder}")
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".zai-images."):
            pass
    except OSError as error:
        why = f"{error.strerror}; nothing can be written there, so nothing was sent"
        raise OSError(error.errno, why, str(folder.absolute())) from None


async def _make(output: Output, request: ImageRequest, *, sandbox: bool) -> Picture:
    left: list[events.Abandoned] = []

    def observe(event: events.Event) -> None:
        if isinstance(event, events.Abandoned):
            left.append(event)

    quality = str(request.quality or "any quality")
    waiting = (
        output.console.status(Text(f"making a picture ({shown(quality, 50)})"))
        if output.on_terminal
        else nullcontext()
    )
    async with open_target(output, sandbox=sandbox) as target:
        with waiting:
            async with ImageSession(target.config, observer=observe) as session:
                try:
                    return await session.generate_picture(request)
                except DownloadError as error:
                    if error.response is not None and not sandbox:
                        _say_link(output, error.response)
                    raise
                except asyncio.CancelledError:
                    _say_abandoned(output, left)
                    raise
                finally:
                    save_known_limits(target.config, session.stats())


async def _write(
    output: Output, picture: Picture, file: Path | None, *, sandbox: bool
) -> Path:
    extension = picture.extension
    stem = Path(slug(picture.request.prompt if picture.request else ""))
    if file is not None and file.suffix.lower() != extension:
        output.say(f"note: the picture is {picture.media_type}, whatever the name says")
    try:
        if file is not None:
            return await picture.save(file)
        return await asyncio.to_thread(
            write_new, numbered(stem, extension), picture.data
        )
    except OSError:
        if picture.response is not None and not sandbox:
            _say_link(output, picture.response)
        raise


def _say_abandoned(output: Output, left: list[events.Abandoned]) -> None:
    """Say what an interruption may have cost."""
    for event in left:
        if event.response is not None:
            _say_link(output, event.response)
        else:
            output.say("The request was sent already: it may be billed.")


def _say_link(output: Output, response: ImageResponse) -> None:
    """Give away the link of a picture that is paid and has no file."""
    until = response.expires
    good = f", is good until {until:%Y-%m-%d %H:%M} UTC" if until else ""
    output.say(f"It is paid. Its link, in full{good}: {whole_link(response.url)}")


def _say_facts(output: Output, picture: Picture, *, sandbox: bool) -> None:
    facts = [f"{picture.width}x{picture.height} {picture.media_type}"]
    if picture.latency is not None:
        facts.append(f"{duration(picture.latency)} in service")
    if picture.cost is not None:
        facts.append(f"${picture.cost:g}" + (" if it were real" if sandbox else ""))
    output.say(", ".join(facts))


def _record(picture: Picture, path: Path) -> Mapping[str, Any]:
    request, response = picture.request, picture.response
    return {
        "status": "done",
        "path": str(path),
        "prompt": request.prompt if request else None,
        "model": request.model if request else None,
        "quality": str(request.quality) if request else None,
        "width": picture.width,
        "height": picture.height,
        "media_type": picture.media_type,
        "seconds": picture.latency,
        "cost": picture.cost,
        "request_id": response.request_id if response else None,
    }
