"""A stranger's text on the way to a terminal, a log or a program: shown, not obeyed."""

import asyncio
import io
import json

import pytest
from rich.console import Console
from support.hostile_texts import TEXTS, alphanumeric, obeyed
from support.pictures import PictureHost
from support.strange import answering, refusal

from zai_images import ImageSession, RetryPolicy, SessionConfig, ZaiImagesError
from zai_images.cli._commands import generate as _generate
from zai_images.cli._output import Output
from zai_images.cli._text import whole_link

pytestmark = pytest.mark.tried("texts that a terminal would obey")
each_text = pytest.mark.parametrize("text", [pytest.param(t, id=f) for f, t in TEXTS])
# No prompt file and no argument may hold the end of a text.
each_prompt = pytest.mark.parametrize(
    "text", [pytest.param(t, id=f) for f, t in TEXTS if "\0" not in t]
)


@each_prompt
async def test_as_a_prompt_of_a_batch(text, cli, prompts, tmp_path):
    """The label of a failed one, and the records for programs, beside one message."""
    async with answering((400, refusal("1301", text))) as service:
        file = prompts(f"fox {text}")
        ran = await cli(service.base_url, "batch", file, "--out", "out")
        records = await cli(service.base_url, "batch", file, "--out", "out", "--json")

    assert ran.code == records.code == 1
    assert obeyed(ran.err) == []
    assert '1 "fox ' in ran.err
    assert obeyed(records.out) == []
    assert json.loads(records.out)["prompt"] == f"fox {text}"


@each_prompt
async def test_as_a_prompt_whose_answer_was_lost(text, cli, prompts, tmp_path):
    """It goes into the journal, and from there to whoever asks."""
    async with answering((502, text.encode())) as service:
        file = prompts(f"fox {text}")
        ran = await cli(service.base_url, "batch", file, "--out", "out")
        told = [
            await cli(service.base_url, "export", "out", "--format", one)
            for one in ("jsonl", "csv", "openai")
        ]
        told.append(await cli(service.base_url, "status", "out"))
        told.append(await cli(service.base_url, "verify", "out"))

    assert [one.code for one in told] == [0] * len(told)
    for one in (ran, *told):
        assert obeyed(one.out + one.err) == []
    assert json.loads(told[0].out)["body"]["prompt"] == f"fox {text}"


@each_text
async def test_as_the_words_of_the_service(text, cli):
    body = {"error": {"code": text, "message": text}, "request_id": text}
    async with answering((400, body)) as service:
        ran = await cli(service.base_url, "generate", "a fox")
        doctor = await cli(service.base_url, "doctor")
        record = await cli(service.base_url, "doctor", "--json")

    assert ran.code == doctor.code == 1
    assert alphanumeric(text) in ran.err
    assert obeyed(ran.out + ran.err + doctor.out + doctor.err + record.out) == []
    json.loads(record.out)


@each_text
async def test_as_a_page_that_is_no_answer(text, cli):
    async with answering((200, f"<html>{text}</html>".encode())) as service:
        ran = await cli(service.base_url, "generate", "a fox")

    assert ran.code == 1
    assert obeyed(ran.out + ran.err) == []


@each_text
async def test_as_a_link_that_is_shown_in_full(text, cli, monkeypatch):
    """It is paid, so it must lead there when it is copied."""
    monkeypatch.setattr("zai_images._session.retry.FRESH_LINK", 0.0)
    async with PictureHost() as host:
        url = f"ftp://127.0.0.1:{host.port}/fox/{text}"
        answer = {"created": 1, "data": [{"url": url}], "request_id": text}
        async with answering((200, answer)) as service:
            ran = await cli(service.base_url, "generate", "a fox")

    assert ran.code == 1
    assert obeyed(ran.err) == []
    assert whole_link(url) in ran.err


@each_text
async def test_in_errors_and_logs_of_the_library(text, caplog):
    caplog.set_level("DEBUG")
    answers = [
        (500, refusal("1234", text)),
        (200, {"created": 1, "data": [{"url": f"ftp://{text}/{text}"}]}),
    ]
    async with answering(*answers) as service:
        config = SessionConfig(
            api_key="k" * 20,
            base_url=service.base_url,
            retry=RetryPolicy(first_pause=0.0),
        )
        async with ImageSession(config) as session:
            with pytest.raises(ZaiImagesError) as caught:
                await session.generate_picture("a fox")

    assert service.posts == 2
    logged = "".join(
        record.getMessage() for record in caplog.records if record.name == "zai_images"
    )
    assert "Trying again" in logged
    assert obeyed(logged + str(caught.value) + caught.value.url) == []


@each_prompt
async def test_as_what_the_command_line_was_given(text, cli):
    ran = await cli(f"https://{text}", "generate", "a fox")
    unknown = await cli("https://x.example", "generate", "a fox", f"--{text}", text)
    missing = await cli("https://x.example", "batch", f"no{text}.txt", "--out", "out")

    assert ran.code == unknown.code == missing.code == 2
    for one in (ran, unknown, missing):
        assert obeyed(one.out + one.err) == []


@each_text
def test_on_a_terminal_beside_a_bar_and_while_waiting(text):
    """Rich sends commands of its own there, so the text goes to it alone."""
    talk = Output()
    stream = io.StringIO()
    talk.console = Console(file=stream, width=4000, highlight=False)
    talk.say(text)

    assert obeyed(stream.getvalue()) == []
    assert alphanumeric(text) in stream.getvalue()


@each_text
async def test_as_a_quality_that_is_shown_while_waiting(text, monkeypatch):
    """A model nobody knows takes any quality; on a terminal it is shown."""
    shown = []

    class Screen(io.StringIO):
        def isatty(self):
            return True

        def write(self, data):
            shown.append(data)
            return len(data)

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", Screen())
    quality = f"fox{text}"
    async with answering((400, refusal("1210", "no"))) as service:
        monkeypatch.setenv("ZAI_BASE_URL", service.base_url)
        monkeypatch.setenv("ZAI_API_KEY", "k" * 20)
        with pytest.raises(ZaiImagesError):
            await asyncio.to_thread(
                _generate.generate,
                "a fox",
                picture=_generate.PictureOptions(model="other", quality=quality),
            )

    # The rest is what Rich itself writes to turn its spinner.
    ours = "".join(shown)
    for command in ("\x1b]", "\x9b", "\x9d", "\a", "\x1bc", "\x1b[666", "\u202e", "\0"):
        assert command not in ours
