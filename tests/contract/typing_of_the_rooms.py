"""Never run: `typing_as_a_user` for the rooms: jobs, sandbox, testing."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

from zai_images import ImageRequest, ImageSession, SessionConfig, ZaiImagesError, events
from zai_images.jobs import (
    DEFAULT_NAME,
    BadLine,
    Damage,
    DiskError,
    Format,
    ImageJob,
    InputCheck,
    ItemMoved,
    JobError,
    JobPlan,
    JobRecord,
    JobReport,
    JobStatus,
    PromptFile,
    Spend,
    State,
    Unwritten,
    check_requests,
    read_requests,
    slug,
)
from zai_images.sandbox import (
    Bill,
    BillEntry,
    Fault,
    LoggedRequest,
    PictureRequest,
    Sandbox,
)
from zai_images.testing import (
    Script,
    ScriptedTransport,
    quick_config,
    quick_session,
    sandbox_in_thread,
)


def inputs(path: Path) -> None:
    file = PromptFile.find(path, suffix=".csv", defaults={"quality": "hd"})
    assert_type(file, PromptFile)
    assert_type(file.path, Path)
    assert_type(file.format, Format)
    assert_type(read_requests(file), Iterator[ImageRequest | BadLine])
    for found in read_requests(file):
        if isinstance(found, BadLine):
            assert_type((found.line, found.message), tuple[int, str])
        else:
            assert_type(found, ImageRequest)
    check = check_requests(file)
    assert_type(check, InputCheck)
    assert_type(check.requests + check.bad_lines, int)
    assert_type(check.bad, tuple[BadLine, ...])
    assert_type(check.models, frozenset[str])
    kind: Format = "jsonl"
    PromptFile(path=path, format=kind)
    PromptFile(path=path, format="xml")  # type: ignore[arg-type]
    PromptFile(path=path)  # type: ignore[call-arg]
    PromptFile.find(path, "csv")  # type: ignore[call-arg]
    read_requests(path)  # type: ignore[arg-type]
    check_requests("prompts.txt")  # type: ignore[arg-type]
    next(read_requests(file)).prompt  # type: ignore[union-attr]
    check.requests = 0  # type: ignore[misc]


def free(model: str) -> float | None:
    return None if model else 0.0


async def durable(session: ImageSession, file: PromptFile) -> JobReport:
    async with ImageJob.open("pictures", name="{index}", observer=watch) as job:
        assert_type(job, ImageJob)
        assert_type(await job.take(["a fox", {"prompt": "a heron"}]), InputCheck)
        assert_type(await job.take(file, repeat=2, skip_invalid=True), InputCheck)
        assert_type(await ImageJob.plan_new(file, price=free), JobPlan)
        await ImageJob.plan_new(file, price=0.01)  # type: ignore[arg-type]
        planned = await job.plan(file, price=free)
        assert_type(planned, JobPlan)
        assert_type(planned.states, Mapping[State, int])
        assert_type(planned.models, Mapping[tuple[str, str], int])
        assert_type(planned.cost, float | None)
        report = await job.run(session, file, on_unknown="keep", max_failures=3)
        assert_type(report, JobReport)
        assert_type(report.moved, Mapping[State, int])
        assert_type(report.stopped_by, Exception | None)
        assert_type(report.unwritten, tuple[Unwritten, ...])
        assert_type(report.unwritten[0].url, str)
        assert_type(await job.retry(session, "failed", limit=5), JobReport)
        assert_type(await job.retry(session, "missing"), JobReport)
        status = await job.status()
        assert_type(status, JobStatus)
        assert_type(status.total + status.billed + status.maybe_billed, int)
        assert_type(status.links_expire, datetime | None)
        async for record in job.records():
            assert_type(record, JobRecord)
            assert_type(record.state, State)
            assert_type((record.path, record.size), tuple[str | None, int | None])
            record.path.upper()  # type: ignore[union-attr]
        for spend in await job.spend():
            assert_type(spend, Spend)
            assert_type((spend.day, spend.payments), tuple[str, int])
            assert_type(spend.cost, float | None)
        async for damage in job.verify():
            assert_type(damage, Damage)
            assert_type((damage.number, damage.reason), tuple[int, str])
        job.stop()
        await job.run()  # type: ignore[call-arg]
        await job.run(session, file, 2)  # type: ignore[call-arg]
        await job.run(session, "prompts.csv", on_unknown="ask")  # type: ignore[arg-type]
        await job.run(session, max_failures="3")  # type: ignore[arg-type]
        await job.retry(session, "dead")  # type: ignore[arg-type]
        await job.take(7)  # type: ignore[arg-type]
        await job.plan(file)  # type: ignore[call-arg]
        await job.status().total  # type: ignore[attr-defined]
        report.status = status  # type: ignore[misc]
        status.saved = 0  # type: ignore[misc]
        for _ in job.records():  # type: ignore[attr-defined]
            pass
    ImageJob.open(7)  # type: ignore[arg-type]
    ImageJob.open("pictures", name=slug("a fox") + DEFAULT_NAME)
    ImageJob.open("pictures", "{index}")  # type: ignore[call-arg]
    with ImageJob.open("pictures"):  # type: ignore[attr-defined]
        pass
    return report


def watch(event: events.Event) -> None:
    if isinstance(event, ItemMoved):
        assert_type(event.state, State)
        assert_type(event.path, str | None)
        assert_type(event.error, Exception | None)
        assert_type(event.number, int)
        event.request  # type: ignore[attr-defined]


def states(state: State) -> None:
    assert_type(State("saved"), State)
    text: str = state
    assert_type(text.upper(), str)
    State.LOST  # type: ignore[attr-defined]


JOB_ERRORS: tuple[type[JobError], ...] = (DiskError,)
ERRORS: tuple[type[ZaiImagesError], ...] = (JobError, DiskError)
DISK_ERRORS: tuple[type[DiskError], ...] = (JobError,)  # type: ignore[assignment]


def threaded() -> None:
    with sandbox_in_thread(limit=5) as sandbox:
        assert_type(sandbox, Sandbox)
        assert_type(quick_config(sandbox, max_wait=1), SessionConfig)
        with quick_session(sandbox, max_pictures=3) as session:
            assert_type(session, ImageSession)
        quick_session()  # type: ignore[call-arg]
        quick_session(sandbox, max_pictures="3")  # type: ignore[arg-type]
        quick_config(sandbox.base_url)  # type: ignore[arg-type]
    sandbox_in_thread(20)  # type: ignore[call-arg]


def asked(sandbox: Sandbox) -> None:
    assert_type(sandbox.log, Sequence[LoggedRequest])
    logged = sandbox.log[0]
    assert_type((logged.prompt, logged.body), tuple[str, bytes])
    assert_type(logged.headers, Mapping[str, str])
    assert_type(logged.status, int | None)
    assert_type(sandbox.picture_requests, Sequence[PictureRequest])
    assert_type(sandbox.picture_requests[0].carried_key, bool)
    sandbox.log.clear()  # type: ignore[attr-defined]
    sandbox.picture_requests[0].status = 404  # type: ignore[misc]


async def sandboxed() -> None:
    fault = Fault(prompt="a fox", action="hang", times=None, delay=2)
    async with Sandbox(
        speed=20, limit=5, rate=60, api_key="sk", faults=[fault], pictures="plain"
    ) as sandbox:
        assert_type(sandbox, Sandbox)
        assert_type(sandbox.base_url + sandbox.api_key, str)
        assert_type(sandbox.requests + sandbox.in_flight, int)
        assert_type(sandbox.limit, int | None)
        sandbox.limit = None
        sandbox.speed = 50
        sandbox.next(status=429, code="1302", times=2)
        sandbox.fail("a heron", code="1301")
        sandbox.clear_faults()
        bill = sandbox.bill
        assert_type(bill, Bill)
        assert_type(bill.cost, float)
        assert_type(len(bill) + bill.total + bill.requests, int)
        assert_type(bill.entries, Sequence[BillEntry])
        assert_type(bill.for_prompt("a fox")[0].outcome, str)
        assert_type(bill.entries[0].body, Mapping[str, Any])
        session = ImageSession(api_key=sandbox.api_key, base_url=sandbox.base_url)
        await session.aclose()
        sandbox.limit = "5"  # type: ignore[assignment]
        sandbox.base_url = "http://localhost"  # type: ignore[misc]
        sandbox.next("1302")  # type: ignore[call-arg, arg-type]
        sandbox.fail()  # type: ignore[call-arg]
        bill.entries.append(bill.entries[0])  # type: ignore[attr-defined]
        bill.entries[0].prompt = ""  # type: ignore[misc]
    Sandbox(20)  # type: ignore[call-arg]
    Sandbox(speed="fast")  # type: ignore[arg-type]
    Sandbox(pictures="photos")  # type: ignore[arg-type]
    Sandbox(faults=["1302"])  # type: ignore[list-item]
    Fault("hang")  # type: ignore[call-arg, arg-type]
    Fault(action="explode")  # type: ignore[arg-type]
    fault.times = 3  # type: ignore[misc]
    with Sandbox():  # type: ignore[attr-defined]
        pass


async def scripted() -> None:
    transport = ScriptedTransport(
        [Script(status=429, retry_after="2"), Script(error=OSError("reset"))],
        record=True,
    )
    async with ImageSession(http=transport, api_key="any") as session:
        await session.generate("a fox")
    assert_type(transport.posts, int)
    assert_type(transport.bodies, list[bytes])
    assert_type(transport.prompts, list[str])
    assert_type(Script.failure("1302", status=429), Script)
    Script.failure(1302)  # type: ignore[arg-type]
    Script.failure()  # type: ignore[call-arg]
    ScriptedTransport([429])  # type: ignore[list-item]
    Script(429)  # type: ignore[call-arg]
    Script(body="{}")  # type: ignore[arg-type]
    Script(error="reset")  # type: ignore[arg-type]
    Script(status=200).status = 500  # type: ignore[misc]
    transport.bodies = ["{}"]  # type: ignore[list-item]
