"""Never run: what a type checker sees of code that uses the public names."""

from typing import assert_type

from zai_images import (
    BatchRunner,
    Done,
    Failed,
    ImageRequest,
    ImageResponse,
    ImageSession,
    Outcome,
    Picture,
    SessionConfig,
    SessionStats,
    Size,
    events,
)


async def one(session: ImageSession) -> None:
    assert_type(await session.generate("a fox", size=(512, 512)), ImageResponse)
    assert_type(await session.generate(ImageRequest("a fox")), ImageResponse)
    picture = await session.generate_picture("a fox", quality="hd", max_wait=20)
    assert_type(picture, Picture)
    assert_type(await session.download("https://example.com/a.png"), Picture)
    assert_type(session.stats(), SessionStats)
    assert_type(picture.cost, float | None)
    _ = await session.generate("a fox", n=2)  # type: ignore[call-arg]
    _ = await session.generate("a fox", "hd")  # type: ignore[call-arg]


async def many(session: ImageSession) -> None:
    run = BatchRunner(session, download=True, ordered=True, limit=3).run(["a fox"])
    assert_type(await run, list[Outcome])
    async with BatchRunner(session).run(f"fox {n}" for n in range(9)) as stream:
        async for outcome in stream:
            match outcome:
                case Done(index=index, picture=picture):
                    assert_type(index, int)
                    assert_type(picture, Picture | None)
                case Failed(error=error):
                    assert_type(error.maybe_billed, bool)
    BatchRunner(session).run(7)  # type: ignore[arg-type]


def watch(event: events.Event) -> None:
    match event:
        case events.Answered(latency=latency):
            assert_type(latency, float)


def settings() -> ImageSession:
    config = SessionConfig(api_key="sk", max_in_flight=3)
    assert_type(Size.SQUARE, Size)
    SessionConfig(max_in_flight="3")  # type: ignore[arg-type]
    return ImageSession(config, observer=watch, max_pictures=10, max_cost=0.1)
