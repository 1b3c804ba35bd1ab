"""A batch at work: what goes out, what comes back, and where each of it is kept."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from zai_images._batch import BatchRun
from zai_images._errors import BudgetError
from zai_images._models import ImageRequest
from zai_images._outcomes import Done, Failed, Outcome
from zai_images._session import ImageSession
from zai_images.cli._exit import sentence
from zai_images.cli._folder import LINKS, Folder, Item
from zai_images.cli._links import Fetched, Missed, fetch_links
from zai_images.cli._names import Keys, slug
from zai_images.cli._progress import Counts, Reporter
from zai_images.cli._talk import Talk, shown, some
from zai_images.jobs import BadLine, PromptFile, read_requests

_WAITS = 1000  # pictures whose waiting is remembered
_AT_ONCE = 100  # lines about pictures that are there already, written together
_CUT_OFF_WRITING = "It was cut off before its picture was in the folder."
_CUT_OFF = "It was cut off before its answer came; it may have been billed."


class Work:
    """
    Give a batch its requests and take its outcomes.

    Attributes:
        disk_error: What the disk did not let us do; nothing more is sent then.
        waits: Seconds that pictures waited for a place, the latest ones.
    """

    def __init__(  # noqa: PLR0913 - the parts of a batch, all by keyword
        self,
        *,
        file: PromptFile,
        folder: Folder,
        talk: Talk,
        counts: Counts,
        reporter: Reporter,
        resend: bool,
    ) -> None:
        self.disk_error: OSError | None = None
        self.stop: Callable[[], None] = lambda: None
        self.waits: deque[float] = deque(maxlen=_WAITS)
        self._file = file
        self._folder = folder
        self._talk = talk
        self._counts = counts
        self._reporter = reporter
        self._resend = resend
        self._in_work: dict[int, Item] = {}
        self._fetched: Fetched = {}
        self._unwritten: list[tuple[str | None, object]] = []

    async def fetch_links(self, session: ImageSession) -> None:
        """
        Fetch the pictures that an earlier run has paid for and could not get.

        Raises:
            OSError: One cannot be written.
        """
        if waiting := len(self._folder.links.entries):
            self._talk.say(f"fetching {some(waiting, 'picture')} paid already")
            self._fetched = await fetch_links(self._folder, session)

    async def requests(self) -> AsyncGenerator[ImageRequest, None]:
        """Read the requests, and hold back what must not be paid for again."""
        keys = Keys()
        index = sent = 0
        for request in read_requests(self._file):
            if isinstance(request, BadLine):
                continue  # it was named when the file was checked
            index += 1
            name = f"{slug(request.prompt)}-{keys.key(request)}"
            item = Item(index=index, name=name, request=request)
            if self._is_settled(item):
                if len(self._unwritten) >= _AT_ONCE:
                    await self._write()
                continue
            self._in_work[sent] = item
            sent += 1
            yield request
        await self._write()

    def _is_settled(self, item: Item) -> bool:
        path = self._folder.picture(item)
        missed = self._fetched.get(item.name)
        if missed is not None and missed.dead and self._resend:
            return False
        if missed is not None:
            self._miss(item, missed)
        elif path is not None and item.name in self._fetched:
            self._counts.made += 1
            self._note(item, "done", path=path, billed="yes")
        elif path is not None:
            self._counts.there += 1
            self._note(item, "skipped", path=path)
        elif item.name in self._folder.unknown.entries and not self._resend:
            self._counts.unknown += 1
            error_then = self._folder.unknown.entries[item.name].get("error")
            self._note(item, "unknown", error=error_then, billed="maybe")
        else:
            return False
        self._reporter.moved()
        return True

    def _miss(self, item: Item, missed: Missed) -> None:
        """Say that a picture of an earlier run is still not here."""
        why = f"The picture was made, but could not be fetched: {missed.why}"
        if missed.dead:  # all of them are said together, at the end
            self._counts.failed += 1
            self._counts.dead.append(missed.why)
        else:
            self._count_unfetched()
            self._talk.say(f"{_label(item)}: {why}")
        self._note(item, "failed", error=why, billed="yes")

    def _count_unfetched(self) -> None:
        self._counts.failed += 1
        self._counts.unfetched += 1

    async def take(self, outcome: Outcome) -> None:
        """Keep a picture, or what is known of why there is none."""
        item = self._in_work.pop(outcome.index)
        if isinstance(outcome, Done):
            self.waits.append(outcome.queued)
            await self._save(item, outcome)
        elif not isinstance(outcome.error, BudgetError) or outcome.error.maybe_billed:
            await self._fail(item, outcome)
        await self._write()
        self._reporter.moved()

    async def _save(self, item: Item, outcome: Done) -> None:
        if outcome.picture is None:  # the runner was told to download
            raise RuntimeError("a picture was not downloaded")
        try:
            path = await self._folder.save(item.index, item.name, outcome.picture)
        except OSError as error:
            self._on_disk_error(error)
            self._lose(item, outcome.response.url, error)
        except asyncio.CancelledError:
            self._lose(item, outcome.response.url, _CUT_OFF_WRITING)
            raise
        else:
            self._counts.made += 1
            seconds = round(outcome.latency, 3)
            self._note(item, "done", path=path, billed="yes", seconds=seconds)

    def _lose(self, item: Item, url: str, why: object) -> None:
        """Keep the link of a picture that is paid and not in the folder."""
        self._count_unfetched()
        self._keep_link(item, url)
        self._note(item, "failed", error=why, billed="yes")

    async def _fail(self, item: Item, outcome: Failed) -> None:
        error = outcome.error
        status = "failed"
        if outcome.response is not None:
            self._count_unfetched()
            self._keep_link(item, outcome.response.url)
        elif error.maybe_billed:
            status = "unknown"
            self._counts.unknown += 1
            self._keep_unknown(item, sentence(error))
        else:
            self._counts.failed += 1
        if error.stops != "everything":  # that one is said once, at the end
            self._talk.say(f"{_label(item)}: {sentence(error)}")
        seconds = round(outcome.latency, 3)
        self._note(item, status, error=error, billed=error.billed, seconds=seconds)

    def take_abandoned(self, run: BatchRun) -> None:
        """Keep what was sent and broken off."""
        for left in run.abandoned:
            item = self._in_work.pop(left.index, None)
            if item is None:
                continue
            if left.response is not None:
                self._lose(item, left.response.url, _CUT_OFF_WRITING)
            else:
                self._counts.unknown += 1
                self._keep_unknown(item, _CUT_OFF)
                self._note(item, "unknown", error=_CUT_OFF, billed="maybe")
        self._talk.put_now(*self._unwritten)
        self._unwritten.clear()

    # Both write on the loop: they are rare, short, and must not be cut off.

    def _keep_link(self, item: Item, url: str) -> None:
        try:
            self._folder.keep_link(item, url)
        except OSError as error:
            self._on_disk_error(error)
            self._talk.say(
                f"{LINKS} cannot be written; the link of picture {item.index}: {url}"
            )

    def _keep_unknown(self, item: Item, why: str) -> None:
        try:
            self._folder.keep_unknown(item, why)
        except OSError as error:
            self._on_disk_error(error)

    def _on_disk_error(self, error: OSError) -> None:
        if self.disk_error is None:
            self.disk_error = error
        self.stop()

    def _note(  # noqa: PLR0913 - the fields of a record, by keyword
        self,
        item: Item,
        status: str,
        *,
        path: Path | None = None,
        error: object = None,
        billed: str = "no",
        seconds: float | None = None,
    ) -> None:
        """Put a line for stdout among those that wait to be written."""
        if path is not None:
            self._counts.found(item.index, path)
        record = item.about | {
            "status": status,
            "path": None if path is None else str(path),
            "error": _words(error),
            "billed": billed,
            "seconds": seconds,
        }
        self._unwritten.append((record["path"], record))

    async def _write(self) -> None:
        lines, self._unwritten = self._unwritten, []
        if lines:
            await self._talk.put(*lines)


def _label(item: Item) -> str:
    return f'{item.index} "{shown(item.request.prompt, 50)}"'


def _words(error: object) -> str | None:
    if isinstance(error, Exception):
        return sentence(error)
    return None if error is None else str(error)
