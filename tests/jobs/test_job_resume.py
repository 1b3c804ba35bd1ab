"""What a later run does with what an earlier one left."""

import json
from collections import Counter

import pytest
from support.jobs import PROMPTS, config_of, left_behind
from support.keys import KEY

from zai_images import (
    AccountError,
    ImageSession,
)
from zai_images.jobs import (
    ImageJob,
    JobError,
    State,
)
from zai_images.sandbox import Sandbox


async def test_retrying_sends_what_failed_and_nothing_else(run, box, folder, session):
    box.next(prompt="a bear", action="answer", code="1210")
    await run()
    async with ImageJob.open(folder) as job:
        await job.take([*PROMPTS, "later"])
        report = await job.retry(session, "failed")

    assert report.moved == {State.SAVED: 1}
    assert report.status.pending == 1
    assert box.bill.total == 3


@pytest.mark.parametrize("action", ["reset", "html", "empty", "null_url"])
async def test_what_may_be_billed_is_sent_again_only_when_asked_and_once(
    action, run, box, folder
):
    box.next(prompt="a bear", action=action, billed=True, times=2)
    first = await run()
    second = await run()
    third = await run(on_unknown="resend")
    fourth = await run(on_unknown="resend")

    assert first.status.unknown == second.status.unknown == third.status.unknown == 1
    assert first.status.maybe_billed == 1
    assert fourth.moved == {}
    assert len(box.bill.for_prompt("a bear")) == 2
    assert third.status.more_maybe_billed == 1


async def test_a_resent_item_becomes_a_picture(run, box, folder, session):
    box.next(prompt="a bear", action="reset", billed=True)
    await run()
    async with ImageJob.open(folder) as job:
        report = await job.retry(session, "unknown")

    assert report.status.saved == 3
    assert report.status.more_maybe_billed == 1
    assert Counter(entry.prompt for entry in box.bill.entries)["a bear"] == 2


async def test_what_the_input_asks_for_no_more_is_not_sent_again(run, box):
    box.next(prompt="a bear", action="reset", billed=True)
    await run()
    report = await run(["a fox", "a cat"], on_unknown="resend")

    assert report.status.unknown == 1
    assert box.bill.total == 3


async def test_what_an_empty_account_kept_from_being_sent_again_stays_unknown(
    run, box, folder, session
):
    box.next(prompt="a bear", action="reset", billed=True)
    await run()
    box.next(action="answer", code="1113", times=9)
    async with ImageJob.open(folder) as job:
        stopped = await job.retry(session, "unknown")
    box.clear_faults()
    plain = await run()
    asked = await run(on_unknown="resend")

    assert isinstance(stopped.stopped_by, AccountError)
    assert stopped.status.unknown == plain.status.unknown == 1
    assert stopped.status.maybe_billed == 1
    assert plain.moved == {}
    assert asked.status.saved == 3  # it was not spent on the empty account


async def test_a_refusal_of_what_is_sent_again_does_not_make_it_free(run, box):
    box.next(prompt="a bear", action="reset", billed=True)
    await run()
    box.next(prompt="a bear", code="1301")
    report = await run(on_unknown="resend")

    assert report.status.unknown == report.status.maybe_billed == 1
    assert report.status.refused == 0
    assert report.moved == {State.UNKNOWN: 1}


async def test_a_picture_that_was_not_fetched_is_fetched_by_its_link(run, box, folder):
    box.next(prompt="a bear", action="missing_picture", fetches=1)
    first = await run()
    second = await run()

    assert first.status.answered == 1
    assert first.status.billed == 3
    assert first.status.links_expire is not None
    assert second.moved == {State.SAVED: 1}
    assert second.status.cost == pytest.approx(0.03)
    assert box.bill.total == 3


LATER = {
    "an empty balance": {"code": "1113"},
    "no place, then an empty balance": {"code": "1113", "first": "1302"},
    "an unsafe prompt": {"code": "1301"},
    "a bad field": {"code": "1210"},
    "a lost answer": {"action": "reset", "billed": True},
    "a page of HTML": {"action": "html", "billed": True},
    "a picture whose link is dead as well": {"action": "missing_picture"},
}


@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
async def test_a_kept_link_survives_whatever_a_later_attempt_brings(
    later, run, box, folder, session
):
    later = dict(later)
    box.next(prompt="a bear", action="expired_picture", fetches=3)
    first = await run()
    assert (await run()).status.dead_links == 1
    if "first" in later:
        box.next(prompt="a bear", code=later.pop("first"))
    box.next(prompt="a bear", **later)
    async with ImageJob.open(folder) as job:
        asked = await job.retry(session, "unknown")
    box.clear_faults()
    before = len(box.bill.entries)
    plain = await run()

    assert (first.status.billed, first.status.answered) == (3, 1)
    assert asked.status.answered == 1
    assert plain.status.saved == 3
    assert len(box.bill.entries) == before  # not paid for once more
    assert plain.status.billed <= box.bill.total
    maybe = plain.status.maybe_billed + plain.status.more_maybe_billed
    assert box.bill.total <= plain.status.billed + maybe


async def test_a_dead_link_is_told_and_made_again_only_when_asked(run, box):
    box.next(prompt="a bear", action="missing_picture")
    await run()
    second = await run()
    third = await run(on_unknown="resend")

    assert second.status.answered == second.status.dead_links == 1
    assert box.bill.total == 4
    assert third.status.saved == 3
    assert third.status.cost == pytest.approx(0.04)  # it was paid for twice


async def test_a_link_that_was_called_dead_is_tried_before_it_is_paid_for_again(
    run, box
):
    box.next(prompt="a bear", action="expired_picture", fetches=2)
    await run()
    assert (await run()).status.dead_links == 1
    report = await run(on_unknown="resend")

    assert report.status.saved == box.bill.total == 3


async def test_a_kept_answer_that_nobody_can_read_any_more_is_dead(run, box, journal):
    box.next(prompt="a bear", action="missing_picture")
    await run()
    journal("UPDATE attempts SET body=CAST('<html>' AS BLOB) WHERE number=2")

    heard = []
    report = await run(observer=heard.append)

    assert report.status.dead_links == report.status.answered == 1
    assert [str(event.error) for event in heard] == [
        "its answer cannot be read any more"
    ]
    assert box.bill.total == 3


async def test_stopping_ends_the_fetching_of_kept_links_as_well(folder, box, run):
    for prompt in PROMPTS:
        box.next(prompt=prompt, action="missing_picture", fetches=1)
    assert (await run()).status.answered == 3

    def stop(event):
        job.stop()

    async with ImageSession(config_of(box, max_downloads=1)) as session:
        async with ImageJob.open(folder, observer=stop) as job:
            report = await job.run(session)

    assert (report.status.saved, report.status.answered) == (1, 2)
    assert (await run()).status.saved == box.bill.total == 3


ANSWERS = {
    "nothing": (None, State.UNKNOWN),
    "a refusal for want of a place": ((429, b'{"error":{"code":"1302"}}'), State.SAVED),
    "an empty balance": ((429, b'{"error":{"code":"1113"}}'), State.SAVED),
    "an unsafe prompt": ((400, b'{"error":{"code":"1301"}}'), State.REFUSED),
    "a bad field": ((400, b'{"error":{"code":"1210"}}'), State.FAILED),
    "a failure it owns up to": ((500, b'{"error":{"code":"1234"}}'), State.UNKNOWN),
    "a page of HTML": ((200, b"<html>"), State.UNKNOWN),
    "no picture": ((200, b'{"created":1,"data":[]}'), State.UNKNOWN),
}


@pytest.mark.parametrize(("answer", "state"), ANSWERS.values(), ids=ANSWERS)
async def test_after_a_kill_a_kept_answer_decides_what_the_item_is(
    answer, state, box, folder, session
):
    """The process died after the answer was kept, and before anything had read it."""
    async with ImageJob.open(folder) as job:
        await job.take(["a fox"])
        await left_behind(job, 1, answer)
        report = await job.run(session)

    assert getattr(report.status, state) == report.status.total == 1
    assert box.bill.total == (state is State.SAVED)
    assert report.status.more_maybe_billed == 0


async def test_after_a_kill_a_kept_picture_is_only_downloaded(box, folder, session):
    response = await session.generate("a fox")
    body = b'{"created": 1, "data": [{"url": "%b"}]}' % response.url.encode()
    async with ImageJob.open(folder) as job:
        await job.take(["a fox"])
        await left_behind(job, 1, (200, body))
        report = await job.run(session)

    assert report.status.saved == box.bill.total == 1
    assert report.status.cost == pytest.approx(0.01)


async def test_a_kept_refusal_after_an_attempt_that_may_be_billed_is_unknown(
    box, folder, session
):
    refusal = (429, b'{"error":{"code":"1302"}}')
    async with ImageJob.open(folder) as job:
        await job.take(["a fox"])
        await left_behind(job, 1, "maybe", refusal)
        report = await job.run(session)

    assert report.status.unknown == 1
    assert report.status.more_maybe_billed == 0
    assert box.bill.requests == 0


async def test_a_job_of_another_service_is_refused(run, box, folder):
    await run()
    async with Sandbox(speed=200, api_key=KEY, pictures="plain") as other:
        async with ImageSession(config_of(other)) as session:
            with pytest.raises(JobError, match="use another folder"):
                await run(["new"], session=session)
        assert other.bill.requests == 0

    async with ImageJob.open(folder, sandbox=True) as job:
        async with ImageSession(config_of(box)) as session:
            with pytest.raises(JobError, match="with sandbox"):
                await job.run(session)


async def test_a_private_sandboxs_links_die_with_it(box, folder, session):
    box.next(prompt="a bear", action="missing_picture")
    async with ImageJob.open(folder, sandbox=True) as job:
        first = await job.run(session, PROMPTS)
        second = await job.run(session, PROMPTS)

    assert first.status.answered == 1
    assert first.status.service == "sandbox"
    assert second.status.saved == 3
    assert box.bill.total == 4


async def test_of_several_links_the_first_that_gives_a_picture_is_it(box, session):
    good = await session.generate("a fox")
    answer = json.dumps({"data": [{"url": "ftp://x.example/a"}, {"url": good.url}]})
    box.next(action="empty", body=answer.encode(), billed=True)

    picture = await session.generate_picture("a bear")

    assert picture.request.prompt == "a bear"
    assert [image.url for image in picture.response.images][1] == good.url
