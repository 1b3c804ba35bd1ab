"""The folder of a job: whose it is, what it holds, and what does not belong."""

import shutil
import sqlite3

import pytest
from support.jobs import PROMPTS, files, looking
from support.keys import KEY

from zai_images import (
    ImageRequest,
)
from zai_images.jobs import (
    DiskError,
    ImageJob,
    JobError,
)
from zai_images.jobs._folder import JobFolder


async def test_one_process_at_a_time(folder):
    async with ImageJob.open(folder) as job:
        with pytest.raises(JobError, match="Another process is at work"):
            async with ImageJob.open(folder):
                pass
        async with looking(folder) as other:  # looking is always possible
            assert (await other.status()).total == 0
        with pytest.raises(JobError, match="open already"):
            await job.__aenter__()


async def test_a_strangers_folder_is_left_alone(folder):
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(JobError, match="no job's folder"):
        async with ImageJob.open(folder):
            pass

    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


async def test_pictures_without_a_journal_are_left_alone(folder):
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "mine.png").touch()
    with pytest.raises(JobError, match="and holds 'pictures'"):
        async with ImageJob.open(folder):
            pass


def test_what_is_gone_has_no_files_and_what_cannot_be_listed_is_told(tmp_path):
    (tmp_path / "file").touch()

    assert list(JobFolder(tmp_path / "gone").other_files(0)) == []
    with pytest.raises(NotADirectoryError):
        list(JobFolder(tmp_path / "file").other_files(0))


async def test_a_folder_that_was_half_made_is_taken_up(folder, run):
    (folder / "pictures").mkdir(parents=True)
    (folder / "job.sqlite").touch()

    assert (await run()).status.saved == 3


async def test_of_a_journal_that_was_cut_off_as_it_was_made_it_is_said(folder):
    folder.mkdir()
    (folder / "job.sqlite").touch()

    with pytest.raises(JobError, match="holds no job yet; run the batch again"):
        async with looking(folder):
            pass


async def test_a_job_stays_where_it_was_opened(box, session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    async with ImageJob.open("job") as job:
        monkeypatch.chdir(tmp_path / "elsewhere")
        await job.run(session, PROMPTS)

    assert len(files(tmp_path / "job")) == 3
    assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_a_strangers_file_among_the_pictures_is_in_nobodys_way(run, folder):
    await run()
    (folder / "pictures/.DS_Store").touch()

    assert (await run()).stopped_by is None


async def test_what_was_left_half_written_is_removed(run, folder):
    await run()
    stale = folder / "pictures/000/.000001-a-fox.abc.part"
    stale.write_bytes(b"half")
    await run()

    assert not stale.exists()


async def test_everything_is_readable_by_its_owner_only(run, folder):
    import os

    before = os.umask(0)
    try:
        await run()
    finally:
        os.umask(before)

    modes = {
        path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()
    }
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    assert modes == {0o600}
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


async def test_the_key_is_in_no_file_even_where_the_service_quotes_it(run, box, folder):
    quoting = b'{"created": 1, "data": [], "note": "you sent %b"}' % KEY.encode()
    box.next(prompt="a bear", action="empty", body=quoting)
    await run()

    written = b"".join(
        path.read_bytes() for path in folder.rglob("*") if path.is_file()
    )
    assert b"you sent ***" in written
    assert KEY.encode() not in written


async def test_names_follow_the_template_and_never_collide(folder, session):
    async with ImageJob.open(folder, name="{id}") as job:
        await job.run(
            session, [ImageRequest("a", id="same!"), ImageRequest("b", id="same?")]
        )

    first, second = files(folder)
    assert {first, second} & {"same.png"}
    assert first != second


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b"not a database" * 100), "damaged"),
        (lambda path: sqlite3.connect(path).execute("PRAGMA user_version=99"), "newer"),
        (lambda path: sqlite3.connect(path).execute("CREATE TABLE t (a)"), "not the"),
    ],
)
async def test_what_is_no_journal_is_refused_in_words(spoil, words, folder):
    folder.mkdir()
    (made := spoil(folder / "job.sqlite")) and hasattr(made, "connection") and (
        made.connection.close()
    )
    with pytest.raises(JobError, match=words):
        async with ImageJob.open(folder):
            pass


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_journal_of_an_earlier_version_is_refused_with_the_way_out(
    run, folder, box, journal, read_only
):
    await run()
    journal("PRAGMA user_version=2")

    with pytest.raises(JobError, match=r"earlier version.*Nothing was sent.*another f"):
        async with ImageJob.open(folder, read_only=read_only):
            pass
    assert box.bill.requests == 3


async def test_a_damaged_journal_sends_nothing_and_its_advice_loses_no_picture(
    run, folder, box
):
    await run()
    copy = shutil.copytree(folder, folder.with_name("copy"))
    await run([*PROMPTS, "one more"])
    # The first page holds the header and the names of the tables.
    with (folder / "job.sqlite").open("r+b") as journal:
        length = journal.seek(0, 2)
        journal.seek(4096)
        journal.write(b"\xff" * (length - 4096))

    with pytest.raises(DiskError, match="The journal is damaged") as caught:
        await run([*PROMPTS, "one more"])
    assert box.bill.total == 4
    assert "put an earlier copy of the folder in its place" in str(caught.value)

    renamed = folder.rename(folder.with_name("renamed"))
    copy.rename(folder)
    report = await run([*PROMPTS, "one more"])
    assert report.status.saved == 4
    assert box.bill.total == 5, "what was made since the copy, as it was told"
    assert len(files(renamed)) == 4


async def test_a_journal_of_somebody_else_is_used_where_he_lets_us(
    run, folder, monkeypatch
):
    await run()

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.fchmod", refuse)  # root could, and there is no other user

    assert (await run()).status.saved == 3
