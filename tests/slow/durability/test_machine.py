"""
Any order of sending, refusing, answering, losing, killing, resuming, deleting, tearing.

The journal, its thread, the batch and the files are the real ones, in this process, on
a loop whose clock runs a hundred times as fast. Only the service is made up: a session
whose requests go to a ledger. A kill is a copy of the folder at that moment: whatever
the run does afterwards never happened, and the bill is set back as well.
"""

import asyncio
import json
import random
import selectors
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.judge.paid_service import content, picture
from support.judge.trial import items_of

from zai_images import AnswerLostError, DownloadError, ImageSession, SessionConfig
from zai_images._api.response import RawResponse
from zai_images._http.downloader import FetchError
from zai_images._picture.picture import inspect
from zai_images._session.requester import SessionRequester
from zai_images.jobs import ImageJob, _refetch as _links

SPEED = 100
VERDICTS = ("make", "refuse", "error", "lose", "half", "content", "unreadable")
BILLED = {"make", "lose", "half", "unreadable"}
REFUSALS = {"refuse": (429, "1302"), "error": (500, "1234"), "content": (400, "1301")}


class FastSelector(selectors.DefaultSelector):
    """Wait a hundredth of the time."""

    def select(self, timeout=None):
        return super().select(None if timeout is None else timeout / SPEED)


class FastLoop(asyncio.SelectorEventLoop):
    """Run a clock a hundred times as fast, so that no pause is waited for."""

    def __init__(self):
        super().__init__(FastSelector())

    def time(self):
        return super().time() * SPEED


@attrs.define
class World:
    """The service's ledger and pictures, and what happens next."""

    entries: list = attrs.field(factory=list)  # (prompt, billed)
    gone: set = attrs.field(factory=set)
    verdicts: list = attrs.field(factory=list)
    kill_in: int | None = None  # events from now; None: no kill
    killed: tuple | None = None  # what was left: the entries, the folder's copy
    job: Path | None = None
    steps: int = 0

    def event(self):
        """Whatever happens to the client is an event; at one of them it may die."""
        self.steps += 1
        if self.kill_in is None or self.killed is not None:
            return
        self.kill_in -= 1
        if self.kill_in < 0:
            copy = Path(tempfile.mkdtemp(dir=self.job.parent))
            for name in ("job.sqlite", "job.sqlite-wal", "pictures"):
                copied(self.job / name, copy / name)
            self.killed = (list(self.entries), copy)

    async def post(self, body, *, on_write):
        """Be the transport of the session."""
        self.event()
        on_write()
        verdict = self.verdicts.pop() if self.verdicts else "make"
        number = len(self.entries)
        self.entries.append((json.loads(body)["prompt"], verdict in BILLED))
        self.event()
        await asyncio.sleep(random.uniform(0.1, 3))
        self.event()
        if verdict in REFUSALS:
            status, code = REFUSALS[verdict]
            error = {"error": {"code": code, "message": "judged"}}
            return RawResponse(status=status, body=json.dumps(error).encode())
        answer = {"created": 1, "data": [{"url": f"https://example.com/{number}.png"}]}
        whole = json.dumps(answer).encode()
        if verdict == "make":
            return RawResponse(status=200, body=whole)
        if verdict == "unreadable":
            return RawResponse(status=200, body=whole[:20])
        raise AnswerLostError("the connection broke")

    def scrub(self, error):
        pass

    async def aclose(self):
        pass

    async def fetch(self, url):
        """Be the picture host."""
        self.event()
        await asyncio.sleep(0.1)
        self.event()
        number = int(url.rpartition("/")[2].removesuffix(".png"))
        if number in self.gone:
            raise FetchError("HTTP 410", lasting=True)
        return inspect(picture(str(number), 3000))


def copied(source, target):
    """Copy what is there at this moment; a file may go while others are copied."""
    if source.is_dir():
        target.mkdir()
        for name in sorted(path.name for path in source.iterdir()):
            copied(source / name, target / name)
    elif source.exists():
        try:
            shutil.copy(source, target)
        except FileNotFoundError:
            target.unlink(missing_ok=True)


class Requester(SessionRequester):
    """Fetch from the world, and everything else as ever."""

    async def download(self, url, response):
        try:
            return await self._http.fetch(url)
        except FetchError as error:
            raise DownloadError(
                "it is gone", reason=str(error), response=response, url="x"
            ) from None


class Session(ImageSession):
    """A session of the world."""

    _requester_type = Requester

    def __init__(self, world):
        config = SessionConfig(api_key="sk-judge-0123456789")
        super().__init__(config, http=world)


class Jobs(RuleBasedStateMachine):
    steps = 0

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="judge"))
        self.world = World(job=self.folder / "job")
        self.prompts = []
        self.again = Counter()  # how often a prompt may be paid for once more

    @initialize(items=st.integers(2, 8))
    def begin(self, items):
        self.prompts = [f"prompt {n}" for n in range(items)]

    @rule(many=st.integers(1, 3), equal=st.booleans(), seed=st.integers(0, 99))
    def more_input(self, many, equal, seed):
        new = [f"prompt {len(self.prompts) + n}" for n in range(many)]
        self.prompts += ["prompt 0"] * many if equal else new
        random.Random(seed).shuffle(self.prompts)

    @rule(
        verdicts=st.lists(st.sampled_from(VERDICTS), max_size=8),
        kill=st.none() | st.integers(0, 40),
        resend=st.booleans(),
        tear=st.booleans(),
    )
    def run(self, verdicts, kill, resend, tear):
        if resend:
            self.again += Counter(self._open(once=True))
        self.world.verdicts = list(reversed(verdicts))
        self.world.kill_in, self.world.killed = kill, None
        with asyncio.Runner(loop_factory=FastLoop) as runner:
            runner.run(self._run(resend=resend))
        if self.world.killed is None:
            return
        self.world.entries, copy = self.world.killed
        shutil.rmtree(self.world.job)
        copy.rename(self.world.job)
        log = self.world.job / "job.sqlite-wal"
        if tear and log.exists() and log.stat().st_size > 5000:
            # Half a commit more, as a process leaves it that died while writing.
            whole = log.read_bytes()
            log.write_bytes(whole + whole[32:4000])

    async def _run(self, *, resend):
        async with Session(self.world) as session, ImageJob.open(self.world.job) as job:
            return await job.run(
                session, self.prompts, on_unknown="resend" if resend else "keep"
            )

    def _open(self, *, once):
        """
        What a resend may pay for again: unknown, or with a dead link; each once.

        An answer that nobody has read yet may turn out to be unknown.
        """
        found = items_of(
            self.world.job,
            more="resent, (SELECT dead IS NOT NULL OR url IS NULL FROM answers a "
            "WHERE a.number=items.number)",
        )
        return [
            item.prompt
            for item in found
            if (
                item.state in ("unknown", "sent")
                or (item.more[1] and item.state == "answered")
            )
            and not (once and item.more[0])
        ]

    @rule(cut=st.booleans(), seed=st.integers(0, 99))
    def lose_a_picture(self, cut, seed):
        files = sorted(self.world.job.glob("pictures/*/*.png"))
        if not files:
            return
        file = random.Random(seed).choice(files)
        if cut:
            file.write_bytes(file.read_bytes()[:100])
        else:
            file.unlink()

    @rule(seed=st.integers(0, 99))
    def let_a_link_die(self, seed):
        if self.world.entries:
            self.world.gone.add(random.Random(seed).randrange(len(self.world.entries)))

    @invariant()
    def the_bill_is_explained(self):
        billed = Counter(prompt for prompt, paid in self.world.entries if paid)
        items = items_of(self.world.job)
        wanted = Counter(item.prompt for item in items)
        assert billed <= wanted + self.again, billed - wanted - self.again
        known = Counter(
            item.prompt
            for item in items
            if item.state in ("saved", "answered", "sent", "unknown")
        )
        assert billed <= known + self.again, (billed, known, self.again)

    @invariant()
    def every_item_has_a_picture_of_its_own(self):
        paths = [item.path for item in items_of(self.world.job) if item.path]
        assert len(set(paths)) == len(paths)

    def teardown(self):
        self.world.gone.clear()
        for resend in (False, True):
            self.run(verdicts=[], kill=None, resend=resend, tear=False)
            self.the_bill_is_explained()
        items = items_of(self.world.job)
        given_up = Counter(self._open(once=False))
        seen = set()
        for item in items:
            if item.state == "saved":
                found = content((self.world.job / item.path).read_bytes())
                assert found not in seen | {"damaged"}
                seen.add(found)
            elif item.state in ("unknown", "answered"):
                assert given_up[item.prompt]
            else:
                assert item.state in ("refused", "failed"), item
        type(self).steps += self.world.steps
        shutil.rmtree(self.folder)


@pytest.mark.tried("orders of events")
@pytest.mark.timeout(550)
def test_in_any_order_of_events_the_bill_is_explained(
    monkeypatch, record_property, pytestconfig
):
    world = {}

    class Downloader:
        def __init__(self, config):
            pass

        async def fetch(self, url):
            return await world["now"].fetch(url)

        async def aclose(self):
            pass

    class Machine(Jobs):
        def __init__(self):
            super().__init__()
            world["now"] = self.world

    monkeypatch.setattr(_links, "Downloader", Downloader)
    machine = Machine.TestCase
    machine.settings = settings(
        max_examples=pytestconfig.getoption("--orders"),
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )

    machine().runTest()

    record_property("cases", Machine.steps)
