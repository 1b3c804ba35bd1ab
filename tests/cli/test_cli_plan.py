"""The plan of a batch: its requests, its bad lines, its cost and its time."""

import json
import re
from pathlib import Path

import pytest
from support.keys import KEY

from zai_images import SessionConfig
from zai_images._api.request import DEFAULT_MODEL
from zai_images.cli import _known_limits as _memory


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
