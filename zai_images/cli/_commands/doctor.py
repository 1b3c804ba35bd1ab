"""`zai-images doctor`: is everything there to make pictures, and if not, why."""

from typing import Annotated

import attrs
from cyclopts import Parameter, validators

from zai_images import SessionConfig
from zai_images.cli._doctor.free_checks import (
    Check,
    check_address,
    check_key,
    check_service,
)
from zai_images.cli._doctor.paid_checks import check_live
from zai_images.cli._exit import ACCOUNT, SOME_FAILED
from zai_images.cli._known_limits import clear_known_limits
from zai_images.cli._options import JSON, SANDBOX
from zai_images.cli._output import Output
from zai_images.cli._signals import SignalHandler, run_command
from zai_images.cli._target import open_target
from zai_images.cli._text import harmless

_SANDBOX_PLACES = 5


FORGET = Annotated[
    bool,
    Parameter(
        help="Only delete what earlier runs found out about the account: how many "
        "pictures at once it takes (zai-images/limits.json in your state folder)."
    ),
]


def doctor(
    *,
    live: Annotated[
        bool, Parameter(help="Make some pictures as well, which is paid.")
    ] = False,
    max_cost: Annotated[
        float,
        Parameter(
            help="With --live: spend no more US dollars than this; 0.10 if left out.",
            validator=validators.Number(gt=0),
        ),
    ] = 0.10,
    forget_limits: FORGET = False,
    sandbox: SANDBOX = False,
    as_json: JSON = False,
) -> int:
    """
    Check the key, the address and the service, for free; with --live, pictures too.

    The free check asks for a picture with an empty prompt, which the service refuses
    after it has looked at the key.
    """
    output = Output(as_json=as_json)
    if forget_limits:
        return _forget(output)

    async def command(_: SignalHandler) -> int:
        budget = max_cost if live else None
        checks = (
            await _in_sandbox(output, budget) if sandbox else await _for_real(budget)
        )
        await _report(output, checks)
        problems = [check for check in checks if check.status == "problem"]
        if any(check.account for check in problems):
            return ACCOUNT
        return SOME_FAILED if problems else 0

    return run_command(command)


def _forget(output: Output) -> int:
    path = clear_known_limits()
    said = f"{path} is deleted" if path else "there was nothing to forget"
    output.put_now((said, {"deleted": None if path is None else str(path)}))
    return 0


async def _in_sandbox(output: Output, budget: float | None) -> list[Check]:
    async with open_target(output, sandbox=True, places=_SANDBOX_PLACES) as target:
        checks = [
            Check(name="key", status="ok", detail="the sandbox's own"),
            Check(name="address", status="ok", detail=target.config.base_url),
        ]
        return checks + await _ask(target.config, budget)


async def _for_real(budget: float | None) -> list[Check]:
    has_key, key = check_key()
    has_address, base_url = check_address()
    checks = [has_key, has_address]
    if key is None or base_url is None:
        return checks
    return checks + await _ask(SessionConfig(api_key=key, base_url=base_url), budget)


async def _ask(config: SessionConfig, budget: float | None) -> list[Check]:
    answer = await check_service(config)
    if budget is None or answer.status == "problem":
        return [answer]
    if answer.status == "ok":  # its advice is to do what is done now
        answer = attrs.evolve(answer, advice="")
    return [answer, *await check_live(config, budget)]


async def _report(output: Output, checks: list[Check]) -> None:
    lines = []
    for check in checks:
        lines.append(f"{check.status:<8} {check.name:<9} {check.detail}")
        if check.advice:
            lines.append(f"{'':18} {check.advice}")
    fine = all(check.status != "problem" for check in checks)
    record = {"ok": fine, "checks": [attrs.asdict(check) for check in checks]}
    await output.put((harmless("\n".join(lines)), record))
