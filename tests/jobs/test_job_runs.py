"""What a run sends and makes of a job, and what ends it."""

import asyncio

import pytest
from support.jobs import PROMPTS, config_of, files, looking, records

from zai_images import (
    AccountError,
    BudgetError,
    ConfigurationError,
    ImageRequest,
    ImageSession,
    events,
)
from zai_images._api.response import ImageResponse, ImageURL
from zai_images._batch.outcomes import Done
from zai_images.jobs import (
    DiskError,
    ImageJob,
    ItemMoved,
    JobError,
    State,
)
from zai_images.jobs._results import ResultWriter
from zai_images.jobs._run import _number
from zai_images.jobs._write_ahead import (
    JournaledRequester,
)


async def test_every_prompt_becomes_a_file_and_the_journal_says_so(run, folder, box):
    report = await run()

    assert report.status.total == report.status.saved == 3
    assert report.status.cost == pytest.approx(0.03)
    assert report.moved == {State.SAVED: 3}
    assert report.stopped_by is None
    assert len(files(folder)) == 3
    assert files(folder)[0].startswith("000001-a-fox-")
    assert box.bill.total == 3


async def test_running_again_pays_for_nothing(run, box):
    await run()
    report = await run()

    assert report.moved == {}
    assert box.bill.total == 3


async def test_a_refused_prompt_is_final_and_a_rejected_one_has_failed(
    run, box, folder
):
    box.next(prompt="a fox", action="answer", code="1301")
    box.next(prompt="a bear", action="answer", code="1210")
    report = await run()
    again = await run()

    assert report.status.refused == report.status.failed == 1
    assert report.status.saved == 1
    assert again.moved == {}
    assert box.bill.total == 1
    fox, bear, _ = await records(folder)
    assert (fox.state, fox.code) == (State.REFUSED, "1301")
    assert "Nothing was billed" in bear.error


async def test_an_empty_balance_keeps_the_queue(run, box):
    box.next(action="answer", code="1113", times=None)
    report = await run([f"cat {n}" for n in range(50)])
    box.clear_faults()
    again = await run([f"cat {n}" for n in range(50)])

    assert isinstance(report.stopped_by, AccountError)
    assert report.status.pending == 50
    assert box.bill.total == again.status.saved == 50


async def test_a_model_that_is_not_for_the_account_keeps_its_queue_too(run, box):
    box.next(action="answer", code="1311", times=None)
    report = await run()

    assert isinstance(report.stopped_by, AccountError)
    assert report.status.pending == 3


@pytest.mark.parametrize(
    ("cap", "made"), [({"max_pictures": 2}, 2), ({"max_cost": 0.011}, 1)]
)
async def test_the_sessions_caps_are_never_exceeded(cap, made, run, box):
    async with ImageSession(config_of(box), **cap) as session:
        report = await run(session=session)

    assert isinstance(report.stopped_by, BudgetError)
    assert report.status.saved == box.bill.total == made
    assert report.status.pending == 3 - made


async def test_no_more_fail_than_may_counting_what_is_in_flight(run, box):
    box.next(action="answer", code="1210", times=None, delay=2.0)
    report = await run([f"cat {n}" for n in range(50)], max_failures=3)

    assert isinstance(report.stopped_by, BudgetError)
    assert report.status.failed == box.bill.faulted == 3
    assert report.status.pending == 47


async def test_a_cap_on_failures_that_is_not_reached_stops_nothing(run):
    report = await run([f"cat {n}" for n in range(20)], max_failures=1)

    assert report.status.saved == 20
    with pytest.raises(ConfigurationError, match="max_failures"):
        await run(max_failures=0)


async def test_stopping_sends_nothing_new_and_keeps_what_runs(box, folder, session):
    begun = []

    def observe(event):
        if isinstance(event, ItemMoved):
            begun.append(event)
            job.stop()

    async with ImageJob.open(folder, observer=observe) as job:
        report = await job.run(session, [f"cat {n}" for n in range(200)])

    status = report.status
    assert report.stopped_by is None
    assert 0 < status.saved < 200
    assert status.saved == box.bill.total
    assert status.pending == 200 - status.saved


async def test_a_job_that_is_stopped_before_it_runs_sends_nothing(folder, session, box):
    async with ImageJob.open(folder) as job:
        job.stop()
        first = await job.run(session, PROMPTS)
        second = await job.run(session, PROMPTS)

    assert (first.status.pending, first.moved) == (3, {})
    assert second.status.saved == box.bill.total == 3


@pytest.fixture
def cancelled(box, folder):
    """Run a job, and do something to its task as it first sends."""

    async def cancelled(interfere):
        sent = asyncio.Event()

        def observe(event):
            if isinstance(event, events.Sent):
                sent.set()

        prompts = [f"cat {n}" for n in range(20)]
        async with ImageSession(config_of(box), observer=observe) as session:
            async with ImageJob.open(folder) as job:
                running = asyncio.create_task(job.run(session, prompts))
                await sent.wait()
                await interfere(running, job)
                with pytest.raises(asyncio.CancelledError):
                    await running
        async with looking(folder) as job:
            return await job.status()

    return cancelled


async def test_a_cancelled_run_finishes_what_is_in_flight_and_then_passes_it_on(
    cancelled, box, run
):
    async def once(running, _):
        running.cancel()

    status = await cancelled(once)

    assert (status.sent, status.unknown, status.answered) == (0, 0, 0)
    assert 0 < status.saved == box.bill.total < 20
    report = await run([f"cat {n}" for n in range(20)])
    assert report.status.saved == box.bill.total == 20


@pytest.mark.parametrize("stopped_first", [True, False])
async def test_a_second_cancellation_abandons_and_loses_nothing(
    cancelled, box, run, stopped_first
):
    async def twice(running, job):
        job.stop() if stopped_first else running.cancel()
        await asyncio.sleep(0)
        running.cancel()

    box.next(action="hang", times=99)
    status = await cancelled(twice)
    box.clear_faults()
    report = await run([f"cat {n}" for n in range(20)])

    assert status.sent == 0
    assert status.unknown > 0
    assert report.status.saved + report.status.unknown == 20
    assert all(len(box.bill.for_prompt(f"cat {n}")) <= 1 for n in range(20))


async def test_an_abandoned_run_leaves_nothing_to_the_background(box, folder):
    """Its journal is closed, so what came later would be in no journal."""
    seen = []
    box.next(action="hang", times=99)
    config = config_of(box, finish_cancelled=True)
    async with ImageSession(config, observer=seen.append) as session:
        async with ImageJob.open(folder) as job:
            running = asyncio.create_task(job.run(session, PROMPTS))
            while not any(isinstance(one, events.Sent) for one in seen):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait((running,))
            status = await job.status()
        in_flight = sum(one.in_flight for one in session.stats().models.values())

        assert running.cancelled()
        assert in_flight == 0
        assert session.stats().maybe_billed == status.unknown > 0


async def test_a_time_out_around_a_run_drains_it_as_well(box, folder, session):
    async with ImageJob.open(folder) as job:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await job.run(session, PROMPTS)
        status = await job.status()

    assert (status.sent, status.unknown) == (0, 0)
    assert status.saved == box.bill.total


async def test_trouble_that_comes_while_a_run_drains_does_not_hide_the_cancellation(
    folder, session, monkeypatch
):
    async def fail(*_):
        try:
            await asyncio.Event().wait()
        finally:
            raise DiskError("the disk")

    monkeypatch.setattr("zai_images.jobs._run.JobRun.carry_out", fail)
    async with ImageJob.open(folder) as job:
        running = asyncio.create_task(job.run(session, PROMPTS))
        while job._running is None:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_job_that_runs_takes_nothing_more_and_runs_once(folder, session):
    async with ImageJob.open(folder) as job:
        running = asyncio.create_task(job.run(session, PROMPTS))
        while job._running is None:
            await asyncio.sleep(0)
        with pytest.raises(JobError, match="runs already"):
            await job.run(session)
        with pytest.raises(JobError, match="runs already"):
            await job.take(["more"])
        assert (await running).status.saved == 3


async def test_a_job_that_is_not_open_says_so(folder, session):
    job = ImageJob.open(folder)
    with pytest.raises(JobError, match="not open"):
        await job.run(session, PROMPTS)
    with pytest.raises(JobError, match="holds no job"):
        async with ImageJob.open(folder, read_only=True):
            pass


async def test_spending_is_told_while_others_only_look(run, folder):
    await run()
    async with looking(folder) as job:
        (spend,) = await job.spend()

    assert (spend.payments, spend.cost) == (3, pytest.approx(0.03))


async def test_a_job_that_is_looked_at_is_not_run(run, folder, session, box):
    await run()
    async with ImageJob.open(folder, read_only=True) as job:
        with pytest.raises(JobError, match="not open to be run"):
            await job.run(session)

    assert box.bill.total == 3


async def test_leaving_a_job_twice_is_leaving_it_once(folder):
    job = ImageJob.open(folder)
    async with job:
        await job.take(PROMPTS)
    await job.__aexit__(None, None, None)

    async with job:
        assert (await job.status()).pending == 3


async def test_a_request_without_its_number_is_not_sent(session, box):
    ahead = JournaledRequester(session.requester, None, None)

    with pytest.raises(JobError, match="the number of its item"):
        await ahead.answer(ImageRequest("a fox", id="x"), ledger=None)
    assert box.requests == 0


async def test_observers_hear_of_each_item_with_the_callers_id(box, folder, session):
    box.next(prompt="a bear", action="answer", code="1210")
    heard = []
    async with ImageJob.open(folder, observer=heard.append) as job:
        await job.run(session, [ImageRequest("a fox", id="x"), {"prompt": "a bear"}])

    fox, bear = sorted(heard, key=lambda event: event.number)
    assert (fox.id, fox.state, fox.prompt) == ("x", State.SAVED, "a fox")
    assert (folder / fox.path).is_file()
    assert (bear.state, bear.error.code) == (State.FAILED, "1210")


def outcome(request):
    response = ImageResponse(created=1, images=(ImageURL(url="https://x.example"),))
    return Done(
        index=0,
        request=request,
        response=response,
        picture=None,
        queued=0.0,
        latency=0.0,
        attempts=1,
    )


async def test_what_is_not_of_a_job_is_not_kept_as_if_it_were():
    """Of a batch that does not download, or with other requests than a job's."""
    with pytest.raises(RuntimeError, match="was not downloaded"):
        await ResultWriter.write_made(None, None, outcome(ImageRequest("a fox", id=1)))
    with pytest.raises(TypeError, match="the number of its item"):
        _number(outcome(ImageRequest("a fox", id="x")))
