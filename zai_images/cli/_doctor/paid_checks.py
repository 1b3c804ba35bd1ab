"""The doctor's paid checks: one picture, then more at once than there are places."""

import asyncio
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import attrs

from zai_images._api.errors import (
    AccountError,
    AuthenticationError,
    QuotaError,
    RateLimitedError,
    ZaiImagesError,
)
from zai_images._api.request import DEFAULT_MODEL, ImageRequest
from zai_images._api.response import ImageResponse, expiry
from zai_images._api.wire import encode
from zai_images._config import SessionConfig
from zai_images._http.transport import AiohttpTransport
from zai_images._picture.picture import Picture
from zai_images._session.budget import price_of
from zai_images._session.session import ImageSession
from zai_images.cli._doctor.free_checks import Check, post
from zai_images.cli._exit import sentence
from zai_images.cli._output import some

_REQUEST = ImageRequest("a small red ball on a white table", quality="standard")
_MOST_AT_ONCE = 12
_PATIENCE = 60.0  # seconds for a place of the first picture


async def check_live(config: SessionConfig, max_cost: float) -> list[Check]:
    """Make pictures for no more than `max_cost` dollars, and tell what was seen."""
    price = price_of(config, DEFAULT_MODEL)
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
            person = isinstance(error, AuthenticationError | AccountError | QuotaError)
            checks = [
                Check(
                    name="live",
                    status="problem",
                    detail=sentence(error),
                    account=person,
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
    stated = expiry(response.url, None)
    until = (
        f"good until {stated:%Y-%m-%d %H:%M} UTC by its own word"
        if stated
        else "with no end stated (30 days by the API page)"
    )
    data = {"host": host, "expires": stated.isoformat() if stated else None}
    return Check(name="link", status="ok", detail=f"on {host}, {until}", data=data)


async def _many_at_once(config: SessionConfig, many: int) -> tuple[Check, int]:
    """Send more than there may be places, and one more after the first answer."""
    transport = AiohttpTransport(config)
    body = encode(_REQUEST)
    refusals: list[tuple[RateLimitedError, float]] = []
    taken = billed = 0
    again: bool | None = None
    try:
        tasks = [asyncio.ensure_future(post(transport, body)) for _ in range(many)]
        for next_one in asyncio.as_completed(tasks):
            verdict, took = await next_one
            if isinstance(verdict, RateLimitedError):
                refusals.append((verdict, took))
                continue
            taken += 1
            billed += _may_cost(verdict)
            if refusals and again is None and isinstance(verdict, ImageResponse):
                verdict, _ = await post(transport, body)
                again = not isinstance(verdict, RateLimitedError)
                billed += _may_cost(verdict)
    finally:
        for task in tasks:
            task.cancel()
        await transport.aclose()
    return _places(many, taken, refusals, again=again), billed


def _may_cost(verdict: ImageResponse | ZaiImagesError) -> bool:
    return isinstance(verdict, ImageResponse) or verdict.billed != "no"


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
