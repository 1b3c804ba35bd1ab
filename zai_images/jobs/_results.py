"""What comes back for an item of a job, and where it is kept."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from itertools import chain
from pathlib import Path

import attrs

from zai_images import events
from zai_images._api.errors import ZaiImagesError
from zai_images._api.wire import decode
from zai_images._batch.outcomes import Done, Failed
from zai_images._picture.files import numbered
from zai_images._picture.picture import Picture
from zai_images.jobs._errors import DiskError, JobError, MovedError
from zai_images.jobs._evidence import ended
from zai_images.jobs._folder import shard_of
from zai_images.jobs._journal.queries import Item, is_path_used
from zai_images.jobs._journal.steps import explain, not_fetched
from zai_images.jobs._names import NameTemplate
from zai_images.jobs._report import ItemMoved, Unwritten
from zai_images.jobs._states import State
from zai_images.jobs._store import Store
from zai_images.jobs._write_ahead import WriteAheadLog


class ResultWriter:
    """
    The writer of pictures to files, and of the ends of items to the journal.

    Attributes:
        moved: How many items came to each state.
        told: The links of pictures whose job's folder is not there any more.
    """

    def __init__(
        self,
        *,
        store: Store,
        names: NameTemplate,
        log: WriteAheadLog,
        observer: events.Observer | None,
        on_trouble: Callable[[Exception], None],
    ) -> None:
        self.moved: Counter[State] = Counter()
        self.told: list[Unwritten] = []
        self._writer = store.writer
        self._folder = store.folder
        self._ownership = store.ownership
        self._names = names
        self._log = log
        self._observer = observer
        self._on_trouble = on_trouble

    async def write_failed(self, item: Item, outcome: Failed) -> None:
        """Note why an item has no picture, and what that cost."""
        error = outcome.error
        if outcome.response is not None:
            await self.write_unfetched(item, error, outcome=outcome)
            return
        try:
            state = await self._writer.do(explain(item.number, error))
        except JobError as trouble:
            self._on_trouble(trouble)
            unknown = State.UNKNOWN if error.maybe_billed else State.PENDING
            state = ended(error) or unknown
        await self._tell(item, state, outcome, error=error)

    async def write_unfetched(
        self,
        item: Item,
        error: Exception,
        *,
        dead: Collection[int] = (),
        outcome: Failed | None = None,
    ) -> None:
        """Note that a paid picture could not be fetched; its links are kept."""
        self._writer.post(not_fetched(item.number, str(error), dead=dead))
        await self._tell(item, State.ANSWERED, outcome, error=error)

    async def write_made(self, item: Item, outcome: Done) -> None:
        """Write a picture that was made and fetched."""
        if outcome.picture is None:  # the runner was told to download
            raise RuntimeError("a picture was not downloaded")
        await self.write_picture(item, outcome.picture, outcome)

    async def write_picture(
        self, item: Item, picture: Picture, outcome: Done | None = None
    ) -> None:
        """
        Write a file, then record it: in this order nothing can be lost.

        Without an outcome it is a picture that an earlier run has paid for.
        """
        try:
            # Another's folder that has taken this one's name gets no file of ours.
            if not await asyncio.to_thread(self._ownership.is_here):
                self.told += _links(item, picture)
                raise MovedError(self._ownership.gone)
            names = await self._choose(item, picture)
            saved = await asyncio.to_thread(
                self._folder.store, names, item.number, picture.data
            )
        except (OSError, ZaiImagesError) as error:
            self._on_trouble(error)
            await self._tell(item, State.ANSWERED, outcome, error=error)
            return
        latency = outcome.latency if outcome is not None else None
        await self._log.record(attrs.evolve(saved, latency=latency))
        await self._tell(item, State.SAVED, outcome, path=saved.path)

    async def _choose(self, item: Item, picture: Picture) -> Iterator[str]:
        """List the names that a file may have, the best one first."""
        request = picture.request or decode(item.body, item.number)
        stem = self._names.name(item.number, item.key, item.id, request)
        other = f"{stem}-{item.number}-{item.key[:8]}"
        best = f"{stem}{picture.extension}"
        others = (path.name for path in numbered(Path(other), picture.extension))
        try:
            path = f"{shard_of(item.number)}/{best}"
            used = await self._writer.do(is_path_used(path, item.number), "read")
        except DiskError:
            used = True  # of that name nothing is known
        return others if used else chain([best], others)

    async def _tell(
        self,
        item: Item,
        state: State,
        outcome: Done | Failed | None,
        *,
        path: str | None = None,
        error: Exception | None = None,
    ) -> None:
        self.moved[state] += 1
        if self._observer is None:
            return
        event = ItemMoved(
            at=asyncio.get_running_loop().time(),
            number=item.number,
            id=item.id,
            prompt=decode(item.body, item.number).prompt,
            state=state,
            path=path,
            error=error,
            queued=outcome.queued if outcome is not None else 0.0,
            latency=outcome.latency if outcome is not None else 0.0,
        )
        events.notify(self._observer, event)


def _links(item: Item, picture: Picture) -> list[Unwritten]:
    images = picture.response.images if picture.response is not None else ()
    return [Unwritten(number=item.number, url=image.url) for image in images]
