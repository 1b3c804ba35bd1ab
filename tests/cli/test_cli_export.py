"""The lines that a job is exported as."""

import csv
from pathlib import Path

import pytest
from support.command_line import lines

from zai_images._api.request import DEFAULT_MODEL
from zai_images.jobs import ImageJob


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
    assert set(done) == {"id", "custom_id", "response", "error", "request"}
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
