"""Which service a command talks to: Z.AI's by the environment, or a private sandbox."""

import resource
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import attrs

from zai_images import SessionConfig
from zai_images._api.models import MODELS
from zai_images.cli._exit import NoKeyError, UsageError
from zai_images.cli._known_limits import load_known_limits
from zai_images.cli._output import Output
from zai_images.cli._text import shown
from zai_images.sandbox import Sandbox

SPEED = 20.0
MOST_FILES = 65536


@attrs.frozen(kw_only=True)
class Target:
    """
    The service that a command talks to.

    Attributes:
        config: What a session needs.
        sandbox: Whether it is the private one, where nothing is paid.
    """

    config: SessionConfig
    sandbox: bool


@asynccontextmanager
async def open_target(
    output: Output,
    *,
    sandbox: bool,
    limit: int | None = None,
    places: int | None = None,
) -> AsyncIterator[Target]:
    """
    Find the service, and start the private sandbox where it is wanted.

    Args:
        output: Told that nothing is paid.
        sandbox: Use a private sandbox.
        limit: A ceiling on the pictures in flight.
        places: How many the sandbox makes at once.

    Raises:
        NoKeyError: There is no key, and no sandbox is wanted.
        ConfigurationError: The environment makes no sense.
    """
    if not sandbox:
        config = SessionConfig.from_env(max_in_flight=limit)
        if config.api_key is None:
            raise NoKeyError
        config = attrs.evolve(config, known_limits=load_known_limits(config))
        yield Target(config=config, sandbox=False)
        return
    output.say("sandbox: nothing is paid, and the pictures are drawn on this machine")
    async with Sandbox(speed=SPEED, limit=places) as box:
        config = SessionConfig(
            api_key=box.api_key,
            base_url=box.base_url,
            max_in_flight=limit,
            # So that a cap on the cost can be tried too.
            prices={name: rules.price for name, rules in MODELS.items()},
        )
        yield Target(config=config, sandbox=True)


def check_cap(target: Target, models: Iterable[str], max_cost: float | None) -> None:
    """
    Refuse a cap on the cost where nobody knows a price.

    Raises:
        UsageError: It cannot be kept.
    """
    if max_cost is None:
        return
    for model in sorted(models):
        if target.config.price_of(model) is None:
            raise UsageError(
                f"--max-cost cannot be kept: the price of {shown(model, 50)} at "
                f"{target.config.host} is not known. Use --max-pictures."
            )


def raise_open_files() -> None:
    """Let this process hold as many connections as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # then it stays as it is
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
