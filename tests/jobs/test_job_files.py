"""The files of a job, and what people do with them."""

import shutil
from pathlib import Path

import pytest
from support.jobs import PROMPTS, files, left_behind, looking, records

from zai_images.jobs import DiskError, ImageJob, JobError, State


@pytest.fixture
async def pictures(run, folder):
    """Make the three pictures, and return their files."""
    await run()
    return sorted(folder.rglob("*.png"))


def with_a_text_chunk(data: bytes) -> bytes:
    """Add a text chunk to a PNG before its end, as an editor would."""
    import struct
    import zlib

    chunk = b"tEXtComment\0mine"
    length = struct.pack(">I", len(chunk) - 4)
    return (
        data[:-12] + length + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[-12:]
    )


async def damages(folder):
    async with looking(folder) as job:
        return [(one.number, one.kind) async for one in job.verify()]


async def test_a_file_that_was_removed_is_left_so_until_it_is_asked_for(
    run, pictures, box, folder, session
):
    pictures[0].unlink()
    plain = await run()
    assert (plain.moved, plain.status.saved, plain.status.missing) == ({}, 3, 1)
    assert await damages(folder) == [(1, "missing")]

    async with ImageJob.open(folder) as job:
        asked = await job.retry(session, "missing")
    assert (asked.moved, asked.status.missing) == ({State.SAVED: 1}, 0)
    assert await damages(folder) == []
    assert box.bill.total == 3


async def test_a_file_that_is_back_is_its_items_again(run, pictures, folder):
    away = pictures[0].rename(folder.parent / "away.png")
    assert (await run()).status.missing == 1
    away.rename(pictures[0])

    assert (await run()).status.missing == 0
    assert await damages(folder) == []


@pytest.mark.parametrize(
    "to", ["pictures/000/renamed.png", "pictures/best/a.png", "mine.png", "a/b/c/d.png"]
)
async def test_a_file_that_was_moved_within_the_folder_is_found_by_its_hash(
    run, pictures, folder, to, box
):
    target = folder / to
    target.parent.mkdir(parents=True, exist_ok=True)
    pictures[1].rename(target)
    report = await run()

    assert (report.moved, report.status.missing) == ({}, 0)
    assert [one.path for one in await records(folder)][1] == to
    assert box.bill.requests == 3


async def test_a_copy_beside_the_file_changes_nothing(run, pictures, folder):
    shutil.copy(pictures[0], folder / "pictures/000/copy.png")
    report = await run()

    assert (report.moved, report.status.missing) == ({}, 0)
    assert (await records(folder))[0].path == f"pictures/000/{pictures[0].name}"


async def test_two_files_that_changed_names_are_both_kept(run, pictures, folder):
    one, other, _ = pictures
    one.rename(folder / "x")
    other.rename(one)
    (folder / "x").rename(other)
    report = await run()

    assert report.moved == {}
    assert len(files(folder)) == 3


async def test_a_folder_that_is_away_as_a_whole_stops_the_run(
    run, pictures, folder, box
):
    away = (folder / "pictures").rename(folder.parent / "away")
    with pytest.raises(JobError, match=r"pictures/000 is not there.*disk away"):
        await run([*PROMPTS, "one more"])
    assert box.bill.requests == 3

    shutil.rmtree(folder / "pictures")
    away.rename(folder / "pictures")
    after = await run([*PROMPTS, "one more"])
    assert (after.status.saved, after.status.missing) == (4, 0)
    assert box.bill.total == 4


async def test_a_folder_of_edited_pictures_that_is_away_stops_the_run_too(
    run, pictures, folder, box
):
    for picture in pictures:
        picture.write_bytes(with_a_text_chunk(picture.read_bytes()))
    assert (await run()).status.changed == 3
    (folder / "pictures/000").rename(folder.parent / "away")

    with pytest.raises(JobError, match="is not there"):
        await run([*PROMPTS, "one more"])
    assert box.bill.requests == 3


@pytest.mark.parametrize("away", ["a file", "the folder"])
async def test_a_stranger_that_cannot_be_read_holds_nobody_up(
    run, pictures, folder, monkeypatch, away
):
    """It has the size of what is missing, so it is looked at."""
    stranger = folder / "stranger.png"
    stranger.write_bytes(bytes(pictures[0].stat().st_size))
    if away == "a file":
        pictures[0].unlink()
    else:
        (folder / "pictures/000").rename(folder / "elsewhere")
    opened = Path.open

    def refuse(path, *arguments, **options):
        if path == stranger:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)  # root could read it
    report = await run()

    assert report.stopped_by is None
    assert report.status.missing == (away == "a file")


async def test_a_folder_that_was_removed_on_purpose_is_told_by_an_empty_one(
    run, pictures, folder, box
):
    shutil.rmtree(folder / "pictures/000")
    (folder / "pictures/000").mkdir()
    report = await run()

    assert (report.moved, report.status.missing) == ({}, 3)
    assert (await run([*PROMPTS, "one more"])).moved == {State.SAVED: 1}
    assert box.bill.total == 4


async def test_a_folder_that_was_renamed_within_the_job_is_found(
    run, pictures, folder, box
):
    (folder / "pictures/000").rename(folder / "the best")
    report = await run()

    assert (report.moved, report.status.missing) == ({}, 0)
    assert {one.path.split("/")[0] for one in await records(folder)} == {"the best"}


async def test_an_edited_picture_is_kept_and_counted(run, pictures, folder, box):
    edited = with_a_text_chunk(pictures[0].read_bytes())
    pictures[0].write_bytes(edited)
    report = await run()

    assert (report.moved, report.status.changed) == ({}, 1)
    assert pictures[0].read_bytes() == edited
    assert await damages(folder) == [(1, "changed")]
    assert (await run()).status.changed == 1


async def test_a_picture_that_is_as_it_was_again_is_not_changed_any_more(run, pictures):
    before = pictures[0].read_bytes()
    pictures[0].write_bytes(with_a_text_chunk(before))
    assert (await run()).status.changed == 1
    pictures[0].write_bytes(before)

    assert (await run()).status.changed == 0


@pytest.mark.parametrize("length", [0, 20, 200])
async def test_a_file_that_was_cut_off_is_fetched_again_under_its_name(
    run, pictures, folder, box, length
):
    pictures[0].write_bytes(pictures[0].read_bytes()[:length])
    assert await damages(folder) == [(1, "damaged")]
    report = await run()

    assert report.moved == {State.SAVED: 1}
    assert files(folder) == [path.name for path in pictures]
    assert await damages(folder) == []
    assert box.bill.total == 3


async def test_a_file_that_lost_its_end_to_zeros_is_fetched_again(
    run, pictures, folder
):
    whole = pictures[0].read_bytes()
    pictures[0].write_bytes(whole[:100] + bytes(50))
    await run()

    assert pictures[0].read_bytes() == whole


@pytest.mark.parametrize(
    ("text", "moved"), [(b"notes", {State.SAVED: 1}), (b"notes " * 10_000, {})]
)
async def test_a_persons_own_file_in_a_pictures_place_is_never_overwritten(
    *, run, pictures, box, text, moved
):
    """What is shorter may be ours and cut off, so the picture comes back beside it."""
    pictures[0].write_bytes(text)
    report = await run()

    assert pictures[0].read_bytes() == text
    assert report.moved == moved
    assert report.status.changed == (not moved)
    assert box.bill.total == 3


async def test_a_name_that_somebody_has_taken_is_left_to_him(folder, box, session):
    """The first run makes the picture, the second job would give it the same name."""
    async with ImageJob.open(folder, name="{slug}") as job:
        await job.take(PROMPTS)
        mine = folder / "pictures/000/a-fox.png"
        mine.parent.mkdir()
        mine.write_bytes(b"my own")
        await job.run(session)

    assert mine.read_bytes() == b"my own"
    assert len(files(folder)) == 4


async def test_a_name_that_a_removed_picture_had_is_not_given_away(
    run, folder, box, session
):
    async with ImageJob.open(folder, name="{model}") as job:
        await job.run(session, ["a fox"])
        (first,) = files(folder)
        (folder / "pictures/000" / first).unlink()
        report = await job.run(session, ["a fox", "a bear"])

    assert (report.status.saved, report.status.missing) == (2, 1)
    assert files(folder) != [first]


async def test_a_shard_that_cannot_be_read_is_a_damage_of_each_file(
    run, pictures, folder
):
    shutil.rmtree(folder / "pictures/000")
    (folder / "pictures/000").touch()

    async with ImageJob.open(folder, read_only=True) as job:
        reasons = [damage.reason async for damage in job.verify()]
    assert reasons == ["cannot be read: Not a directory"] * 3


async def test_a_job_that_is_stopped_looks_for_no_file(run, pictures, folder, session):
    pictures[0].unlink()
    async with ImageJob.open(folder) as job:
        job.stop()
        stopped = await job.run(session)

    assert (stopped.moved, stopped.status.missing) == ({}, 0)


async def test_a_folder_that_was_removed_long_ago_is_not_asked_about_again(
    run, pictures, folder, box
):
    shutil.rmtree(folder / "pictures/000")
    (folder / "pictures/000").mkdir()
    await run()
    (folder / "pictures/000").rmdir()

    assert (await run([*PROMPTS, "one more"])).moved == {State.SAVED: 1}


async def test_what_the_journal_cannot_note_of_the_files_stops_the_run(
    run, pictures, journal, box
):
    pictures[0].unlink()
    full = "BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
    journal(f"CREATE TRIGGER full BEFORE UPDATE ON pictures {full}")

    report = await run()
    assert isinstance(report.stopped_by, DiskError)
    assert report.moved == {}

    journal("DROP TRIGGER full")
    assert (await run()).status.missing == 1


async def test_of_two_payments_the_link_that_lives_is_found(
    run, folder, box, session, journal
):
    """The first payment's link is dead for ever, the second's works."""
    box.next(prompt="a fox", action="expired_picture", fetches=99)
    await run(["a fox"])
    await run(["a fox"])
    box.clear_faults()
    response = await session.generate("a fox")
    answer = '{"data": [{"url": "https://127.0.0.1:1/x"}, {"url": "%s"}]}'
    async with ImageJob.open(folder) as job:
        await left_behind(job, 1, (200, (answer % response.url).encode()), again=True)
    journal(
        "UPDATE attempts SET body=CAST('<html>' AS BLOB) WHERE rowid="
        "(SELECT min(rowid) FROM attempts)"
    )
    report = await run(["a fox"])

    assert (report.status.saved, report.status.billed) == (1, 2)
    assert box.bill.total == 2
