"""The doctor: what is wrong with the key, the address and the service."""

import json

import aiohttp
import pytest
from support.keys import KEY

import zai_images
from zai_images._session.check import ServiceChecker
from zai_images.cli._doctor.paid_checks import _many_at_once
from zai_images.sandbox import Sandbox
from zai_images.sandbox._endpoint import Service


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


async def test_doctor_asks_a_gateway_for_its_models(cli, monkeypatch):
    async def handle(self, request):
        assert (request.method, request.path) == ("GET", "/api/paas/v4/models")
        return aiohttp.web.json_response({"data": [{"id": "cogview-4"}]})

    monkeypatch.setattr(Service, "handle", handle)
    monkeypatch.setattr(ServiceChecker, "_is_known", lambda _: False)
    async with Sandbox(api_key=KEY) as gateway:
        monkeypatch.setenv("ZAI_API_KEY", KEY)
        monkeypatch.setenv("ZAI_BASE_URL", gateway.base_url)
        ran = await cli("doctor", "--json")

    assert ran.code == 0
    assert "listed its models, which is free" in checks(ran)["service"]["detail"]
    assert checks(ran)["service"]["data"]["code"] is None


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
