"""What comes back for an item of a job, and where it is kept."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import attrs

from zai_images import events
from zai_images._api.errors import ContentRefusedError, ZaiImagesError
from zai_images._api.judge import judge
from zai_images._api.request import ImageRequest
from zai_images._api.response import ImageResponse, RawResponse, expiry
from zai_images._batch.outcomes import Done, Failed
from zai_images._config import SessionConfig
from zai_images._picture.header import EXTENSIONS
from zai_images._picture.picture import Picture
from zai_images._redact import redact
from zai_images._session.budget import price_of
from zai_images.jobs._folder import JobFolder, shard_of
from zai_images.jobs._journal import queries, steps
from zai_images.jobs._journal.writer import Writer
from zai_images.jobs._names import NameTemplate
from zai_images.jobs._report import ItemMoved, Unwritten
from zai_images.jobs._states import State
from zai_images.jobs._write_ahead import WriteAheadLog


@attrs.frozen(kw_only=True)
class _Item:
    """What is told of an item whatever becomes of it; times in seconds."""

    number: int
    request: ImageRequest
    queued: float = 0.0
    latency: float = 0.0


class ResultWriter:
    """
    The writer of pictures to files, and of the ends of items to the journal.

    Attributes:
        moved: How many items came to each state.
    """

    def __init__(  # noqa: PLR0913 - the parts of a job, all by keyword
        self,
        *,
        config: SessionConfig,
        writer: Writer,
        folder: JobFolder,
        names: NameTemplate,
        log: WriteAheadLog,
        observer: events.Observer | None,
        on_trouble: Callable[[Exception], None],
    ) -> None:
        self.moved: Counter[State] = Counter()
        self._config = config
        self._writer = writer
        self._folder = folder
        self._names = names
        self._log = log
        self._observer = observer
        self._on_trouble = on_trouble
        self._paths: set[str] = set()  # of files that are not recorded yet

    @property
    def unwritten(self) -> tuple[Unwritten, ...]:
        """The paid answers that are on no disk."""
        return tuple(
            Unwritten(number=number, url=response.url)
            for number, raw in self._log.unwritten.items()
            if (response := picture_in(raw)) is not None
        )

    async def write_made(self, outcome: Done) -> None:
        """Write a picture that was made and fetched."""
        if outcome.picture is None:  # the runner was told to download
            raise RuntimeError("a picture was not downloaded")
        item = _item(outcome)
        self._note_answer(item, outcome.response)
        await self._keep(item, outcome.picture)

    async def write_fetched(
        self, number: int, request: ImageRequest, picture: Picture
    ) -> None:
        """Write a picture that an earlier run has paid for."""
        await self._keep(_Item(number=number, request=request), picture)

    async def write_failed(self, outcome: Failed) -> None:
        """Note why an item has no picture, and what that cost."""
        item, error = _item(outcome), outcome.error
        if outcome.response is not None:
            self._note_answer(item, outcome.response)
            await self.write_unfetched(item.number, item.request, error, dead=False)
            return
        code = getattr(error, "code", None)
        was = self._log.resending.get(item.number)
        if was is not None and not error.maybe_billed:  # it is what it was
            state = was
            self._writer.post(steps.explain(item.number, str(error), code))
        else:
            state = ended(error)
            self._writer.post(steps.end(item.number, state, str(error), code))
        await self._tell(item, state, error=error)

    async def write_unfetched(
        self, number: int, request: ImageRequest, error: Exception, *, dead: bool
    ) -> None:
        """Note that a paid picture could not be fetched; its link is kept."""
        self._writer.post(steps.not_fetched(number, str(error), dead=dead))
        item = _Item(number=number, request=request)
        await self._tell(item, State.ANSWERED, error=error)

    def _note_answer(self, item: _Item, response: ImageResponse) -> None:
        url = response.url
        step = steps.read_answer(
            item.number,
            url=redact(url, self._config.api_key or ""),
            expires=expiry(url, response),
            cost=price_of(self._config, item.request.model),
            latency=item.latency,
        )
        self._writer.post(step, paid=True)

    async def _keep(self, item: _Item, picture: Picture) -> None:
        """Write a file, then record it: in this order nothing can be lost."""
        try:
            name = await self._name(item, picture.media_type)
            saved = await asyncio.to_thread(
                self._folder.store, name, item.number, picture.data
            )
            unwritten = self._log.unwritten.get(item.number)
            record = steps.record_saved(item.number, saved, unwritten=unwritten)
            await self._writer.do(record, paid=True)
        except (OSError, ZaiImagesError) as error:
            self._on_trouble(error)
            await self._tell(item, State.ANSWERED, error=error)
            return
        self._log.unwritten.pop(item.number, None)
        self._paths.discard(saved.path)
        await self._tell(item, State.SAVED, path=saved.path)

    async def _name(self, item: _Item, media_type: str) -> str:
        """Choose a file's name; where two items would have the same, one gets more."""
        number, extension = item.number, EXTENSIONS[media_type]
        key, caller_id, _ = await self._writer.do(queries.about(number))
        stem = self._names.name(number, key, json.loads(caller_id), item.request)
        name = f"{stem}{extension}"
        path = f"{shard_of(number)}/{name}"
        claimed = path in self._paths
        self._paths.add(path)  # before the next await: two may ask at once
        if claimed or await self._writer.do(queries.is_path_used(path, number)):
            name = f"{stem}-{number}-{key[:8]}{extension}"
        return name

    async def _tell(
        self,
        item: _Item,
        state: State,
        *,
        path: str | None = None,
        error: Exception | None = None,
    ) -> None:
        self.moved[state] += 1
        if self._observer is None:
            return
        _, caller_id, _ = await self._writer.do(queries.about(item.number))
        event = ItemMoved(
            at=asyncio.get_running_loop().time(),
            number=item.number,
            id=json.loads(caller_id),
            prompt=item.request.prompt,
            state=state,
            path=path,
            error=error,
            queued=item.queued,
            latency=item.latency,
        )
        events.notify(self._observer, event)


def _item(outcome: Done | Failed) -> _Item:
    request = outcome.request
    if not isinstance(request, ImageRequest) or not isinstance(request.id, int):
        raise TypeError("a job's request carries the number of its item")
    return _Item(
        number=request.id,
        request=request,
        queued=outcome.queued,
        latency=outcome.latency,
    )


def picture_in(raw: RawResponse) -> ImageResponse | None:
    """Read a kept answer; None where it holds no picture."""
    try:
        return judge(raw, now=datetime.now(UTC))
    except ZaiImagesError:
        return None


def ended(error: ZaiImagesError) -> State:
    """Tell where an item is after an error that brought no picture."""
    if error.maybe_billed:
        return State.UNKNOWN
    if isinstance(error, ContentRefusedError):
        return State.REFUSED
    # What was free and may go well later is asked for again by the next run.
    later = error.retryable or error.stops != "nothing"
    return State.PENDING if later else State.FAILED
