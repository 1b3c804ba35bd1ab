"""File names from strangers' texts, and the files that stand in the way of ours."""

import asyncio
import errno
import os

import pytest
from support.hostile_names import NAMES, complaints
from support.pictures import picture

from zai_images._picture.files import numbered, write_new
from zai_images._picture.picture import inspect
from zai_images.jobs import DiskError, ImageJob
from zai_images.jobs._names import LONGEST, slug

pytestmark = pytest.mark.tried("file names")
PICTURE = inspect(picture())
VICTIM = b"somebody's own\n"


@pytest.mark.parametrize("text", [pytest.param(t, id=f) for f, t in NAMES])
async def test_a_prompt_makes_a_harmless_name(text, tmp_path):
    name = slug(text)
    await PICTURE.save(tmp_path / f"{name}.png")

    assert complaints(name) == []
    assert len(name) <= LONGEST + len("picture-")
    assert os.listdir(tmp_path) == [f"{name}.png"]
    assert slug(name) == name


@pytest.fixture
def victim(tmp_path):
    victim = tmp_path / "elsewhere" / "victim"
    victim.parent.mkdir()
    victim.write_bytes(VICTIM)
    return victim


def a_symlink(target, victim):
    target.symlink_to(victim)


def a_symlink_to_nothing(target, victim):
    target.symlink_to(victim.with_name("nothing"))


def a_symlink_to_itself(target, victim):
    target.symlink_to(target)


def a_symlink_to_a_folder(target, victim):
    target.symlink_to(victim.parent)


def a_hard_link(target, victim):
    target.hardlink_to(victim)


def a_pipe(target, victim):
    os.mkfifo(target)


def a_file_nobody_may_write(target, victim):
    target.write_bytes(b"")
    target.chmod(0o444)


def a_file_everybody_may_read(target, victim):
    target.write_bytes(b"")
    target.chmod(0o666)


def a_device(target, victim):
    target.symlink_to("/dev/full")


IN_THE_WAY = [
    a_symlink,
    a_symlink_to_nothing,
    a_symlink_to_itself,
    a_symlink_to_a_folder,
    a_hard_link,
    a_pipe,
    a_file_nobody_may_write,
    a_file_everybody_may_read,
    a_device,
]


@pytest.mark.parametrize("put", IN_THE_WAY)
async def test_a_saved_picture_replaces_what_is_there_and_follows_nothing(
    put, tmp_path, victim
):
    target = tmp_path / "fox.png"
    put(target, victim)
    await PICTURE.save(target)

    assert not target.is_symlink()
    assert target.read_bytes() == PICTURE.data
    assert target.stat().st_mode & 0o777 == 0o600
    assert os.listdir(victim.parent) == ["victim"]
    assert victim.read_bytes() == VICTIM


@pytest.mark.parametrize("put", IN_THE_WAY)
def test_a_name_of_our_choice_is_one_that_nothing_has(put, tmp_path, victim):
    target = tmp_path / "fox.png"
    put(target, victim)
    before = target.lstat()
    path = write_new(numbered(tmp_path / "fox", ".png"), PICTURE.data)

    assert path == tmp_path / "fox-2.png"
    assert path.read_bytes() == PICTURE.data
    assert target.lstat() == before
    assert victim.read_bytes() == VICTIM


async def test_of_two_that_choose_at_once_neither_loses_its_picture(tmp_path):
    async def one(number):
        return await asyncio.to_thread(
            write_new, numbered(tmp_path / "fox", ".png"), b"%d" % number
        )

    paths = await asyncio.gather(*map(one, range(20)))

    assert len(set(paths)) == 20
    assert {path.read_bytes() for path in paths} == {b"%d" % n for n in range(20)}
    assert len(os.listdir(tmp_path)) == 20


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_a_disk_without_hard_links_will_do(error, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(error, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "fox.png").write_bytes(VICTIM)
    path = write_new(numbered(tmp_path / "fox", ".png"), PICTURE.data)

    assert path.name == "fox-2.png"
    assert path.read_bytes() == PICTURE.data
    assert (tmp_path / "fox.png").read_bytes() == VICTIM
    assert len(os.listdir(tmp_path)) == 2


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        write_new(numbered(tmp_path / "fox", ".png"), PICTURE.data)

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "error"),
    [
        pytest.param("x" * 256, OSError, id="one byte too long"),
        pytest.param("é" * 128, OSError, id="too long in bytes only"),
        pytest.param("a\0b", ValueError, id="an end of text"),
        pytest.param("no-folder/fox.png", OSError, id="a folder that is not there"),
        pytest.param("file/fox.png", OSError, id="a file for a folder"),
        pytest.param("folder", OSError, id="a folder in its place"),
        pytest.param("..", OSError, id="the folder above"),
        pytest.param("loop/fox.png", OSError, id="a folder that leads to itself"),
    ],
)
async def test_a_path_that_cannot_be_is_an_error_and_leaves_nothing(
    name, error, tmp_path
):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(error):
        await PICTURE.save(tmp_path / name)

    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("name", ["job.sqlite", ".reserve", ".lock"])
async def test_a_job_writes_through_no_link(name, tmp_path, victim):
    """A folder that others may write to may hold anything."""
    out = tmp_path / "out"
    async with ImageJob.open(out):
        pass
    (out / name).unlink()
    (out / name).symlink_to(victim)
    with pytest.raises(DiskError):
        async with ImageJob.open(out):
            pass

    assert victim.read_bytes() == VICTIM
