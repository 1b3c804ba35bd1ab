"""The commands around a batch: plan, status, retry, export, verify; and its bounds."""

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.keys import KEY

from zai_images import SessionConfig
from zai_images._api.request import DEFAULT_MODEL
from zai_images.cli import _known_limits as _memory
from zai_images.jobs import ImageJob, JobStatus


def pictures(folder="out"):
    return sorted(path.name for path in Path(folder).glob("pictures/*/*"))


def lines(ran):
    return [json.loads(line) for line in ran.out.splitlines()]


@pytest.fixture
def jsonl(tmp_path):
    """Write a file of JSON lines."""

    def jsonl(*records, name="p.jsonl"):
        (tmp_path / name).write_text("\n".join(map(json.dumps, records)))

    return jsonl


# plan


async def test_a_plan_counts_without_a_key_and_without_a_folder(cli, jsonl):
    jsonl("a fox", "a bear", "a fox", {"prompt": "a cat", "quality": "hd"})

    ran = await cli("plan", "p.jsonl", "--out", "out")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "4 requests, 1 like an earlier line",
        f"to send: 4 (3 standard of {DEFAULT_MODEL}, 1 hd of {DEFAULT_MODEL})",
        "cost: $0.04",
        "time: 22 s to 30 s (5 at once; how many the account takes is not known yet)",
    ]
    assert not Path("out").exists()


async def test_a_plan_knows_what_is_done_and_leaves_it_as_it_is(batch, cli, service):
    await batch()
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.png")}
    Path("more.txt").write_text("a fox\na wolf\na bear\na wolf")

    ran = await cli("plan", "more.txt", "--out", "out", "--json")

    plan = json.loads(ran.out)
    assert (ran.code, service.requests) == (0, 3)
    assert (plan["requests"], plan["duplicates"], plan["to_send"]) == (4, 1, 2)
    assert plan["states"]["saved"] == 2
    assert plan["cost"] is None  # of a host that is not Z.AI's
    assert before == {p: p.stat().st_mtime_ns for p in Path("out").rglob("*.png")}
    text = (await cli("plan", "more.txt", "--out", "out")).out
    assert "already in the job: 2 saved\n" in text
    assert "cost: not known\n" in text


async def test_a_plan_names_every_bad_line(cli):
    Path("p.jsonl").write_text('"a"\n' + "no\n" * 120)

    ran = await cli("plan", "p.jsonl")

    assert ran.code == 2
    named = re.findall(r"^p\.jsonl:(\d+): is not JSON", ran.out, re.MULTILINE)
    assert named == [str(n) for n in range(2, 122)]
    assert "120 lines cannot be used\n" in ran.out


@pytest.mark.parametrize("known", [None, 10])
async def test_a_plan_reckons_with_the_places_an_earlier_run_has_found(
    cli, monkeypatch, known
):
    monkeypatch.setenv("ZAI_API_KEY", KEY)
    Path("p.txt").write_text("\n".join(f"picture {n}" for n in range(600)))
    if known:
        monkeypatch.setattr(_memory, "_read", lambda: {_me(): {DEFAULT_MODEL: known}})

    ran = await cli("plan", "p.txt", "--repeat", "2", "--json")

    plan = json.loads(ran.out)
    assert plan["cost"] == 12.0
    assert plan["places"] == {DEFAULT_MODEL: known or 5}
    assert plan["places_known"] is bool(known)
    assert plan["seconds"] == ([600.0, 1200.0] if known else [1200.0, 2400.0])
    said = (await cli("plan", "p.txt", "--repeat", "2")).out
    assert ("as an earlier run has found" in said) is bool(known)


def _me():
    return _memory.account(SessionConfig(api_key=KEY))


async def test_a_plan_of_a_model_nobody_has_timed_says_so(cli, jsonl):
    jsonl({"prompt": "a", "model": "new"})

    ran = await cli("plan", "p.jsonl")

    assert "time: not known" in ran.out
    assert "cost: not known" in ran.out


async def test_a_plan_of_what_is_all_done_costs_nothing(batch, cli, service):
    await batch()

    ran = await cli("plan", "p.txt", "--out", "out")

    assert ran.out.splitlines()[-3:] == ["to send: 0", "cost: $0.00", "time: none"]


# status


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
        "folder": "out",
    }
    assert "1 unknown: sent, and no answer came" in ran.err
    text = await cli("status", "out")
    assert "        1 saved     picture in the folder\n" in text.out
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


# retry


async def test_retry_sends_what_failed_and_nothing_else(batch, cli, service):
    service.fail("a bear", code="1210", times=1)
    service.fail("a cat", code="1301", times=1)
    first = await batch()
    assert "1 failed for free: zai-images retry out --only failed" in first.err
    assert (await batch()).code == 1  # the same command sends neither again
    assert service.requests == 3

    ran = await cli("retry", "out", "--only", "failed")

    assert ran.code == 1  # the refused one stays
    assert (service.requests, service.bill.total) == (4, 2)
    assert len(ran.out.splitlines()) == 1
    assert "PARTIAL: 3 requests: 1 made, 1 already there, 1 refused" in ran.err


async def test_retry_needs_to_be_told_what(cli, service):
    ran = await cli("retry", "out")

    assert ran.code == 2
    assert "--only" in ran.err


async def test_retry_keeps_within_its_caps(batch, cli, service):
    for prompt in ("a fox", "a bear", "a cat"):
        service.fail(prompt, code="1210", times=1)
    await batch()

    ran = await cli("retry", "out", "--only", "failed", "--max-pictures", "2")
    assert (ran.code, service.bill.total) == (5, 2)

    ran = await cli("retry", "out", "--only", "failed", "--name", "{slug}-{key8}")
    assert (ran.code, service.bill.total) == (0, 3)
    assert len([name for name in pictures() if name[0] != "0"]) == 1


# export


@pytest.fixture
async def mixed(cli, service, jsonl):
    """Leave a job with a saved, a refused, an unknown and a pending item."""
    jsonl(
        {"prompt": "=1+1", "id": "one"},
        {"prompt": "unsafe", "id": 2},
        {"prompt": "lost"},
        {"prompt": "@later", "id": "-4"},
    )
    service.fail("unsafe", code="1301")
    service.next(prompt="lost", action="truncate")
    service.next(prompt="@later", code="1308")
    await cli("batch", "p.jsonl", "--out", "out", "--limit", "1")


async def test_export_as_json_lines_tells_all(mixed, cli):
    ran = await cli("export", "out")

    first, *rest = lines(ran)
    assert (ran.code, ran.err) == (0, "")
    assert (first["number"], first["state"], first["id"]) == (1, "saved", "one")
    assert first["body"]["prompt"] == "=1+1"
    assert Path("out", first["path"]).stat().st_size == first["size"]
    assert first["answer"]["data"][0]["url"] == first["url"]
    assert [one["state"] for one in rest] == ["refused", "unknown", "pending"]
    assert "1301" in rest[0]["error"]
    assert lines(await cli("export", "out", "--json")) == lines(ran)


async def test_export_as_csv_holds_no_formula(mixed, cli):
    ran = await cli("export", "out", "--format", "csv")

    rows = list(csv.DictReader(ran.out.splitlines()))
    assert [row["prompt"] for row in rows] == ["'=1+1", "unsafe", "lost", "'@later"]
    assert [row["id"] for row in rows] == ["one", "2", "", "'-4"]
    assert next(row["state"] for row in rows) == "saved"
    assert not [
        cell for row in rows for cell in row.values() if cell[:1] in "=+-@\t" and cell
    ]


async def test_export_for_openai_has_the_shape_of_its_output_lines(mixed, cli):
    ran = await cli("export", "out", "--format", "openai")

    done, refused, lost = lines(ran)
    assert set(done) == {"id", "custom_id", "response", "error"}
    assert (done["custom_id"], done["error"]) == ("one", None)
    assert done["response"]["status_code"] == 200
    assert done["response"]["request_id"]
    assert done["response"]["body"]["data"][0]["url"].startswith("http://127")
    assert (refused["custom_id"], refused["response"]) == ("2", None)
    assert refused["error"]["code"] == "1301"
    assert lost["id"] == f"batch_req_{lost['custom_id']}"
    assert lost["error"]["code"] == "unknown"
    assert "1 request left out that have not ended" in ran.err


async def test_export_has_one_format_at_a_time(mixed, cli):
    ran = await cli("export", "out", "--json", "--format", "csv")

    assert (ran.code, ran.out) == (2, "")
    assert "choose one" in ran.err


async def test_lines_of_the_openai_batch_api_go_in_and_come_out(cli, service, jsonl):
    line = {"method": "POST", "url": "/v1/images/generations"}
    body = {"model": DEFAULT_MODEL, "prompt": "a fox", "size": "512x512", "n": 1}
    jsonl(line | {"custom_id": "job-7", "body": body})

    ran = await cli("batch", "p.jsonl", "--out", "out")
    (out,) = lines(await cli("export", "out", "--format", "openai"))

    assert ran.code == 0
    assert [(one.prompt, one.size) for one in service.bill.entries] == [
        ("a fox", "512x512")
    ]
    assert out["custom_id"] == "job-7"


async def test_a_long_export_is_written_whole(cli, tmp_path):
    async with ImageJob.open(tmp_path / "out") as job:
        await job.take(f"picture {n}" for n in range(701))

    ran = await cli("export", "out")

    assert [one["number"] for one in lines(ran)] == list(range(1, 702))


# verify


async def test_verify_finds_every_damage_and_names_it(batch, cli, service):
    prompts = [f"picture {n}" for n in range(5)]
    await batch(prompts=prompts)
    files = sorted(Path("out/pictures/000").iterdir())
    assert (await cli("verify", "out")).code == 0
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-1])
    data = bytearray(files[2].read_bytes())
    data[50] ^= 1
    files[2].write_bytes(data)

    ran = await cli("verify", "out")

    assert ran.code == 1
    assert [line.split(": ")[0] for line in ran.out.splitlines()] == [
        str(path) for path in files[:3]
    ]
    assert "3 of 5 pictures missing or damaged" in ran.err
    found = json.loads((await cli("verify", "out", "--json")).out)
    assert (found["ok"], found["checked"]) == (False, 5)
    assert [one["number"] for one in found["damaged"]] == [1, 2, 3]

    files[2].unlink()
    again = await batch(prompts=prompts)
    assert (again.code, service.bill.total) == (0, 5)
    assert (await cli("verify", "out")).code == 0


# The bounds of a batch, and how it ends.


async def test_repeat_makes_several_pictures_of_each_prompt(batch, cli, service):
    ran = await batch("--repeat", "3", prompts=["a fox", "a bear"])
    more = await batch("--repeat", "4", prompts=["a bear", "a fox"])

    assert (ran.code, more.code) == (0, 0)
    assert "6 requests: 6 made" in ran.err
    assert "8 requests: 2 made, 6 already there" in more.err
    assert service.bill.total == 8


async def test_files_are_called_as_wanted_and_stay_in_the_folder(cli, service, jsonl):
    jsonl({"prompt": "a fox", "id": "../../x"}, {"prompt": "b", "id": "y"})

    ran = await cli("batch", "p.jsonl", "--out", "out", "--name", "{id}_{size}")

    assert ran.code == 0
    assert pictures() == ["x_1024x1024.png", "y_1024x1024.png"]
    assert sorted(path.name for path in Path().iterdir()) == ["out", "p.jsonl"]


@pytest.mark.parametrize(
    "name", ["../{index}", "{index}/{slug}", "all", "{no}", ".{id}"]
)
async def test_a_name_that_could_lead_out_of_it_is_refused(cli, service, name):
    Path("p.txt").write_text("a fox")

    ran = await cli("batch", "p.txt", "--out", "out", "--name", name)

    assert (ran.code, service.requests) == (2, 0)
    assert f"name: {name!r}: " in ran.err


async def test_a_cap_on_failures_is_kept_and_said(batch, cli, service):
    service.next(code="1210", times=None)

    ran = await batch("--max-failures", "3", prompts=[f"p {n}" for n in range(40)])

    assert (ran.code, service.requests) == (5, 3)
    assert "40 requests: 0 made, 3 failed, 37 not begun" in ran.err
    assert "--max-failures 3 is reached: 0 made. Look at what failed" in ran.err


async def test_a_used_up_quota_says_until_when(batch, service):
    beijing = datetime.now(UTC) + timedelta(hours=8 + 5, minutes=10, seconds=30)
    service.next(
        code="1308", message=f"resets at {beijing:%Y-%m-%d %H:%M:%S}", times=None
    )

    ran = await batch()

    until = beijing - timedelta(hours=8)
    assert ran.code == 3
    assert "code 1308" in ran.err
    assert f"It is renewed at {until:%Y-%m-%d %H:%M} UTC (in 5 h 10 min)" in ran.err
    assert "PARTIAL: 3 requests: 0 made, 3 not begun" in ran.err
    assert "to go on: zai-images batch p.txt --out out" in ran.err


async def test_a_job_of_one_service_is_not_gone_on_with_at_another(
    batch, cli, service, monkeypatch
):
    await batch()
    monkeypatch.setenv("ZAI_BASE_URL", "https://other.example/api/paas/v4")

    assert (await batch()).code == 2
    for command in (
        ["batch", "p.txt", "--out", "out", "--sandbox"],
        ["retry", "out", "--only", "unknown", "--sandbox"],
    ):
        ran = await cli(*command)
        assert ran.code == 2
        assert f"This job was made with {service.base_url}" in ran.err
        assert "PARTIAL" not in ran.err


async def test_a_folder_of_somebody_elses_is_left_alone(batch, service):
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")

    ran = await batch()

    assert (ran.code, service.requests) == (2, 0)
    assert "is no job's folder" in ran.err
    assert [path.name for path in Path("out").iterdir()] == ["mine.txt"]


async def test_a_folder_can_be_moved_and_gone_on_with(batch, cli, service):
    await batch("--max-pictures", "1")
    Path("out").rename("elsewhere")

    ran = await cli("batch", "p.txt", "--out", "elsewhere")

    assert (ran.code, service.bill.total) == (0, 3)
    assert all(line.startswith("elsewhere/") for line in ran.out.splitlines())
    assert len(ran.out.splitlines()) == 3


async def test_equal_lines_are_told_of_once(batch, service):
    first = await batch(prompts=["a fox", "a fox"])
    second = await batch(prompts=["a fox", "a fox"])

    note = "note: 1 request like an earlier line: each is a picture of its own"
    assert note in first.err
    assert note not in second.err


async def test_data_that_nobody_can_take_stops_the_run(batch, service, monkeypatch):
    def put(self, *data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zai_images.cli._output.Output.put_now", put)
    ran = await batch("--limit", "1", prompts=[f"picture {n}" for n in range(30)])

    assert ran.code == 4
    assert "stopped: [Errno 28] No space left on device" in ran.err
    assert 0 < len(pictures()) == service.bill.total < 30


async def test_of_many_that_have_ended_before_every_one_is_written(
    cli, service, journal, tmp_path
):
    Path("p.txt").write_text("\n".join(f"picture {n}" for n in range(250)))
    async with ImageJob.open(tmp_path / "out") as job:
        await job.take(f"picture {n}" for n in range(250))
    journal("UPDATE items SET state='failed', error='no' WHERE number <> 7")

    ran = await cli("batch", "p.txt", "--out", "out", "--json")

    records = {one["index"]: one for one in lines(ran)}
    assert (ran.code, service.requests) == (1, 1)
    assert set(records) == set(range(1, 251))
    assert records[7]["status"] == "done"
    assert (records[8]["status"], records[8]["error"]) == ("failed", "no")


async def test_nor_is_it_all_done_where_the_old_paths_cannot_be_written(
    batch, service, monkeypatch
):
    await batch()

    def put(self, *data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zai_images.cli._output.Output.put_now", put)
    ran = await batch()

    assert ran.code == 4
    assert "stopped: [Errno 28] No space left on device" in ran.err
    assert "3 requests: 0 made, 3 already there" in ran.err


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

    assert (status.total, status.billed, status.maybe_billed) == (21, 7, 2)
