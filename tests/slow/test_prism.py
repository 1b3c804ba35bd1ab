"""
The client through Prism's validating proxy, which knows the OpenAPI document alone.

Whatever the client sends goes client -> Prism -> sandbox, and each answer the same way
back; what breaks the document comes back as Prism's own error. The last two corpora
show that it does: requests and answers that break the document in one way each.
"""

from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from support import prism

from zai_images import (
    AccountError,
    APIError,
    AuthenticationError,
    BatchRunner,
    BusyError,
    ContentRefusedError,
    Done,
    ImageRequest,
    ImageSession,
    QuotaError,
    RequestRejectedError,
    RetryPolicy,
    ServerError,
    SessionConfig,
    sandbox as room,
)
from zai_images.sandbox import Sandbox

DOCUMENT = Path(room.__file__).with_name("openapi.json")

pytestmark = [
    pytest.mark.skipif(prism.missing() is not None, reason=str(prism.missing())),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(400),  # npm may have to fetch Prism first
]


@pytest.fixture(scope="module")
def installed():
    prism.install()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox():
    async with Sandbox(speed=1e6, pictures="plain") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(installed, sandbox):
    async with prism.proxy(DOCUMENT, sandbox.base_url) as running:
        yield running
    # What Prism only warns of, as a status that the document does not know, is in
    # no answer; nothing in this file but the last test does such a thing.
    assert running.warnings == []


@pytest_asyncio.fixture(loop_scope="module")
async def session(proxy, sandbox):
    config = SessionConfig(
        api_key=sandbox.api_key,
        base_url=proxy.base_url,
        retry=RetryPolicy(server_errors=0),
    )
    async with ImageSession(config) as session:
        yield session


@pytest_asyncio.fixture(loop_scope="module")
async def send(proxy, sandbox):
    """Send what the client would refuse to; the answer's status and parsed body."""

    async def send(body, **headers):
        headers = {
            "Authorization": f"Bearer {sandbox.api_key}",
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        headers = {name: value for name, value in headers.items() if value is not None}
        url = f"{proxy.base_url}/images/generations"
        async with http.post(url, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async with aiohttp.ClientSession() as http:
        yield send


SIZES = [
    *["1024x1024", "768x1344", "864x1152", "1344x768", "1152x864", "1440x720"],
    *["720x1440", "512x512", "2048x1024", "1024x2048", "1440x1440", "512x2048"],
]
PROMPTS = {
    "one-letter": "a",
    "astral": "🦊 in the 雪",
    "right-to-left": "ثعلب في الثلج",
    "lines": "a fox\r\n\tin the snow\n",
    "margins": "  a fox  ",
    "json": '{"prompt": "a \\"fox\\""} \\u0041',
    "control": "a\x00fox\x1b\x7f\x85",
    "separators": "a\u2028fox\u2029\ufeff",
    "combining": "e\u0301\u200d\u0308",
    "markup": "<b>a fox</b> & 'more' %41+%2B",
    "last-plane": "a \U0010ffff \ufffe",
    "long": "a fox in the snow, " * 5000,
}
LEGAL = {
    **{f"size {size}": ImageRequest("a fox", size=size) for size in SIZES},
    **{f"quality {one}": ImageRequest("a", quality=one) for one in ("hd", "standard")},
    **{f"prompt {name}": ImageRequest(text) for name, text in PROMPTS.items()},
    "user_id shortest": ImageRequest("a fox", user_id="user-7"),
    "user_id longest": ImageRequest("a fox", user_id="u" * 128),
    "user_id astral shortest": ImageRequest("a fox", user_id="🦊" * 6),
    "user_id astral longest": ImageRequest("a fox", user_id="🦊" * 128),
    "user_id spaces": ImageRequest("a fox", user_id=" " * 6),
    "model as the example has it": ImageRequest("a", model="cogView-4-250304"),
    "extra": ImageRequest("a", extra={"n": 1, "deep": [{"x": None, "y": 1.5e300}]}),
    "everything": ImageRequest(
        "a fox", size="1440x720", quality="hd", user_id="user-7", extra={"seed": 7}
    ),
}


@pytest.mark.tried("the client through Prism: legal requests")
@pytest.mark.parametrize("what", LEGAL)
async def test_each_legal_request_and_its_answer_keep_the_document(
    session, sandbox, what
):
    request = LEGAL[what]
    response = await session.generate(request)

    assert response.url
    assert response.content_filter
    body = sandbox.bill.entries[-1].body
    assert body["prompt"] == request.prompt
    assert set(body) == (
        {"model", "prompt", "quality", "size", *request.extra}
        | ({"user_id"} if request.user_id else set())
    )


@pytest.mark.tried("the client through Prism: legal requests")
async def test_a_batch_with_its_downloads_keeps_the_document(session, record_property):
    runner = BatchRunner(session, download=True)
    outcomes = await runner.run(f"fox number {n}" for n in range(40))

    assert all(isinstance(one, Done) and one.picture for one in outcomes)
    record_property("cases", len(outcomes))


ERRORS = [
    *[(RequestRejectedError, "1210"), (RequestRejectedError, "1261")],
    *[(ContentRefusedError, "1301"), (AuthenticationError, "1003")],
    *[(AccountError, "1220"), (AccountError, "1113"), (QuotaError, "1308")],
    *[(ServerError, "1234"), (ServerError, "1200")],
]


@pytest.mark.tried("the client through Prism: errors of the service")
@pytest.mark.parametrize(("kind", "code"), ERRORS)
async def test_each_error_of_the_service_keeps_the_document(
    session, sandbox, kind, code
):
    sandbox.next(code=code)
    with pytest.raises(APIError) as caught:
        await session.generate("a fox")

    assert (type(caught.value), caught.value.code) == (kind, code)


@pytest.mark.tried("the client through Prism: errors of the service")
async def test_a_full_house_keeps_the_document(session, sandbox, monkeypatch):
    monkeypatch.setattr(sandbox, "limit", 0)
    with pytest.raises(BusyError) as caught:
        await session.generate("a fox", max_wait=0)

    assert caught.value.__cause__.code == "1302"


@pytest.mark.tried("the client through Prism: errors of the service")
async def test_a_wrong_key_keeps_the_document(proxy):
    async with ImageSession(api_key="sk-wrong", base_url=proxy.base_url) as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.generate("a fox")

    assert caught.value.code == "1000"


FIELDS = {"model": "cogview-4-250304", "prompt": "a fox"}
# The fault, then the body, then the place at which Prism must find it.
WRONG_REQUESTS = {
    "no model": ({"prompt": "a"}, ["body"]),
    "no prompt": ({"model": "cogview-4-250304"}, ["body"]),
    "other model": ({**FIELDS, "model": "dall-e-3"}, ["body", "model"]),
    "blank prompt": ({**FIELDS, "prompt": " \n"}, ["body", "prompt"]),
    "prompt no text": ({**FIELDS, "prompt": ["a"]}, ["body", "prompt"]),
    "quality in capitals": ({**FIELDS, "quality": "HD"}, ["body", "quality"]),
    "quality null": ({**FIELDS, "quality": None}, ["body", "quality"]),
    "size with a times sign": ({**FIELDS, "size": "1024×1024"}, ["body", "size"]),
    "size as a pair": ({**FIELDS, "size": [1024, 1024]}, ["body", "size"]),
    "user_id too short": ({**FIELDS, "user_id": "12345"}, ["body", "user_id"]),
    "user_id too long": ({**FIELDS, "user_id": "u" * 129}, ["body", "user_id"]),
    "no object": ([FIELDS], ["body"]),
}


@pytest.mark.tried("control: broken requests, reported by Prism")
@pytest.mark.parametrize("what", WRONG_REQUESTS)
async def test_a_request_that_breaks_the_document_is_reported(send, sandbox, what):
    body, place = WRONG_REQUESTS[what]
    posts = sandbox.requests
    status, answer = await send(body)

    assert status == 422
    assert answer["type"].endswith("prism/errors#UNPROCESSABLE_ENTITY")
    assert place in [fault["location"] for fault in answer["validation"]]
    assert sandbox.requests == posts


@pytest.mark.tried("control: broken requests, reported by Prism")
@pytest.mark.parametrize("key", [None, "sk-sandbox", "Basic sk-sandbox"])
async def test_a_key_in_another_form_is_reported(send, sandbox, key):
    posts = sandbox.requests
    status, answer = await send(FIELDS, Authorization=key)

    assert status == 401
    assert answer["type"].endswith("prism/errors#UNAUTHORIZED")
    assert sandbox.requests == posts


WRONG_ANSWERS = {
    "no picture": {"action": "empty"},
    "no link": {"action": "null_url"},
    "created as text": {"body": '{"created":"now","data":[{"url":"http://x/y"}]}'},
    "no data": {"body": '{"created":1}'},
    "level out of range": {"content_filter": [{"role": "user", "level": 4}]},
    "flat envelope": {"status": 400, "body": '{"code":"1210","message":"no"}'},
    "code a number": {
        "status": 429,
        "body": '{"error":{"code":1113,"message":"no"}}',
    },
}


@pytest.mark.tried("control: broken answers, reported by Prism")
@pytest.mark.parametrize("what", WRONG_ANSWERS)
async def test_an_answer_that_breaks_the_document_is_reported(send, sandbox, what):
    sandbox.next(**{"action": "picture", **WRONG_ANSWERS[what]})
    status, answer = await send(FIELDS)

    assert status == 500
    assert answer["type"].endswith("prism/errors#VIOLATIONS")
    assert answer["validation"][0]["location"][0] == "response"


@pytest.mark.tried("control: broken answers, reported by Prism")
async def test_a_status_that_the_document_does_not_know_is_told(installed, sandbox):
    sandbox.next(status=418)
    key = {"Authorization": f"Bearer {sandbox.api_key}"}
    async with prism.proxy(DOCUMENT, sandbox.base_url) as proxy:
        async with aiohttp.ClientSession(headers=key) as http:
            url = f"{proxy.base_url}/images/generations"
            async with http.post(url, json=FIELDS) as response:
                assert response.status == 418

    assert "Unable to match the returned status code" in "".join(proxy.warnings)
