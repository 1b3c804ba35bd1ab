"""
Never run: what type checkers see of code that uses the public names.

Each `type: ignore` is a mistake that both mypy and pyright must find: where a type
becomes looser the comment is unused, which both report. `test_typing` sees to it that
no public name is left out.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, assert_never, assert_type

import aiohttp

import zai_images
from zai_images import (
    AccountError,
    AnswerLostError,
    APIError,
    AuthenticationError,
    BatchRun,
    BatchRunner,
    BatchSummary,
    BudgetError,
    BusyError,
    ConfigurationError,
    ConnectError,
    ContentFilter,
    ContentRefusedError,
    Done,
    DownloadError,
    Failed,
    ImageRequest,
    ImageResponse,
    ImageSession,
    ImageURL,
    InvalidRequestError,
    LatencyStats,
    ModelStats,
    Outcome,
    Picture,
    Quality,
    QuotaError,
    RateLimitedError,
    RequestRejectedError,
    ResponseError,
    RetryPolicy,
    ServerError,
    ServiceCheck,
    SessionConfig,
    SessionStats,
    Size,
    Timeouts,
    TransportError,
    Unfinished,
    ZaiImagesError,
    events,
)


async def one(session: ImageSession) -> None:
    assert_type(await session.generate("a fox", size=(512, 512)), ImageResponse)
    assert_type(await session.generate(ImageRequest("a fox")), ImageResponse)
    picture = await session.generate_picture("a fox", quality="hd", max_wait=20)
    assert_type(picture, Picture)
    assert_type(await session.download("https://example.com/a.png"), Picture)
    await session.generate("a fox", n=2)  # type: ignore[call-arg]
    await session.generate("a fox", "hd")  # type: ignore[call-arg]
    await session.generate()  # type: ignore[call-arg]
    await session.generate(["a fox"])  # type: ignore[arg-type]
    await session.generate("a fox", size=512)  # type: ignore[arg-type]
    await session.generate("a fox", quality=1)  # type: ignore[arg-type]
    await session.generate("a fox", user_id=123456)  # type: ignore[arg-type]
    await session.generate("a fox", model=Quality)  # type: ignore[arg-type]
    await session.generate("a fox", extra="seed=1")  # type: ignore[arg-type]
    await session.generate("a fox", max_wait="20 s")  # type: ignore[arg-type]
    await session.generate_picture("a fox", n=2)  # type: ignore[call-arg]
    await session.download(picture)  # type: ignore[arg-type]
    (await session.generate("a fox")).data  # type: ignore[attr-defined]
    session.generate("a fox").url  # type: ignore[attr-defined]


def requests() -> Iterator[ImageRequest]:
    request = ImageRequest(
        "a fox",
        model="glm-image",
        quality=Quality.HD,
        size="1280x1280",
        user_id="user-0001",
        extra={"seed": 1},
        id=7,
    )
    assert_type(request.prompt, str)
    assert_type(request.model, str)
    assert_type(request.user_id, str | None)
    assert_type(request.extra, Mapping[str, Any])
    assert_type(request.id, str | int | None)
    assert_type({request: 1}, dict[ImageRequest, int])
    yield request
    yield ImageRequest(prompt="a fox", size=Size(512, 512), quality="hd")
    yield ImageRequest("a fox", "hd")  # type: ignore[call-arg]
    yield ImageRequest()  # type: ignore[call-arg]
    yield ImageRequest(7)  # type: ignore[arg-type]
    yield ImageRequest("a fox", n=2)  # type: ignore[call-arg]
    yield ImageRequest("a fox", model=None)  # type: ignore[arg-type]
    yield ImageRequest("a fox", size=512)  # type: ignore[arg-type]
    yield ImageRequest("a fox", quality=1)  # type: ignore[arg-type]
    yield ImageRequest("a fox", user_id=123456)  # type: ignore[arg-type]
    yield ImageRequest("a fox", extra=[1])  # type: ignore[arg-type]
    yield ImageRequest("a fox", id=1.5)  # type: ignore[arg-type]
    request.prompt = "a heron"  # type: ignore[misc]


def sizes() -> None:
    assert_type(Size.parse("1024x1024"), Size)
    assert_type(Size.parse((1024, 1024)), Size)
    assert_type(Size.SQUARE, Size)
    assert_type(Size.PORTRAIT_TALL.pixels, int)
    assert_type(Size.SQUARE.width + Size.SQUARE.height, int)
    assert_type(Quality("hd"), Quality)
    plain: str = Quality.STANDARD
    assert_type(plain.upper(), str)
    Size("1024x1024")  # type: ignore[call-arg, arg-type]
    Size("1024", "1024")  # type: ignore[arg-type]
    Size.parse(1024)  # type: ignore[arg-type]
    Size.SQUARE.width = 7  # type: ignore[misc]
    Size.HUGE  # type: ignore[attr-defined]
    Quality.ULTRA  # type: ignore[attr-defined]


async def pictures(picture: Picture, response: ImageResponse) -> None:
    assert_type(await picture.save("fox.png"), Path)
    assert_type(await picture.save(Path("fox.png")), Path)
    assert_type(picture.data, bytes)
    assert_type(picture.media_type + picture.extension, str)
    assert_type(picture.width * picture.height, int)
    assert_type(picture.latency, float | None)
    assert_type(picture.cost, float | None)
    assert_type(picture.request, ImageRequest | None)
    assert_type(picture.response, ImageResponse | None)
    assert_type(response.url, str)
    assert_type(response.created, int | None)
    assert_type(response.expires, datetime | None)
    assert_type(response.images, tuple[ImageURL, ...])
    assert_type(response.images[0].url, str)
    assert_type(response.request_id, str | None)
    assert_type(response.content_filter, tuple[ContentFilter, ...])
    assert_type(response.content_filter[0].role, str)
    assert_type(response.content_filter[0].level, int | None)
    extra: Mapping[str, Any] = response.extra
    assert_type(extra.get("id"), Any | None)
    await picture.save(7)  # type: ignore[arg-type]
    picture.data = b""  # type: ignore[misc]
    picture.request.prompt  # type: ignore[union-attr]
    picture.cost + 1  # type: ignore[operator]
    response.images.append(response.images[0])  # type: ignore[attr-defined]
    response.url = "https://example.com"  # type: ignore[misc]
    ImageURL("https://example.com")  # type: ignore[call-arg]
    ContentFilter(role="user", level="high")  # type: ignore[arg-type]


async def many(session: ImageSession) -> None:
    runner = BatchRunner(session, download=True, ordered=True, limit=3)
    run = runner.run(["a fox", ImageRequest("a heron"), {"prompt": "an owl"}])
    assert_type(run, BatchRun)
    assert_type(await run, list[Outcome])
    async with BatchRunner(session).run(f"fox {n}" for n in range(9)) as stream:
        assert_type(stream, BatchRun)
        async for outcome in stream:
            assert_type(outcome, Outcome)
            tell(outcome)
            stream.stop()
    assert_type(session.last_run, Any)
    assert_type(len(run), int)
    assert_type(run.finished, list[Outcome])
    assert_type(stream.unsent, list[Unfinished])
    assert_type(stream.abandoned, list[Unfinished])
    assert_type(stream.summary, BatchSummary)
    assert_type(stream.summary.done + stream.summary.maybe_billed, int)
    assert_type(stream.summary.elapsed, float)
    left = stream.unsent[0]
    assert_type((left.index, left.attempts), tuple[int, int])
    assert_type(left.response, ImageResponse | None)
    runner.run(endless())
    runner.run(7)  # type: ignore[arg-type]
    runner.run([7])  # type: ignore[list-item]
    runner.run(ImageRequest("a fox"))  # type: ignore[arg-type]
    BatchRunner()  # type: ignore[call-arg]
    BatchRunner(session, 3)  # type: ignore[call-arg]
    BatchRunner(session, limit="3")  # type: ignore[arg-type]
    for _ in stream:  # type: ignore[attr-defined]
        pass
    stream.summary.done = 3  # type: ignore[misc]


async def endless() -> AsyncIterator[str]:
    while True:
        yield "a fox"


def tell(outcome: Outcome) -> str:
    match outcome:
        case Done(index=index, picture=picture, response=response):
            assert_type(index, int)
            assert_type(picture, Picture | None)
            assert_type(response, ImageResponse)
            assert_type(outcome.request, ImageRequest)
            assert_type(outcome.queued + outcome.latency, float)
            outcome.picture.width  # type: ignore[union-attr]
            outcome.error  # type: ignore[attr-defined]
            return response.url
        case Failed(error=error, response=paid):
            assert_type(error, ZaiImagesError)
            assert_type(paid, ImageResponse | None)
            assert_type(outcome.billed, Literal["no", "maybe", "yes"])
            assert_type(outcome.attempts, int)
            outcome.request.prompt  # type: ignore[attr-defined]
            outcome.picture  # type: ignore[attr-defined]
            return str(error)
        case _:
            assert_never(outcome)


def exhaustive(outcome: Outcome) -> str:
    match outcome:
        case Done():
            return "made"
        case _:
            assert_never(outcome)  # type: ignore[arg-type]


def explain(error: ZaiImagesError) -> None:
    assert_type(error.billed, Literal["no", "maybe", "yes"])
    assert_type(error.maybe_billed, bool)
    assert_type(error.retryable, bool)
    error.billed = "perhaps"  # type: ignore[assignment]
    error.maybe_billed = True  # type: ignore[misc]
    error.code  # type: ignore[attr-defined]
    if isinstance(error, APIError):
        assert_type(error.status, int)
        assert_type(error.code, str | None)
        assert_type(error.message, str)
        assert_type(error.request_id, str | None)
        assert_type(error.retry_after, float | None)
        error.code == 1302  # type: ignore[comparison-overlap]
    match error:
        case QuotaError():
            assert_type(error.resets_at, datetime | None)
        case ContentRefusedError():
            assert_type(error.content_filter, tuple[ContentFilter, ...])
        case DownloadError():
            assert_type(error.response, ImageResponse | None)
            assert_type(error.expires, datetime | None)
            assert_type(error.url + error.reason, str)
        case BusyError():
            assert_type(error.retry_after, float | None)
        case InvalidRequestError():
            assert_type(error.field, str | None)
            value_error: ValueError = error
            raise value_error
        case AnswerLostError() | ResponseError():
            assert_type(error.body, str)
        case _:
            pass


API_ERRORS: tuple[type[APIError], ...] = (
    AccountError,
    AuthenticationError,
    RateLimitedError,
    RequestRejectedError,
    ServerError,
    BusyError,  # type: ignore[assignment]
)
TRANSPORT_ERRORS: tuple[type[TransportError], ...] = (AnswerLostError, ConnectError)
OTHER_ERRORS: tuple[type[ZaiImagesError], ...] = (BudgetError, ConfigurationError)


def raised() -> None:
    # In tests of one's own: what the service said, made by hand.
    RateLimitedError("busy", status=429, code="1302", retry_after=2.5)
    QuotaError("used up", status=429, resets_at=datetime.now())  # noqa: DTZ005
    DownloadError("gone", reason="404")
    RateLimitedError()  # type: ignore[call-arg]
    RateLimitedError("busy", status="429")  # type: ignore[arg-type]
    RateLimitedError("busy", body="")  # type: ignore[call-arg]
    BusyError("busy", 2.5)  # type: ignore[call-arg]


def watch(event: events.Event) -> None:  # noqa: C901 - a case for each event
    assert_type(event.at, float)
    match event:
        case events.LimitChanged(model=model, old=old, new=new, reason=reason):
            assert_type((model, reason), tuple[str, str])
            assert_type(new - old, int)
        case events.Queued():
            assert_type(event.request, ImageRequest)
        case events.Sent(attempt=attempt):
            assert_type(attempt, int)
        case events.Refused(error=error) | events.Failed(error=error):
            assert_type(error, ZaiImagesError)
        case events.Retried(pause=pause):
            assert_type(pause, float)
        case events.Answered(latency=latency):
            assert_type(latency, float)
        case events.Downloaded(size=size):
            assert_type(size, int)
        case events.Abandoned(billed=billed, response=response):
            assert_type(billed, Literal["no", "maybe", "yes"])
            assert_type(response, ImageResponse | None)
        case events.Rescued(response=response):
            assert_type(response, ImageResponse)
        case events.CallEvent(request=request):
            assert_type(request, ImageRequest)
        case _:
            event.request  # type: ignore[attr-defined]
    event.at = 0.0  # type: ignore[misc]


def wants_text(event: str) -> None:
    print(event)


async def wants_waiting(event: events.Event) -> None:
    print(event)


def settings(mine: aiohttp.ClientSession) -> ImageSession:
    config = SessionConfig(
        api_key="sk",
        base_url="https://example.com/paas/v4",
        retry=RetryPolicy(server_errors=0, first_pause=0.1),
        timeouts=Timeouts(total=120),
        max_in_flight=3,
        known_limits={"cogview-4-250304": 5},
        prices={"cogview-4-250304": 0.01},
        headers={"X-Team": "art"},
        proxy=None,
        max_wait=60,
    )
    assert_type(SessionConfig.from_env(max_in_flight=3), SessionConfig)
    assert_type(config.retry.server_errors, int)
    assert_type(config.timeouts.total, float)
    assert_type(config.max_in_flight, int | None)
    assert_type(config.price_of("glm-image"), float | None)
    assert_type(zai_images.__version__, str)
    observer: events.Observer = events.fan_out(watch, print)
    SessionConfig(max_in_flight="3")  # type: ignore[arg-type]
    SessionConfig(api_key=b"sk")  # type: ignore[arg-type]
    SessionConfig(timeouts=120)  # type: ignore[arg-type]
    SessionConfig(retry={"server_errors": 0})  # type: ignore[arg-type]
    SessionConfig(known_limits={"cogview-4-250304": "5"})  # type: ignore[dict-item]
    SessionConfig(time_out=3)  # type: ignore[call-arg]
    SessionConfig("sk")  # type: ignore[call-arg]
    RetryPolicy(server_errors=None)  # type: ignore[arg-type]
    RetryPolicy(1)  # type: ignore[call-arg]
    Timeouts(total="120 s")  # type: ignore[arg-type]
    config.max_in_flight = 4  # type: ignore[misc]
    events.fan_out(wants_text)  # type: ignore[arg-type]
    ImageSession("sk")  # type: ignore[arg-type]
    ImageSession(config, "sk")  # type: ignore[call-arg]
    ImageSession(http="https://example.com")  # type: ignore[arg-type]
    ImageSession(observer=wants_waiting)  # type: ignore[arg-type]
    ImageSession(max_cost="0.10")  # type: ignore[arg-type]
    return ImageSession(
        config, http=mine, observer=observer, max_pictures=10, max_cost=0.1
    )


async def lifetime(session: ImageSession) -> SessionStats:
    async with session as entered:
        assert_type(entered, ImageSession)
    assert_type(await session.aclose(), None)
    check = await session.check()
    assert_type(check, ServiceCheck)
    assert_type((check.ok, check.reason), tuple[bool, str])
    assert_type(check.latency, float | None)
    assert_type(check.error, ZaiImagesError | None)
    check.ok = True  # type: ignore[misc]
    stats = session.stats()
    assert_type(stats, SessionStats)
    assert_type(stats.models, Mapping[str, ModelStats])
    model = stats.models["cogview-4-250304"]
    assert_type((model.in_flight, model.limit), tuple[int, int])
    assert_type(model.limit_reason, str)
    assert_type(model.latency["hd"], LatencyStats)
    assert_type(model.latency["hd"].p95 - model.latency["hd"].median, float)
    assert_type(model.latency["hd"].window, tuple[float, float] | None)
    assert_type(stats.billed + stats.maybe_billed + stats.refusals, int)
    assert_type(stats.cost, float | None)
    with session:  # type: ignore[attr-defined]
        pass
    stats.billed = 0  # type: ignore[misc]
    stats.models["glm-image"] = model  # type: ignore[index]
    return stats
