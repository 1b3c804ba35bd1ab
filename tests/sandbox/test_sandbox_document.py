"""The OpenAPI document: served where tools look for it, and true of the sandbox."""

import json
from importlib.resources import files

import aiohttp
import pytest
from yarl import URL

from zai_images.sandbox import _answers

DOCUMENT = json.loads(
    files("zai_images.sandbox").joinpath("openapi.json").read_text("utf-8")
)
[(PATH, OPERATIONS)] = DOCUMENT["paths"].items()
OPERATION = OPERATIONS["post"]
FIELDS = DOCUMENT["components"]["schemas"]["Request"]["properties"]
EXAMPLES = OPERATION["requestBody"]["content"]["application/json"]["examples"]


@pytest.fixture
async def http(sandbox):
    key = {"Authorization": f"Bearer {sandbox.api_key}"}
    origin = URL(sandbox.base_url).origin()
    async with aiohttp.ClientSession(origin, headers=key) as session:
        yield session


async def test_the_document_is_served_without_a_key_and_is_no_request(http, sandbox):
    no_key = {"Authorization": ""}
    async with http.get("/openapi.json", headers=no_key) as response:
        assert (response.status, response.content_type) == (200, "application/json")
        served = await response.json()
    assert {**served, "servers": DOCUMENT["servers"]} == DOCUMENT
    assert sandbox.requests == 0


async def test_who_follows_the_served_document_comes_to_the_sandbox(http, sandbox):
    """And not to the service, which the shipped one names, and which costs money."""
    assert DOCUMENT["servers"] == [{"url": "https://api.z.ai/api"}]
    async with http.get("/openapi.json") as response:
        [server] = (await response.json())["servers"]
        operation = URL(str(response.url.join(URL(server["url"]))) + PATH)
    assert operation == URL(sandbox.base_url) / "images/generations"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_the_document_can_only_be_read(http, method):
    async with http.request(method, "/openapi.json") as response:
        assert (await response.json())["msg"] == "404 NOT_FOUND"


@pytest.mark.parametrize("example", EXAMPLES)
async def test_each_example_of_the_document_is_made(http, sandbox, example):
    path = URL(sandbox.base_url).path + "/images/generations"
    async with http.post(path, json=EXAMPLES[example]["value"]) as response:
        assert response.status == 200
    assert sandbox.bill.entries[0].body == EXAMPLES[example]["value"]


async def test_the_defaults_of_the_document_are_the_sandboxs(http, sandbox):
    least = EXAMPLES["least"]["value"]
    path = URL(sandbox.base_url).path + "/images/generations"
    async with http.post(path, json=least) as response:
        assert response.status == 200
    [entry] = sandbox.bill.entries
    told = {name: rule["default"] for name, rule in FIELDS.items() if "default" in rule}
    assert told == {"quality": entry.quality, "size": entry.size}


def test_each_status_that_a_code_can_bring_is_described():
    statuses = {str(status) for status in _answers._STATUSES.values()}
    assert set(OPERATION["responses"]) == statuses | {"200"}
