"""Everything that is written is its owner's alone, even where the umask allows all."""

import os
from pathlib import Path

import pytest
from support.pictures import PictureHost, picture
from support.strange import answering, refusal

from zai_images import SessionConfig
from zai_images._picture.picture import inspect
from zai_images._session.stats import ModelStats, SessionStats
from zai_images.cli._known_limits import (
    limits_file,
    load_known_limits,
    save_known_limits,
)
from zai_images.jobs import ImageJob

pytestmark = pytest.mark.tried("files that others could read")


@pytest.fixture(autouse=True)
def _everything_is_allowed():
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    """Give what is allowed on each thing below a folder that is not ours alone."""
    return {
        str(path.relative_to(folder)): oct(path.lstat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.lstat().st_mode & 0o777 != (0o700 if path.is_dir() else 0o600)
    }


async def test_a_saved_picture(tmp_path):
    await inspect(picture()).save(tmp_path / "fox.png")

    assert modes(tmp_path) == {}
    assert os.listdir(tmp_path) == ["fox.png"]


@pytest.mark.parametrize("options", [[], ["-o", "x.png"]], ids=["named", "-o"])
async def test_generate(options, cli, tmp_path):
    async with PictureHost() as host:
        async with answering((200, {"data": [{"url": host.url}]})) as service:
            ran = await cli(service.base_url, "generate", "a fox", *options)

    assert ran.code == 0
    assert modes(tmp_path) == {}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("out", ["out", "deep/er/out"])
async def test_a_batch_with_everything_it_leaves(out, cli, prompts, tmp_path):
    """Pictures, the journal, the lock, the reserve, and the folders."""
    file = prompts("a fox", "a bear", "a cat")
    (tmp_path / file).chmod(0o600)
    async with PictureHost() as host:
        answers = [
            (200, {"data": [{"url": host.url}]}),
            (200, {"data": [{"url": "ftp://x.example/kept"}]}),
            (200, b"<html>lost</html>"),
        ]
        async with answering(*answers) as service:
            ran = await cli(
                service.base_url, "batch", file, "--out", out, "--limit", "1"
            )

    assert ran.code == 1
    assert {one.name for one in (tmp_path / out).iterdir()} == {
        ".lock",
        ".reserve",
        "job.sqlite",
        "pictures",
    }
    assert len(list((tmp_path / out).rglob("*.png"))) == 1
    assert modes(tmp_path) == {}


async def test_a_journal_that_others_could_read_becomes_its_owners(tmp_path):
    """A copy or an archive may have left it open."""
    async with ImageJob.open(tmp_path / "out"):
        pass
    (tmp_path / "out/job.sqlite").chmod(0o644)
    async with ImageJob.open(tmp_path / "out") as job:
        await job.take(["a fox"])

        assert modes(tmp_path) == {}


@pytest.mark.parametrize("deep", ["", "a/b/"], ids=["at once", "with folders above"])
def test_what_is_remembered_of_an_account(deep, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / deep / "state"))
    config = SessionConfig(api_key="sk-canary-key")
    model = ModelStats(in_flight=0, limit=7, limit_reason="refused", latency={})
    stats = SessionStats(
        models={"cogview-4-250304": model},
        refusals=0,
        retries=0,
        pictures=0,
        billed=0,
        maybe_billed=0,
        cost=None,
    )
    save_known_limits(config, stats)

    assert load_known_limits(config) == {"cogview-4-250304": 7}
    assert limits_file().exists()
    assert modes(tmp_path) == {}


async def test_nothing_is_left_in_the_folder_for_temporary_files(
    cli, monkeypatch, tmp_path, tmp_path_factory
):
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    seen = []
    import shutil

    copy = shutil.copyfileobj

    def watched(source, target):
        copy(source, target)
        target.flush()
        seen.append(modes(temporary))

    monkeypatch.setattr("shutil.copyfileobj", watched)
    os.mkfifo(tmp_path / "pipe.txt")

    import threading

    writer = threading.Thread(
        target=(tmp_path / "pipe.txt").write_text, args=("a fox",)
    )
    writer.start()
    async with answering((400, refusal("1301"))) as service:
        ran = await cli(service.base_url, "batch", "pipe.txt", "--out", "out")
    writer.join()

    assert ran.code == 1
    assert seen == [{}]
    assert list(temporary.iterdir()) == []
