"""
Sequences of answers, scripted by aioresponses: what it is good at.

It runs no time-outs, writes no bytes and breaks no connections; those are tested on
real sockets in tests/http.
"""

import json

import aiohttp
import pytest
from aioresponses import aioresponses
from support.strange import refusal

from zai_images import ConnectError, ImageSession, RetryPolicy, SessionConfig

pytestmark = pytest.mark.looptime

URL = "https://api.z.ai/api/paas/v4/images/generations"
PICTURE = {"created": 1, "data": [{"url": "https://example.com/a.png"}]}
CONFIG = SessionConfig(api_key="sk-test", retry=RetryPolicy(connect_errors=2))


@pytest.fixture
def service():
    with aioresponses() as mocked:
        yield mocked


def posts(service) -> list:
    return [call for calls in service.requests.values() for call in calls]


async def test_the_request_of_the_api_page_goes_out(service):
    service.post(URL, payload=PICTURE)
    async with ImageSession(CONFIG) as session:
        response = await session.generate("A cute little kitten.", user_id="user-7")

    (call,) = posts(service)
    assert json.loads(call.kwargs["data"].decode()) == {
        "model": "cogview-4-250304",
        "prompt": "A cute little kitten.",
        "quality": "standard",
        "size": "1024x1024",
        "user_id": "user-7",
    }
    assert call.kwargs["headers"]["Authorization"] == "Bearer sk-test"
    assert call.kwargs["allow_redirects"] is False
    assert response.url == "https://example.com/a.png"
    assert session.stats().cost == pytest.approx(0.01)


async def test_a_full_house_is_waited_for(service):
    for code in ("1302", "1303", "1302"):
        service.post(URL, status=429, payload=refusal(code))
    service.post(URL, payload=PICTURE)
    async with ImageSession(CONFIG) as session:
        await session.generate("a fox")

    assert len(posts(service)) == 4
    assert session.stats().refusals == 3


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ClientConnectionError("refused"),
        aiohttp.ServerTimeoutError("connecting"),
        aiohttp.ClientOSError(111, "refused"),
        aiohttp.ClientProxyConnectionError(None, OSError("proxy")),
        OSError("no route"),
    ],
)
async def test_what_fails_before_a_byte_is_written_is_a_connect_error(service, error):
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        key = aiohttp.client_reqrep.ConnectionKey(
            "api.z.ai", 443, True, True, None, None, None
        )
        error = aiohttp.ClientProxyConnectionError(key, OSError("proxy"))
    service.post(URL, exception=error, repeat=True)
    async with ImageSession(CONFIG) as session:
        with pytest.raises(ConnectError) as caught:
            await session.generate("a fox")

    assert len(posts(service)) == 3
    assert caught.value.billed == "no"


async def test_a_connection_that_comes_back_is_not_noticed_by_the_caller(service):
    service.post(URL, exception=aiohttp.ClientConnectionError("refused"))
    service.post(URL, payload=PICTURE)
    async with ImageSession(CONFIG) as session:
        await session.generate("a fox")

    assert session.stats().retries == 1
