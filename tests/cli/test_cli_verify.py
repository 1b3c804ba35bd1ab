"""The pictures of a job against what was recorded of them."""

import json
from pathlib import Path

import pytest


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
    assert "of 5 pictures 1 changed, 1 damaged, 1 missing" in ran.err
    found = json.loads((await cli("verify", "out", "--json")).out)
    assert (found["ok"], found["checked"]) == (False, 5)
    assert [one["number"] for one in found["damaged"]] == [1, 2, 3]

    files[2].unlink()
    again = await batch(prompts=prompts)
    assert (again.code, service.bill.total) == (0, 5)
    assert (await cli("verify", "out")).code == 1
    assert (await cli("retry", "out", "--only", "missing")).code == 0
    assert (await cli("verify", "out")).code == 0
    assert service.bill.total == 5


async def test_what_is_damaged_and_not_cut_off_is_to_be_removed_by_hand(
    batch, cli, service
):
    """The next run keeps it: only what is the beginning of a picture is fetched."""
    await batch(prompts=["a fox"])
    (file,) = Path("out/pictures/000").iterdir()
    whole = file.read_bytes()
    file.write_bytes(b"x" * len(whole))

    ran = await cli("verify", "out")
    await batch(prompts=["a fox"])

    assert "1 damaged. The next run of the batch fetches again what was" in ran.err
    assert "remove what is damaged otherwise. retry --only missing" in ran.err
    assert file.read_bytes() == b"x" * len(whole)
    file.unlink()
    assert (await cli("retry", "out", "--only", "missing")).code == 0
    assert (file.read_bytes(), service.bill.total) == (whole, 1)


@pytest.mark.parametrize("was", ["whole", "garbage", "edited"])
@pytest.mark.parametrize("noticed", [False, True])
async def test_what_was_removed_is_fetched_again_before_any_run_has_noticed_too(
    was, noticed, batch, cli, service
):
    await batch(prompts=["a fox", "a bear"])
    file = min(Path("out/pictures/000").iterdir())
    whole = file.read_bytes()
    found = {"whole": whole, "garbage": b"x" * len(whole), "edited": whole + b"mine"}
    file.write_bytes(found[was])
    if noticed:
        await batch(prompts=["a fox", "a bear"])
    file.unlink()

    assert (await cli("retry", "out", "--only", "missing")).code == 0
    assert (file.read_bytes(), service.bill.total) == (whole, 2)


async def test_what_was_only_changed_asks_for_nothing(batch, cli):
    await batch(prompts=["a fox"])
    (file,) = Path("out/pictures/000").iterdir()
    file.write_bytes(file.read_bytes() + b"mine")

    ran = await cli("verify", "out")

    assert ran.code == 1
    assert ran.err.strip().endswith("of 1 picture 1 changed")


async def test_a_picture_that_was_removed_is_told_by_the_batch_and_not_listed(
    batch, cli
):
    await batch(prompts=["a fox", "a bear"])
    fox, bear = sorted(Path("out/pictures/000").iterdir())
    fox.unlink()

    again = await batch(prompts=["a fox", "a bear"])
    ran = await cli("verify", "out")

    assert again.out.splitlines() == [str(bear)]
    assert "0 made, 1 already there, 1 removed since" in again.err
    assert f"Open {bear}" in again.err
    assert "retry --only missing fetches again what was removed" in ran.err
    assert "cut off" not in ran.err
