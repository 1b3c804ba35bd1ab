"""The doctor's paid checks: one picture, then more at once than there are places."""

import asyncio
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import attrs

from zai_images import (
    BusyError,
    ImageRequest,
    ImageResponse,
    ImageSession,
    Picture,
    RateLimitedError,
    RetryPolicy,
    SessionConfig,
    ZaiImagesError,
)
from zai_images.cli._doctor.free_checks import Check, needs_person
from zai_images.cli._exit import sentence
from zai_images.cli._text import some

_REQUEST = ImageRequest("a small red ball on a white table", quality="standard")
_MOST_AT_ONCE = 12
_PATIENCE = 60.0  # seconds for a place of the first picture
_ONCE = RetryPolicy(server_errors=0, connect_errors=0, unknown_refusals=0)


async def check_live(config: SessionConfig, max_cost: float) -> list[Check]:
    """Make pictures for no more than `max_cost` dollars, and tell what was seen."""
    price = config.price_of(_REQUEST.model)
    if price is None:
        return [_skipped(f"the price of a picture at {config.host} is not known")]
    affordable = int(max_cost / price + 1e-6)
    if affordable < 1:
        return [_skipped(f"a picture costs ${price:g}, more than --max-cost")]
    checks, billed = await _one_picture(config)
    # One is made, and one more is sent after the first answer of the many.
    many = min(affordable - 2, _MOST_AT_ONCE)
    if all(check.status != "problem" for check in checks) and many >= 2:
        found, more = await _many_at_once(config, many)
        checks.append(found)
        billed += more
    elif many < 2:
        checks.append(
            _skipped("a look at refusals needs a larger --max-cost", "places")
        )
    spent = f"{some(billed, 'picture')}, ${billed * price:.2f}, maybe billed ones too"
    data = {"pictures": billed, "dollars": round(billed * price, 4)}
    return [*checks, Check(name="cost", status="ok", detail=spent, data=data)]


def _skipped(why: str, name: str = "live") -> Check:
    return Check(name=name, status="note", detail=f"not done: {why}")


async def _one_picture(config: SessionConfig) -> tuple[list[Check], int]:
    # Once, so that the cap of one picture never hides why it was not made.
    once = attrs.evolve(config.retry, server_errors=0)
    patient = attrs.evolve(config, max_wait=_PATIENCE, retry=once)
    async with ImageSession(patient, max_pictures=1) as session:
        try:
            checks = await _looked_at(session)
        except ZaiImagesError as error:
            checks = [
                Check(
                    name="live",
                    status="problem",
                    detail=sentence(error),
                    account=needs_person(error),
                )
            ]
        stats = session.stats()
        return checks, stats.billed + stats.maybe_billed


async def _looked_at(session: ImageSession) -> list[Check]:
    loop = asyncio.get_running_loop()
    start = loop.time()
    response = await session.generate(_REQUEST)
    made = loop.time()
    picture = await session.download(response)
    return [
        _picture(made - start),
        _link(response),
        _download(picture, loop.time() - made),
    ]


def _download(picture: Picture, took: float) -> Check:
    size, asked = f"{picture.width}x{picture.height}", str(_REQUEST.size)
    kib = len(picture.data) // 1024
    detail = f"{size} {picture.media_type}, {kib} KiB in {took:.2f} s"
    return Check(
        name="download",
        status="ok" if size == asked else "note",
        detail=detail if size == asked else f"{detail}; asked for {asked}",
        data={"seconds": round(took, 3), "size": size, "kib": kib},
    )


def _picture(took: float) -> Check:
    rules = _REQUEST.rules
    window = next(iter(rules.windows.values())) if rules else (0.0, 0.0)
    detail = (
        f"a standard one of {_REQUEST.size} took {took:.1f} s, waiting included (the "
        f"API page says {window[0]:g}-{window[1]:g} s)"
    )
    data = {"seconds": round(took, 3)}
    return Check(name="picture", status="ok", detail=detail, data=data)


def _link(response: ImageResponse) -> Check:
    host = urlsplit(response.url).hostname
    stated = attrs.evolve(response, created=None).expires  # by the link's own word
    until = (
        f"good until {stated:%Y-%m-%d %H:%M} UTC by its own word"
        if stated
        else "with no end stated (30 days by the API page)"
    )
    data = {"host": host, "expires": stated.isoformat() if stated else None}
    return Check(name="link", status="ok", detail=f"on {host}, {until}", data=data)


async def _many_at_once(config: SessionConfig, many: int) -> tuple[Check, int]:
    """Send more than there may be places, and one more after the first answer."""
    # With nothing to wait for, a refusal ends its call.
    once = attrs.evolve(config, max_wait=0, retry=_ONCE)
    refusals: list[tuple[RateLimitedError, float]] = []
    taken = billed = 0
    again: bool | None = None
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_post(once)) for _ in range(many)]
        for next_one in asyncio.as_completed(tasks):
            found = await next_one
            if found.refusal is not None:
                refusals.append((found.refusal, found.seconds))
                continue
            taken += 1
            billed += found.billed
            if refusals and again is None and found.made:
                more = await _post(once)
                again = more.refusal is None
                billed += more.billed
    return _places(many, taken, refusals, again=again), billed


@attrs.frozen(kw_only=True)
class _Posted:
    """
    What became of one request.

    Attributes:
        made: A picture was made.
        refusal: The service refused it for want of a place.
        seconds: How long it took.
        billed: How many pictures it may have cost.
    """

    made: bool
    refusal: RateLimitedError | None
    seconds: float
    billed: int


async def _post(config: SessionConfig) -> _Posted:
    """Send one request from a session of its own, which has nobody to give way to."""
    loop = asyncio.get_running_loop()
    error: BaseException | None = None
    async with ImageSession(config) as session:
        begun = loop.time()
        try:
            await session.generate(_REQUEST)
        except ZaiImagesError as failed:
            error = failed.__cause__ if isinstance(failed, BusyError) else failed
        seconds = loop.time() - begun
        stats = session.stats()
    return _Posted(
        made=stats.pictures > 0,
        refusal=error if isinstance(error, RateLimitedError) else None,
        seconds=seconds,
        billed=stats.billed + stats.maybe_billed,
    )


def _places(
    many: int,
    taken: int,
    refusals: list[tuple[RateLimitedError, float]],
    *,
    again: bool | None,
) -> Check:
    data: dict[str, Any] = {
        "sent": many,
        "taken": taken,
        "refused": len(refusals),
        "free_again": again,
    }
    if not refusals:
        detail = f"{many} at once were all taken; no refusal was seen"
        return Check(name="places", status="ok", detail=detail, data=data)
    seconds = median(took for _, took in refusals)
    codes = sorted({error.code or str(error.status) for error, _ in refusals})
    detail = (
        f"{many} at once: {taken} taken, {len(refusals)} refused in {seconds:.2f} s "
        f"(code {', '.join(codes)})"
    )
    if again is not None:
        when = "at once" if again else "not at once"
        detail += f"; after an answer its place was {when} free again"
    data |= {"refusal_seconds": round(seconds, 3), "codes": codes}
    return Check(name="places", status="ok", detail=detail, data=data)
