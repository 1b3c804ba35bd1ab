"""
The vendor's SDK and OpenAI's client at the sandbox, beside ours.

They are judges of the sandbox, for it must look to them as the service does; and what
each makes of the same trouble is told in docs/peers.md, whose table is the expectation.
"""

import re
from pathlib import Path

import openai
import pytest
import zai
import zai.core
from support.threads import in_thread

from zai_images import ImageSession, ZaiImagesError
from zai_images.sandbox import Sandbox

MODEL = "cogview-4-250304"
PROMPT = "a fox in the snow"
FIELDS = {"size": "1440x720", "quality": "hd"}
SENT = {"model": MODEL, "prompt": PROMPT, **FIELDS, "user_id": "user-7"}
PAGE = (Path(__file__).parents[2] / "docs" / "peers.md").read_text()

ALWAYS = {"times": None}
LOST = {"billed": True, **ALWAYS}
FAULTS = {
    "makes the picture": {"action": "picture"},
    "400, 1214: a field is invalid": {"code": "1214", **ALWAYS},
    "400, 1301: the prompt is refused": {"code": "1301", **ALWAYS},
    "401, 1001: no key": {"code": "1001", **ALWAYS},
    "403, 1220: not permitted": {"code": "1220", **ALWAYS},
    "429, 1113: the balance is empty": {"code": "1113", **ALWAYS},
    "429, 1302: no free place, 5 times": {"code": "1302", "times": 5},
    "200, 1302: the same under HTTP 200, once": {"code": "1302", "status": 200},
    "500, 1234: it failed, once": {"code": "1234"},
    "500, 1234: it failed": {"code": "1234", **ALWAYS},
    "makes the picture, and the gateway answers 504": {
        "action": "html",
        "status": 504,
        **LOST,
    },
    "makes the picture, and the connection breaks": {"action": "reset", **LOST},
    "makes the picture, and half of the answer comes": {"action": "truncate", **LOST},
    "makes the picture after the client's time-out": {
        "action": "picture",
        "delay": 5000,
        **LOST,
    },
    "answers 200 without a picture": {"action": "empty", **LOST},
}


def told(trouble, client):
    """Read what the page says of a client in this trouble."""
    head, _, *rows = re.findall(r"^\|.*\|$", PAGE.split("## One call")[1], re.MULTILINE)
    column = [cell.strip(" `") for cell in head.split("|")].index(client)
    cells = {row.split("|")[1].strip(): row.split("|")[column] for row in rows}
    assert set(cells) == set(FAULTS)
    return cells[trouble].strip()


def seen(outcome, sandbox):
    """Say what happened in the words of the page."""
    if isinstance(outcome, Exception):
        outcome = f"`{type(outcome).__name__}`"
    return f"{outcome}, {sandbox.requests} sent, {sandbox.bill.total} paid"


def with_a_picture(response):
    has = response.data and response.data[0].url
    return "picture" if has else "no picture and no error"


@pytest.fixture
def in_another_thread():
    # 5,000 seconds of this sandbox are 5 of the vendor's client, which blocks.
    with in_thread(Sandbox(speed=1000, pictures="plain")) as running:
        yield running


@pytest.fixture
async def sandbox():
    async with Sandbox(pictures="plain") as running:
        yield running


@pytest.fixture
def vendor(in_another_thread, monkeypatch):
    """The vendor's client; how long it waits between its tries is not the question."""
    monkeypatch.setattr(
        zai.core.HttpClient, "_calculate_retry_timeout", lambda *_, **__: 0.0
    )
    with zai.ZaiClient(
        api_key=in_another_thread.api_key, base_url=in_another_thread.base_url
    ) as client:
        yield client


@pytest.fixture
async def openais(sandbox):
    async with openai.AsyncOpenAI(
        api_key=sandbox.api_key, base_url=sandbox.base_url
    ) as client:
        yield client


@pytest.fixture
async def ours(sandbox):
    async with ImageSession(
        api_key=sandbox.api_key, base_url=sandbox.base_url
    ) as session:
        yield session


def test_the_vendors_client_reads_what_we_read(vendor, in_another_thread):
    response = vendor.images.generations(
        model=MODEL, prompt=PROMPT, user_id="user-7", **FIELDS
    )

    [entry] = in_another_thread.bill.entries
    assert entry.body == SENT
    assert isinstance(response.created, int)
    assert entry.request_id in response.data[0].url
    assert response.model_extra["request_id"] == entry.request_id
    assert response.model_extra["content_filter"] == [{"role": "assistant", "level": 3}]


@pytest.mark.looptime
async def test_openais_client_reads_what_we_read(openais, sandbox):
    response = await openais.images.generate(
        model=MODEL, prompt=PROMPT, extra_body={"user_id": "user-7"}, **FIELDS
    )

    [entry] = sandbox.bill.entries
    assert entry.body == SENT
    assert isinstance(response.created, int)
    assert entry.request_id in response.data[0].url
    assert response.model_extra["request_id"] == entry.request_id
    assert response.model_extra["content_filter"] == [{"role": "assistant", "level": 3}]


@pytest.mark.looptime
async def test_we_read_the_same_with_types(ours, sandbox):
    response = await ours.generate(PROMPT, user_id="user-7", **FIELDS)

    [entry] = sandbox.bill.entries
    assert entry.body == SENT
    assert isinstance(response.created, int)
    assert entry.request_id in response.url
    assert response.request_id == entry.request_id
    assert [(one.role, one.level) for one in response.content_filter] == [
        ("assistant", 3)
    ]


@pytest.mark.tried("peers and we in the same trouble")
@pytest.mark.parametrize("trouble", FAULTS)
def test_what_the_vendors_client_makes_of_it(vendor, in_another_thread, trouble):
    in_another_thread.next(**FAULTS[trouble])
    late = trouble.endswith("time-out")
    try:
        response = vendor.images.generations(
            model=MODEL, prompt=PROMPT, timeout=0.5 if late else zai.core.NOT_GIVEN
        )
        outcome = with_a_picture(response)
    except zai.core.ZaiError as error:
        outcome = error

    assert seen(outcome, in_another_thread) == told(trouble, "zai-sdk")
    code = FAULTS[trouble].get("code")
    if isinstance(outcome, Exception) and code:
        assert f'"code":"{code}"' in str(outcome)
        assert not hasattr(outcome, "code")
    if "1301" in trouble:
        assert "contentFilter" in str(outcome)


@pytest.mark.looptime
@pytest.mark.tried("peers and we in the same trouble")
@pytest.mark.parametrize("trouble", FAULTS)
async def test_what_openais_client_makes_of_it(openais, sandbox, trouble):
    sandbox.next(**FAULTS[trouble])
    try:
        response = await openais.images.generate(model=MODEL, prompt=PROMPT)
        outcome = with_a_picture(response)
    except openai.APIError as error:
        outcome = error

    assert seen(outcome, sandbox) == told(trouble, "openai")
    if isinstance(outcome, Exception):
        assert outcome.code == FAULTS[trouble].get("code")
        assert "contentFilter" not in str(outcome.body)
    if "1301" in trouble:
        assert "contentFilter" in outcome.response.json()


@pytest.mark.looptime
@pytest.mark.tried("peers and we in the same trouble")
@pytest.mark.parametrize("trouble", FAULTS)
async def test_what_we_make_of_it(ours, sandbox, trouble):
    sandbox.next(**FAULTS[trouble])
    try:
        response = await ours.generate(PROMPT)
        outcome = "picture" if response.url else "no picture and no error"
    except ZaiImagesError as error:
        outcome = error

    assert seen(outcome, sandbox) == told(trouble, "zai_images")
    if isinstance(outcome, Exception):
        assert getattr(outcome, "code", None) == FAULTS[trouble].get("code")
        paid_perhaps = sandbox.bill.total or trouble.startswith("500")
        assert outcome.billed == ("maybe" if paid_perhaps else "no")
    if "1301" in trouble:
        assert [one.role for one in outcome.content_filter] == ["user"]
