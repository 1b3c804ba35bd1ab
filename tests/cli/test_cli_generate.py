"""One picture of one prompt, and its file."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from PIL import Image
from support.keys import KEY

from zai_images.cli import main
from zai_images.jobs import slug
from zai_images.sandbox._bill import Bill


def size(path):
    with Image.open(path) as picture:
        return picture.size


async def test_a_prompt_becomes_a_file_named_after_it(cli, service):
    ran = await cli("generate", "A fox: in the snow!", "--size", "720x1440")

    assert (ran.code, ran.out) == (0, "a-fox-in-the-snow.png\n")
    assert size("a-fox-in-the-snow.png") == (720, 1440)
    assert "720x1440 image/png" in ran.err


async def test_no_file_is_overwritten_that_was_not_named(cli, service):
    outs = [(await cli("generate", "a fox")).out for _ in range(3)]

    assert outs == ["a-fox.png\n", "a-fox-2.png\n", "a-fox-3.png\n"]


async def test_a_named_file_is_replaced_whatever_its_suffix(cli, service):
    Path("fox.jpg").write_text("old")

    ran = await cli("generate", "a fox", "-o", "fox.jpg")

    assert ran.out == "fox.jpg\n"
    assert size("fox.jpg") == (1024, 1024)
    assert "the picture is image/png, whatever the name says" in ran.err


async def test_every_option_reaches_the_service(cli, service):
    options = "--quality hd --size 512x512 --user-id user-77 --model CogView-4-250304"
    ran = await cli("generate", "a fox", *options.split(), "--json")

    (entry,) = service.bill.entries
    assert (entry.quality, entry.size, entry.user_id) == ("hd", "512x512", "user-77")
    record = json.loads(ran.out)
    assert record["status"] == "done"
    assert (record["path"], record["width"]) == ("a-fox.png", 512)
    assert record["seconds"] > 0


async def test_generate_needs_no_key_in_the_sandbox(cli):
    ran = await cli("generate", "a fox", "--sandbox")

    assert ran.code == 0
    assert "nothing is paid" in ran.err
    assert "$0.01 if it were real" in ran.err


@pytest.mark.parametrize(
    ("answer", "code"),
    [("1113", 3), ("1000", 3), ("1304", 3), ("1301", 1), ("1210", 1)],
)
async def test_an_answer_of_the_service_ends_generate_with_its_code(
    cli, service, answer, code
):
    service.next(code=answer)

    ran = await cli("generate", "a fox")

    assert (ran.code, ran.out) == (code, "")
    assert f"code {answer}" in ran.err


async def test_a_wrong_key_is_not_shown(cli, service, monkeypatch):
    monkeypatch.setenv("ZAI_API_KEY", KEY + "-wrong")

    assert (await cli("generate", "a fox")).code == 3


async def test_a_prompt_may_begin_with_a_dash(cli):
    ran = await cli("generate", "--sandbox", "--", "-5 degrees")

    assert (ran.code, ran.out) == (0, "5-degrees.png\n")


async def test_a_link_into_the_private_sandbox_is_not_promised(cli, monkeypatch):
    def write(target, data):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr("zai_images._picture.picture.write_atomically", write)

    ran = await cli("generate", "a fox", "--sandbox", "-o", "x.png")

    assert ran.code == 4
    assert "http" not in ran.err


async def test_a_base_url_that_is_none_is_bad_input(cli, monkeypatch):
    monkeypatch.setenv("ZAI_BASE_URL", "ftp://x")

    assert (await cli("generate", "a fox")).code == 2


async def test_a_picture_that_cannot_be_fetched_leaves_its_link(
    cli, service, monkeypatch
):
    monkeypatch.setattr("zai_images._session.retry.FRESH_LINK", 0.0)
    service.next(action="missing_picture")

    ran = await cli("generate", "a fox")

    assert ran.code == 1
    assert "could not be fetched: HTTP 404" in ran.err
    assert re.search(r"Its link, in full, is good until .* http://127", ran.err)
    assert "session." not in ran.err


async def test_a_picture_that_cannot_be_written_leaves_its_link(
    cli, service, monkeypatch
):
    def write(target, data):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr("zai_images._picture.picture.write_atomically", write)

    ran = await cli("generate", "a fox", "-o", "x.png")

    assert ran.code == 4
    assert "It is paid. Its link, in full" in ran.err
    assert "x.png: No space left on device" in ran.err


@pytest.mark.parametrize("options", [[], ["-o", "x.png"]])
async def test_a_folder_that_is_not_ours_is_found_before_paying(
    cli, service, monkeypatch, tmp_path, options
):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "tmpx7")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)

    ran = await cli("generate", "a fox", *options)

    assert (ran.code, service.requests) == (4, 0)
    assert f"{tmp_path}: Permission denied; nothing can be written there" in ran.err


async def test_waiting_is_shown_where_somebody_looks_on(cli, service, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")

    assert "making a picture" in (await cli("generate", "a fox")).err


def test_ctrl_c_says_whether_the_picture_may_be_billed(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    charge = Bill.add

    def charge_and_interrupt(*arguments):
        charge(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Bill, "add", charge_and_interrupt)

    assert main(["generate", "a fox", "--sandbox"]) == 130
    out, err = capsys.readouterr()
    assert (out, list(tmp_path.iterdir())) == ("", [])
    assert "it may be billed" in err


async def test_ctrl_c_before_anything_is_sent_is_quiet(cli, service, monkeypatch):
    def read(*_):
        raise KeyboardInterrupt

    Path("p.txt").write_text("a fox")
    monkeypatch.setattr("zai_images.cli._commands.batch.open_source", read)

    ran = await cli("batch", "p.txt", "--out", "out")

    assert (ran.code, ran.out, ran.err) == (130, "", "")


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("  A   Fox ", "a-fox"),
        ("../../etc/passwd", "etc-passwd"),
        ("a\0b\nc", "a-b-c"),
        ("…", "picture"),
        ("com1", "picture-com1"),
        ("x" * 200, "x" * 40),
        ("twenty letters " * 4, "twenty-letters-twenty-letters-twenty"),
        ("ten letters" + " is so ten" * 4, "ten-letters-is-so-ten-is-so-ten-is-so"),
        ("ﬁne Ⅷ", "fine-viii"),
        ("नमस्ते दुनिया", "नमस्ते-दुनिया"),
    ],
)
def test_a_slug_is_readable_and_safe(prompt, name):
    assert slug(prompt) == name
