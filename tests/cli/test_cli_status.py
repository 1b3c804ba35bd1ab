"""The status of a job: the counts of its requests, and what they ask of a person."""

import json
from pathlib import Path

import pytest

from zai_images.jobs import ImageJob, JobStatus


async def test_status_counts_and_tells_of_the_service(batch, cli, service):
    service.next(prompt="a bear", action="truncate")
    service.fail("a cat", code="1301")
    await batch(prompts=["a fox", "a bear", "a cat"])

    ran = await cli("status", "out", "--json")

    found = json.loads(ran.out)
    assert found == {
        "total": 3,
        "pending": 0,
        "sent": 0,
        "answered": 0,
        "saved": 1,
        "failed": 0,
        "refused": 1,
        "unknown": 1,
        "billed": 1,
        "maybe_billed": 1,
        "cost": None,
        "service": service.base_url,
        "dead_links": 0,
        "links_expire": None,
        "more_maybe_billed": 0,
        "missing": 0,
        "changed": 0,
        "folder": "out",
    }
    assert "1 unknown: sent, and no answer came" in ran.err
    text = await cli("status", "out")
    assert "        1 saved     picture saved\n" in text.out
    assert (
        "        1 unknown   sent, and no answer is known: may be billed\n" in text.out
    )
    assert "billed 1, maybe billed 1\ncost   not known\n" in text.out


async def test_status_of_a_sandbox_says_that_nothing_was_paid(cli):
    Path("p.txt").write_text("a fox")
    await cli("batch", "p.txt", "--out", "out", "--sandbox")

    ran = await cli("status", "out")

    assert "cost   $0.01 if it were real\nmade by sandbox\n" in ran.out


async def test_status_works_while_a_batch_runs(cli, service, tmp_path):
    async with ImageJob.open(tmp_path / "out") as job:
        await job.take(["a fox", "a bear"])
        ran = await cli("status", "out", "--json")

    assert json.loads(ran.out)["pending"] == 2


@pytest.mark.parametrize("command", ["status", "verify", "export", "retry"])
@pytest.mark.parametrize("folder", ["nowhere", "empty", "file", "other"])
async def test_where_there_is_no_job_the_commands_say_so(cli, service, command, folder):
    Path("empty").mkdir()
    Path("other").mkdir()
    Path("other/mine.txt").touch()
    Path("file").touch()
    only = ["--only", "failed"] if command == "retry" else []

    ran = await cli(command, folder, *only)

    assert (ran.code, ran.out) == (2, "")
    assert "no job" in ran.err
    assert not Path("nowhere").exists()
    assert list(Path("empty").iterdir()) == []


async def test_attempts_that_may_be_billed_beside_an_answer_are_told(
    cli, batch, journal
):
    await batch()
    journal("UPDATE items SET maybe=1 WHERE number=2")

    ran = await cli("status", "out")

    assert "1 more attempt may have been billed without a picture" in ran.err


async def test_what_a_killed_run_has_sent_is_told(cli, batch, journal):
    await batch()
    journal("UPDATE items SET state='sent' WHERE number=2")

    ran = await cli("status", "out")

    assert "1 sent, and no answer yet" in ran.err


def test_the_total_is_the_sum_of_the_states():
    status = JobStatus(pending=1, sent=2, answered=3, saved=4, failed=5, refused=6)

    assert (status.total, status.maybe_billed) == (21, 2)


async def test_status_tells_what_was_spent_by_day_and_model(cli, batch, journal):
    await batch()
    journal("UPDATE attempts SET answered=0, price=0.01")
    journal("UPDATE attempts SET price=NULL, answered=86400 WHERE number=2")

    ran = await cli("status", "out", "--spend")
    found = json.loads((await cli("status", "out", "--spend", "--json")).out)

    assert "1970-01-01 cogview-4-250304: 2 pictures, $0.02" in ran.out
    assert "1970-01-02 cogview-4-250304: 1 picture, unknown" in ran.out
    assert [one["cost"] for one in found["spend"]] == [0.02, None]
    assert found["spend"][0]["payments"] == 2
    assert "spend" not in json.loads((await cli("status", "out", "--json")).out)


async def test_status_counts_what_people_did_to_the_files(cli, batch):
    await batch()
    one, other, _ = sorted(Path("out").rglob("*.png"))
    one.unlink()
    other.write_bytes(other.read_bytes() + b"mine")
    await batch()

    ran = await cli("status", "out")
    found = json.loads((await cli("status", "out", "--json")).out)

    assert "of these 1 missing, 1 changed" in ran.out
    assert (found["saved"], found["missing"], found["changed"]) == (3, 1, 1)
