"""The batch command against a sandbox whose bill the test can read."""

import asyncio
import fcntl
import io
import json
import os
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from support.command_line import pictures

from zai_images import ImageRequest, RateLimitedError, events
from zai_images.cli._run.progress import Flights

BUSY = RateLimitedError("busy")
EXAMPLES = Path(__file__).parents[2] / "docs/examples/prompts.txt"


async def test_the_24_examples_become_24_pictures_of_the_asked_size(cli):
    ran = await cli("batch", EXAMPLES, "--out", "o", "--size", "512x768", "--sandbox")

    assert ran.code == 0
    assert len(pictures("o")) == 24
    assert sorted(ran.out.splitlines()) == [
        f"o/pictures/000/{name}" for name in pictures("o")
    ]
    for name in pictures("o"):
        with Image.open(Path("o/pictures/000", name)) as picture:
            picture.load()
            assert (picture.format, picture.size) == ("PNG", (512, 768))
    assert "nothing is paid" in ran.err
    assert "24 requests: 24 made" in ran.err
    assert f"Open o/pictures/000/{pictures('o')[0]}, or the folder o\n" in ran.err
    assert re.search(r"standard: median 0\.\d s, p95 0\.\d s in service \(", ran.err)
    assert "the sandbox is 20 times faster than life" in ran.err
    assert "documented" not in ran.err


async def test_names_are_sorted_readable_and_private(batch):
    await batch(prompts=["A Fox,   in: snow!", "北京的秋天", "../..", "???", "CON"])

    stems = [name.rpartition("-")[0] for name in pictures()]
    assert stems == [
        "000001-a-fox-in-snow",
        "000002-北京的秋天",
        "000003-picture",
        "000004-picture",
        "000005-picture-con",
    ]
    assert Path("out").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o77 for path in Path("out").rglob("*")} == {0}


async def test_a_second_run_pays_nothing_and_gives_the_same_paths(batch, service):
    first = await batch()
    second = await batch()

    assert (first.code, second.code) == (0, 0)
    assert service.bill.total == 3
    assert sorted(first.out.splitlines()) == sorted(second.out.splitlines())
    assert "3 requests: 0 made, 3 already there" in second.err


async def test_lines_put_in_between_pay_for_themselves_alone(batch, service):
    await batch()
    await batch(prompts=["a new one", "a fox", "a bear", "another", "a cat"])

    assert service.bill.total == 5
    assert len(pictures()) == 5


async def test_a_prompt_written_twice_is_two_pictures(batch, service):
    await batch(prompts=["a fox"] * 5)
    await batch(prompts=["a fox"] * 6)

    assert service.bill.total == 6
    assert len(pictures()) == 6


async def test_an_option_that_changes_the_picture_makes_another(batch, service):
    await batch()
    await batch("--size", "512x512")

    assert Counter(one.size for one in service.bill.entries) == {
        "1024x1024": 3,
        "512x512": 3,
    }


async def test_every_bad_line_is_named_and_nothing_is_sent(cli, service):
    Path("p.jsonl").write_text('{"prompt":"a"}\nno\n{"prompt":""}\n{"size":1}\n')

    ran = await cli("batch", "p.jsonl", "--out", "out")

    assert ran.code == 2
    assert [line.split(" ")[0] for line in ran.err.splitlines()[:3]] == [
        "p.jsonl:2:",
        "p.jsonl:3:",
        "p.jsonl:4:",
    ]
    assert "3 lines cannot be used; nothing was sent" in ran.err
    assert service.requests == 0
    assert pictures() == []


async def test_of_many_bad_lines_the_first_are_named_and_the_rest_counted(cli, service):
    Path("p.jsonl").write_text("no\n" * 60)

    ran = await cli("batch", "p.jsonl", "--out", "out", "--skip-invalid")

    assert ran.code == 2
    assert ran.err.count("p.jsonl:") == 50
    assert "and 10 more such lines" in ran.err
    assert "There is no good one." in ran.err


async def test_skip_invalid_goes_on_without_them_and_does_not_call_it_all_done(
    cli, service
):
    Path("p.jsonl").write_text('{"prompt":"a"}\nno\n"b"\n')

    ran = await cli("batch", "p.jsonl", "--out", "out", "--skip-invalid")

    assert ran.code == 1
    assert "p.jsonl:2:" in ran.err
    assert "1 line left out, 2 go on" in ran.err
    assert [name[:6] for name in pictures()] == ["000001", "000002"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.txt"], "nowhere.txt: No such file"),
        (["empty.txt"], "empty.txt holds no prompt"),
        (["p.xlsx"], "known are .txt, .jsonl"),
        (["header.csv"], "header.csv: no column is called 'prompt'"),
        (["p.txt", "--size", "100x100"], "nearest legal size is 512x512"),
        (["p.txt", "--limit", "0"], "--limit"),
        (["p.txt", "--max-cost", "1"], "Use --max-pictures"),
        ([], "PROMPTS requires an argument"),
        (["--colour", "p.txt"], "there is no option --colour"),
        (["p.txt", "--colour"], "--colour"),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_sentence(
    cli, service, arguments, words
):
    for name in ("p.txt", "p.xlsx", "header.csv"):
        Path(name).write_text("a fox\n")
    Path("empty.txt").write_text("\n")

    ran = await cli("batch", "--out", "out", *arguments)

    assert ran.code == 2
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert service.requests == 0


async def test_a_file_is_no_folder(cli, service):
    Path("p.txt").write_text("a fox\n")

    ran = await cli("batch", "p.txt", "--out", "p.txt")

    assert ran.code == 2
    assert "p.txt is a file; name a folder" in ran.err


async def test_without_a_key_one_sentence_names_both_ways_out(cli):
    Path("p.txt").write_text("a fox\n")

    ran = await cli("batch", "p.txt", "--out", "out")

    assert ran.code == 3
    assert "ZAI_API_KEY" in ran.err
    assert "--sandbox" in ran.err


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ("a fox\n\na bear", ["a fox", "a bear"]),
        ('\n{"prompt": "a fox"}\n"a bear"\n', ["a fox", "a bear"]),
    ],
)
async def test_prompts_come_through_stdin(cli, service, monkeypatch, content, sent):
    stdin = io.TextIOWrapper(io.BytesIO(content.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)

    ran = await cli("batch", "-", "--out", "out")

    assert ran.code == 0
    assert sorted(one.prompt for one in service.bill.entries) == sorted(sent)


async def test_a_bad_line_of_stdin_is_named_as_such(cli, service, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"prompt":1}')))

    ran = await cli("batch", "-", "--out", "out")

    assert ran.err.startswith("stdin:1: prompt: must be a string")


async def test_a_pipe_is_read_once_and_used_twice(cli, service, tmp_path):
    pipe = tmp_path / "p.csv"
    os.mkfifo(pipe)
    writing = asyncio.to_thread(pipe.write_text, "prompt\na fox\n")

    ran, _ = await asyncio.gather(cli("batch", "p.csv", "--out", "out"), writing)

    assert ran.code == 0
    assert service.bill.total == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", 'Prompt,Size,mood\n"a fox, red",512x512,calm\na bear,,\n'),
        ("p.tsv", "Prompt\tSize\tmood\na fox, red\t512x512\tcalm\na bear\n"),
    ],
)
async def test_a_table_gives_its_columns_to_the_requests(cli, service, name, content):
    Path(name).write_text(content)

    ran = await cli("batch", name, "--out", "out", "--quality", "hd")

    assert ran.code == 0
    assert "note: columns that are not used: mood" in ran.err
    assert {(one.prompt, one.size, one.quality) for one in service.bill.entries} == {
        ("a fox, red", "512x512", "hd"),
        ("a bear", "1024x1024", "hd"),
    }


async def test_with_json_each_outcome_is_an_object(cli, service):
    Path("p.jsonl").write_text('{"prompt":"a fox","id":7}\n"unsafe"\n')
    service.fail("unsafe", code="1301")

    ran = await cli("batch", "p.jsonl", "--out", "out", "--json")

    assert ran.code == 1
    records = {one["index"]: one for one in map(json.loads, ran.out.splitlines())}
    assert records[1] == {
        "index": 1,
        "id": 7,
        "prompt": "a fox",
        "status": "done",
        "state": "saved",
        "path": f"out/pictures/000/{pictures()[0]}",
        "error": None,
        "billed": "yes",
        "seconds": records[1]["seconds"],
    }
    assert 0 < records[1]["seconds"] < 5
    assert (records[2]["status"], records[2]["billed"]) == ("failed", "no")
    assert "code 1301" in records[2]["error"]
    assert records[2]["path"] is None


async def test_one_refused_prompt_stops_nothing_and_is_named(batch, service):
    service.fail("a bear", code="1301")

    ran = await batch()

    assert ran.code == 1
    assert len(pictures()) == 2
    assert '2 "a bear": The prompt or the picture was judged unsafe' in ran.err
    assert "3 requests: 2 made, 1 refused" in ran.err
    assert "PARTIAL: 3 requests" in ran.err
    assert "1 refused for their content, for free: change the prompts" in ran.err
    assert "to go on" not in ran.err


@pytest.mark.parametrize("code", ["1113", "1000", "1308"])
async def test_an_account_that_needs_a_person_stops_it_and_is_said_once(
    batch, service, code
):
    service.next(code=code, times=None)

    ran = await batch(prompts=[f"picture {n}" for n in range(100)])

    assert ran.code == 3
    assert ran.err.count(f"code {code}") == 1
    assert service.requests <= 5
    assert "not begun" in ran.err
    assert service.bill.total == 0


async def test_a_cap_on_pictures_is_kept_and_the_next_run_goes_on(batch, service):
    capped = await batch("--max-pictures", "2")
    assert (capped.code, service.bill.total) == (5, 2)
    assert "3 requests: 2 made, 1 not begun" in capped.err
    assert (
        "--max-pictures 2 is reached: 2 made. "
        "Run the same command again to go on with 1 more.\n"
    ) in capped.err
    assert "Nothing was sent" not in capped.err
    assert "max_pictures" not in capped.err

    assert (await batch("--max-pictures", "2")).code == 0
    assert service.bill.total == 3


async def test_a_cap_on_the_cost_can_be_tried_in_the_sandbox(cli):
    Path("p.txt").write_text("a\nb\nc\n")

    ran = await cli("batch", "p.txt", "--out", "o", "--sandbox", "--max-cost", "0.02")

    assert ran.code == 5
    assert len(pictures("o")) == 2
    assert "$0.02 if it were real" in ran.err
    assert "--max-cost 0.02 is reached: 2 made" in ran.err


async def test_a_cap_on_the_cost_needs_the_price_of_every_line(cli, service):
    Path("p.jsonl").write_text('{"prompt":"a","model":"other"}\n')

    ran = await cli("batch", "p.jsonl", "--out", "out", "--max-cost", "1")

    assert (ran.code, service.requests) == (2, 0)
    assert "the price of other at 127.0.0.1 is not known" in ran.err


async def test_latencies_stand_beside_what_the_api_page_says(cli, service):
    Path("p.jsonl").write_text(
        '{"prompt":"a"}\n{"prompt":"b","quality":"hd"}\n{"prompt":"c","model":"new"}\n'
    )

    ran = await cli("batch", "p.jsonl", "--out", "out")

    said = r"cogview-4-250304, {}: median .* s, p95 .* s in service \(documented {} s\)"
    assert re.search(said.format("standard", "5-10"), ran.err)
    assert re.search(said.format("hd", "17-20"), ran.err)
    assert re.search(r"waiting for a place: median \d\.\d s\n", ran.err)


async def test_limit_bounds_what_is_in_flight(batch, service):
    await batch("--limit", "2", prompts=[f"picture {n}" for n in range(8)])

    assert service.most_in_flight == 2


async def test_pictures_of_a_sandbox_do_not_pass_for_paid_ones(cli, batch, service):
    Path("p.txt").write_text("a fox\n")
    assert (await cli("batch", "p.txt", "--out", "out", "--sandbox")).code == 0

    ran = await batch()

    assert ran.code == 2
    assert "This job was made with sandbox" in ran.err
    assert service.requests == 0


async def test_two_at_once_in_one_folder_are_one_too_many(batch, service):
    Path("out").mkdir()
    with Path("out/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = await batch()

    assert ran.code == 2
    assert "Another process is at work in out" in ran.err
    assert (await batch()).code == 0


async def test_a_disk_without_locks_is_used_all_the_same(batch, service, monkeypatch):
    def flock(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", flock)
    assert (await batch()).code == 0


async def test_what_a_crash_left_half_written_is_cleared_away(batch):
    await batch(prompts=["a fox"])
    folder = Path("out/pictures/000")
    (folder / ".000002-a-bear-12345678.png.x7.part").touch()
    (folder / "mine.part").touch()

    await batch()

    assert [path.name for path in folder.glob("*.part")] == ["mine.part"]


async def test_progress_is_a_line_now_and_then_where_nobody_looks_on(
    batch, service, monkeypatch
):
    monkeypatch.setattr("zai_images.cli._run.progress.EVERY", 0.02)
    service.fail("a bear", code="1301")
    service.speed = 50

    ran = await batch("--limit", "1", prompts=["a fox", "a bear", "a cat", "a dog"])

    assert "2 of 4, 1 failed, 1 place, " in ran.err
    assert "/s, " in ran.err
    assert " left\n" in ran.err


def test_progress_tells_places_and_many_refusals():
    flights = Flights()
    requests = [ImageRequest(f"{n}") for n in range(20)]
    assert flights.words() == []
    flights.observe(events.LimitChanged(at=0, model="m", old=1, new=4, reason=""))
    assert flights.words() == ["0 of 4 places"]
    for request in requests[:5]:
        flights.observe(events.Sent(request=request, at=0, attempt=1))
    assert flights.words() == ["5 places"]
    answered = events.Answered(request=requests[0], at=0, attempt=1, latency=1)
    flights.observe(answered)
    for request in requests[1:3] * 5:
        refused = events.Refused(request=request, at=0, attempt=1, error=BUSY)
        flights.observe(refused)

    assert flights.words() == ["2 of 4 places", "10 refused and tried again"]


async def test_progress_is_a_bar_where_somebody_does(batch, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    ran = await batch()

    assert "━" in ran.err
    # The paths share the screen with the bar, and have it to themselves at its end.
    shown = ran.err + ran.out
    assert all(f"out/pictures/000/{name}" in shown for name in pictures())
