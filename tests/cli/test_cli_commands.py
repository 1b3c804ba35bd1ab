"""The command line: generate, sandbox, doctor, and how every command ends."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from PIL import Image
from support.keys import KEY

import zai_images
from zai_images import AccountError, BudgetError, ConfigurationError, ServerError
from zai_images.cli import main
from zai_images.cli._doctor.paid_checks import _many_at_once
from zai_images.cli._exit import NoKeyError, UsageError, exit_code
from zai_images.cli._text import dollars, duration, shown
from zai_images.jobs import DiskError, JobError, slug
from zai_images.sandbox import Sandbox
from zai_images.sandbox._endpoint import Service


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
    ("arguments", "code", "words"),
    [
        (["generate", " "], 2, "prompt: is empty"),
        (["generate", "x", "--quality", "best"], 2, "'standard' or 'hd'"),
        (["generate", "x", "-o", "no/where.png"], 2, "there is no folder no"),
        (["generate", "x", "-o", "."], 2, "name a file"),
        (["generate", "x", "-o", "-"], 2, "-o requires an argument"),
        (["generate", "x", "--colour"], 2, "--colour"),
        (["generate"], 2, "PROMPT"),
        (["generate", "a", "red", "fox"], 2, 'quotes: zai-images generate "a red'),
        (["generate", "-5 degrees"], 2, '-- "-5 degrees outside"'),
        (["generate", "-snow"], 2, "begins with a dash, put --"),
        (["generate", "--", "x", "--sandbox"], 2, "options before that"),
        (["generate", "x", "--size"], 2, "Try: zai-images generate --help"),
        (["doctor", "x"], 2, "no use for: x\nTry: zai-images doctor --help"),
        (["genrate", "x"], 2, "generate"),
        (["genrate", "x"], 2, "Try: zai-images --help"),
        (["generate", "x"], 3, "ZAI_API_KEY"),
        (["sandbox", "--speed", "0"], 2, "--speed"),
    ],
)
async def test_a_fault_of_the_caller_is_a_sentence(cli, arguments, code, words):
    ran = await cli(*arguments)

    assert (ran.code, ran.out) == (code, "")
    assert words in ran.err
    assert "Traceback" not in ran.err


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


async def test_help_and_version_are_data(cli):
    assert (await cli("--version")).out.strip() == zai_images.__version__
    helped = await cli("--help")
    assert (helped.code, helped.err) == (0, "")
    for command in (
        *("generate", "batch", "plan", "status", "retry", "export", "verify"),
        *("sandbox", "doctor", "130/143"),
    ):
        assert command in helped.out
    assert (await cli()).out == helped.out


def python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        **options,
    )


def test_ctrl_c_says_whether_the_picture_may_be_billed(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    charge = Service._charge

    def charge_and_interrupt(*arguments):
        charge(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Service, "_charge", charge_and_interrupt)

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


def test_ctrl_c_while_it_starts_shows_no_traceback(monkeypatch, capsys):
    class Interrupted:
        def find_spec(self, name, *_):
            if name == "zai_images.cli._app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "zai_images.cli._app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])

    assert main(["--version"]) == 130
    assert capsys.readouterr().err == ""


def test_it_runs_as_a_module_too():
    ran = subprocess.run(
        [sys.executable, "-m", "zai_images", "--version"],
        capture_output=True,
        check=True,
        text=True,
    )

    assert ran.stdout.strip() == zai_images.__version__


def test_a_missing_package_of_the_extra_is_a_sentence(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "zai_images.cli._app", raising=False)
    monkeypatch.setitem(sys.modules, "cyclopts", None)

    assert main([]) == 2
    assert "needs its extra" in capsys.readouterr().err


def test_any_other_missing_package_is_not_hidden(monkeypatch):
    monkeypatch.setitem(sys.modules, "zai_images.cli._app", None)

    with pytest.raises(ModuleNotFoundError):
        main([])


def test_without_its_extra_the_command_line_says_so():
    code = (
        "import sys; sys.modules['cyclopts'] = None\n"
        "from zai_images.cli import main; sys.exit(main(['--version']))"
    )
    ran = python("-c", code)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "The command line needs its extra: pip install 'zai-images[cli]'\n"
    )


def test_a_reader_that_goes_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-m", "zai_images", "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        timeout=30,
    )
    os.close(writing)

    assert ran.stderr == b""


async def test_the_sandbox_says_what_a_client_needs_and_ends_with_ctrl_c():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "zai_images", "sandbox", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said = (await process.stdout.readuntil(b"curl ")).decode()
    found = re.search(r"export ZAI_BASE_URL=(\S+) ZAI_API_KEY=(\S+)\n", said)
    async with zai_images.ImageSession(base_url=found[1], api_key=found[2]) as session:
        picture = await session.generate_picture("a fox")
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()

    assert picture.width == 1024
    assert process.returncode == 0
    assert b"1 picture made, nothing paid" in err


async def test_the_sandbox_takes_another_port_when_the_usual_one_is_taken(
    cli, monkeypatch
):
    async with Sandbox() as other:
        taken = int(other.base_url.split(":")[2].split("/")[0])
        monkeypatch.setattr("zai_images.cli._commands.sandbox.USUAL_PORT", taken)
        monkeypatch.setattr(asyncio.Event, "wait", lambda _: asyncio.sleep(0))

        ran = await cli("sandbox", "--json")
        refused = await cli("sandbox", "--port", str(taken))

    assert ran.code == 0
    assert json.loads(ran.out)["base_url"] != other.base_url
    assert refused.code == 2
    assert f"--port {taken} cannot be used" in refused.err


def checks(ran):
    return {one["name"]: one for one in json.loads(ran.out)["checks"]}


async def test_doctor_finds_nothing_wrong_for_free(cli, service):
    ran = await cli("doctor")

    assert ran.code == 0
    assert [line.split()[:2] for line in ran.out.splitlines() if line[0] != " "] == [
        ["ok", "key"],
        ["ok", "address"],
        ["ok", "service"],
    ]
    assert "--live does" in ran.out
    assert (service.requests, service.bill.total) == (1, 0)


async def test_doctor_needs_a_key(cli):
    ran = await cli("doctor", "--json")

    assert ran.code == 3
    assert json.loads(ran.out)["ok"] is False
    assert "not set" in checks(ran)["key"]["detail"]
    assert checks(ran)["address"]["status"] == "ok"


@pytest.mark.parametrize(
    ("key", "url", "name", "code", "words"),
    [
        ("a b", None, "key", 3, "character"),
        (KEY, "ftp://x", "address", 1, "not an http"),
        (KEY, "http://127.0.0.1:9/x", "address", 1, "end in /paas/v4"),
        (KEY, "http://127.0.0.1:9/api/coding/paas/v4", "address", 1, "coding plan"),
        (KEY, "http://127.0.0.1:9/api/paas/v4", "service", 1, "No connection"),
    ],
)
async def test_doctor_explains_what_is_wrong_here(
    *, cli, monkeypatch, key, url, name, code, words
):
    monkeypatch.setenv("ZAI_API_KEY", key)
    if url:
        monkeypatch.setenv("ZAI_BASE_URL", url)

    ran = await cli("doctor", "--json")

    assert ran.code == code
    assert checks(ran)[name]["status"] == "problem"
    assert words in checks(ran)[name]["detail"] + checks(ran)[name]["advice"]


# What a gateway answers to the empty prompt in place of a refusal.
@pytest.mark.parametrize(
    ("status", "body", "code", "verdict", "words"),
    [
        (429, b'{"error":{"code":"1113","message":"x"}}', 3, "problem", "Top up"),
        (401, b'{"error":{"code":"1000","message":"x"}}', 3, "problem", "the key"),
        (429, b'{"error":{"code":"1308","message":"x"}}', 3, "problem", "cap"),
        (429, b'{"error":{"code":"1302","message":"x"}}', 0, "note", "is busy"),
        (400, b'{"error":{"code":"1301","message":"x"}}', 0, "ok", "took the key"),
        (400, b'{"error":{"code":"1222","message":"x"}}', 1, "problem", "base URL"),
        (500, b'{"error":{"code":"1234","message":"x"}}', 1, "problem", "1234"),
        (404, b"<html>", 1, "problem", "base URL"),
        (
            200,
            b'{"created":1,"data":[{"url":"https://example.com/x"}]}',
            0,
            "note",
            "a picture",
        ),
    ],
)
async def test_doctor_explains_what_the_service_says(
    *, cli, service, monkeypatch, status, body, code, verdict, words
):
    async def handle(self, request):
        return aiohttp.web.Response(
            status=status, body=body, content_type="application/json"
        )

    monkeypatch.setattr("zai_images.sandbox._endpoint.Service.handle", handle)
    async with Sandbox(api_key=KEY) as odd:
        monkeypatch.setenv("ZAI_BASE_URL", odd.base_url)
        ran = await cli("doctor", "--json")

    assert ran.code == code
    found = checks(ran)["service"]
    assert found["status"] == verdict
    assert words in found["detail"] + found["advice"]


async def test_doctor_tries_everything_in_the_sandbox(cli):
    ran = await cli("doctor", "--sandbox", "--live", "--json")

    assert ran.code == 0
    found = checks(ran)
    assert found["download"]["data"]["size"] == "1024x1024"
    assert found["link"]["data"]["host"] == "127.0.0.1"
    assert found["places"]["data"]["taken"] == 5
    assert found["places"]["data"]["refused"] == 3
    assert found["places"]["data"]["codes"] == ["1302"]
    assert found["places"]["data"]["free_again"] is True
    assert found["cost"]["data"] == {"pictures": 7, "dollars": 0.07}


async def test_doctor_keeps_within_its_cap(cli):
    ran = await cli("doctor", "--sandbox", "--live", "--json", "--max-cost", "0.03")
    assert checks(ran)["cost"]["data"]["pictures"] == 1
    assert "larger --max-cost" in checks(ran)["places"]["detail"]

    ran = await cli("doctor", "--sandbox", "--live", "--json", "--max-cost", "0.001")
    assert "more than --max-cost" in checks(ran)["live"]["detail"]


async def test_doctor_spends_nothing_where_the_price_is_unknown(cli, service):
    ran = await cli("doctor", "--live", "--json")

    assert ran.code == 0
    assert "price" in checks(ran)["live"]["detail"]
    assert service.bill.total == 0


async def test_doctor_tells_an_empty_balance_by_the_live_check(
    cli, service, monkeypatch
):
    monkeypatch.setattr(zai_images.SessionConfig, "price_of", lambda *_: 0.01)
    service.next(code="1113")

    ran = await cli("doctor", "--live", "--json")

    assert ran.code == 3
    assert "no balance" in checks(ran)["live"]["detail"]
    assert "--live does" not in ran.out
    assert checks(ran)["cost"]["data"]["pictures"] == 0


async def test_doctor_says_when_no_refusal_was_seen(cli, service, monkeypatch):
    monkeypatch.setattr(zai_images.SessionConfig, "price_of", lambda *_: 0.01)

    ran = await cli("doctor", "--live")

    assert "8 at once were all taken; no refusal was seen" in ran.out
    assert service.bill.total == 9


async def test_doctor_goes_on_with_the_paid_checks_while_the_service_is_busy(
    cli, service, monkeypatch
):
    async def handle(self, request):
        refusal = {"error": {"code": "1302", "message": "x"}}
        return aiohttp.web.json_response(refusal, status=429)

    monkeypatch.setattr(Service, "handle", handle)
    async with Sandbox(api_key=KEY) as busy:
        monkeypatch.setenv("ZAI_BASE_URL", busy.base_url)
        ran = await cli("doctor", "--live", "--json")

    assert checks(ran)["service"]["status"] == "note"
    assert checks(ran)["service"]["advice"]
    assert "price" in checks(ran)["live"]["detail"]


async def test_doctor_asks_no_more_where_all_are_refused(service):
    service.next(code="1302", times=2)
    config = zai_images.SessionConfig.from_env()

    found, billed = await _many_at_once(config, 2)

    assert (found.data["refused"], found.data["free_again"], billed) == (2, None, 0)
    assert service.requests == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (ConfigurationError("x"), 2),
        (NoKeyError(), 3),
        (AccountError("x"), 3),
        (JobError("x"), 2),
        (DiskError("x"), 4),
        (PermissionError("x"), 4),
        (BudgetError("x"), 5),
        (ServerError("x"), 1),
        (ValueError("x"), 1),
    ],
)
def test_one_table_says_how_an_error_ends_a_command(error, code):
    assert exit_code(error) == code


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


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (42.4, "42 s"), (185, "3 min 05 s"), (7900, "2 h 11 min")],
)
def test_durations_are_written_as_people_do(seconds, words):
    assert duration(seconds) == words


def test_sums_have_a_third_digit_where_it_counts():
    assert [dollars(one) for one in (0.24, 0.015, 12, 0)] == [
        "$0.24",
        "$0.015",
        "$12.00",
        "$0.00",
    ]


def test_a_strangers_text_is_made_fit_for_a_terminal():
    assert shown("a\x1b[31m\n b", 50) == "a�[31m b"
    assert shown("x" * 60, 10) == "x" * 9 + "…"
