"""The bounds of a batch, its names and folders, and how it ends."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.command_line import lines, pictures

from zai_images.jobs import ImageJob


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
