"""The program: its help, how it starts and how it ends."""

import os
import subprocess
import sys

import pytest

import zai_images
from zai_images import AccountError, BudgetError, ConfigurationError, ServerError
from zai_images.cli import main
from zai_images.cli._exit import NoKeyError, UsageError, exit_code
from zai_images.jobs import DiskError, JobError


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
