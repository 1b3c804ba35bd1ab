"""`zai-images sandbox`: the image API on this machine, until Ctrl-C."""

import asyncio
import errno
from typing import Annotated

from cyclopts import Parameter, validators

from zai_images import ImageRequest
from zai_images.cli._exit import UsageError
from zai_images.cli._options import JSON
from zai_images.cli._output import Output
from zai_images.cli._signals import SignalHandler, run_command
from zai_images.cli._target import SPEED, raise_open_files
from zai_images.cli._text import some
from zai_images.sandbox import Sandbox

USUAL_PORT = 8787
_ABOVE_ZERO = validators.Number(gt=0)


PORT = Annotated[
    int | None,
    Parameter(
        help=f"Where to listen; {USUAL_PORT} if left out, or any that is free.",
        validator=validators.Number(gte=0, lte=65535),
    ),
]
SPEED_OPTION = Annotated[
    float,
    Parameter(
        help=f"How many times faster than life pictures come; {SPEED:g} if left out.",
        validator=_ABOVE_ZERO,
    ),
]
LIMIT = Annotated[
    int,
    Parameter(
        help="Pictures at once; more are refused. 5 if left out.",
        validator=_ABOVE_ZERO,
    ),
]
RATE = Annotated[
    float | None,
    Parameter(
        help="Pictures a minute; more are refused. No bound if left out.",
        validator=_ABOVE_ZERO,
    ),
]


def sandbox(
    *,
    port: PORT = None,
    speed: SPEED_OPTION = SPEED,
    limit: LIMIT = 5,
    rate: RATE = None,
    as_json: JSON = False,
) -> int:
    """
    Serve the image API on this machine, without a key and without paying.

    It prints what a client needs to talk to it, and ends with Ctrl-C.
    """
    raise_open_files()
    output = Output(as_json=as_json)
    box = Sandbox(speed=speed, limit=limit, rate=rate)

    async def command(signals: SignalHandler) -> int:
        end = asyncio.Event()
        signals.gently = end.set
        await _start(box, port)
        try:
            await output.put((_lines(box), _record(box)))
            output.say(f"{limit} pictures at once, {speed:g} times faster than life")
            output.say("Ctrl-C ends it")
            await end.wait()
        finally:
            await box.aclose()
        output.say(f"{some(box.bill.total, 'picture')} made, nothing paid")
        return 0

    return run_command(command)


async def _start(box: Sandbox, port: int | None) -> None:
    try:
        await box.start(USUAL_PORT if port is None else port)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            await box.start()
            return
        raise UsageError(
            f"--port {port or USUAL_PORT} cannot be used: {error.strerror}"
        ) from None


def _record(box: Sandbox) -> dict[str, str]:
    return {"base_url": box.base_url, "api_key": box.api_key}


def _lines(box: Sandbox) -> str:
    request = ImageRequest("a fox in the snow")
    body = f'{{"model":"{request.model}","prompt":"{request.prompt}"}}'
    return f"""\
base URL: {box.base_url}
API key:  {box.api_key}

export ZAI_BASE_URL={box.base_url} ZAI_API_KEY={box.api_key}

curl {box.base_url}/images/generations \\
  -H 'Authorization: Bearer {box.api_key}' \\
  -H 'Content-Type: application/json' \\
  -d '{body}'
"""
