"""Files that appear whole, and are their owner's alone."""

import os
import stat
from pathlib import Path

import pytest

from zai_images._picture.files import (
    make_folder,
    numbered,
    opener,
    state_folder,
    write_atomically,
    write_new,
)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_written_beside_their_target(tmp_path: Path):
    """A rename across two file systems would not be atomic."""
    for name in ("x" * 200 + ".png", "\N{FOX FACE}" * 62 + ".png"):
        write_atomically(tmp_path / name, b"data")

        assert (tmp_path / name).read_bytes() == b"data"


def test_missing_folders_are_the_owners_alone_whatever_the_umask(tmp_path, umask):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    make_folder(shared / "a" / "b")
    make_folder(shared / "a" / "b")

    assert [mode(shared / "a"), mode(shared / "a" / "b")] == [0o700, 0o700]
    assert mode(shared) == 0o755  # what was there is left as it was


def test_a_file_is_the_owners_alone_whatever_the_umask(tmp_path, umask):
    os.close(opener(str(tmp_path / "opened"), os.O_WRONLY | os.O_CREAT))
    write_atomically(tmp_path / "written", b"data")
    new = write_new(numbered(tmp_path / "new", ".png"), b"data")

    modes = [mode(path) for path in (tmp_path / "opened", tmp_path / "written", new)]
    assert modes == [0o600] * 3


def test_a_folder_that_cannot_be_made_is_the_systems_error(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "file" / "folder")


def test_a_new_file_takes_a_free_name_and_the_place_of_none(tmp_path):
    found = [write_new(numbered(tmp_path / "fox", ".png"), b"%d" % n) for n in range(3)]

    names = [path.name for path in found]
    assert names == ["fox.png", "fox-2.png", "fox-3.png"]
    assert [path.read_bytes() for path in found] == [b"0", b"1", b"2"]
    assert sorted(tmp_path.iterdir()) == sorted(found)


@pytest.mark.parametrize("there", ["a symlink", "a longer file", "a folder"])
def test_what_is_no_beginning_of_ours_is_not_mended(tmp_path, there):
    target = tmp_path / "fox.png"
    if there == "a symlink":
        (tmp_path / "mine").write_bytes(b"da")
        target.symlink_to(tmp_path / "mine")
    elif there == "a folder":
        target.mkdir()
    else:
        target.write_bytes(b"data and more")
    data = b"data" * (10_000 if there == "a folder" else 1)
    found = write_new(numbered(tmp_path / "fox", ".png"), data, mend=True)

    assert found == tmp_path / "fox-2.png"
    assert target.is_symlink() == (there == "a symlink")


@pytest.mark.parametrize("begun", [b"", b"da", b"da\0\0", b"data"])
def test_what_was_cut_off_of_ours_is_mended(tmp_path, begun):
    (tmp_path / "fox.png").write_bytes(begun)

    assert write_new(numbered(tmp_path / "fox", ".png"), b"data", mend=True) == (
        tmp_path / "fox.png"
    )
    assert (tmp_path / "fox.png").read_bytes() == b"data"


def test_where_there_is_no_home_there_is_no_state(monkeypatch):
    def homeless():
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr("pathlib.Path.home", homeless)

    assert state_folder() is None
