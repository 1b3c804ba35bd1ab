"""The sandbox keeps the API page: keys, bodies, fields, answers."""

import asyncio
import gzip
import json
import re
import time
from io import BytesIO

import pytest
from yarl import URL

FIELDS = {"model": "cogview-4-250304", "prompt": "A cute little kitten."}


@pytest.fixture
def send(sandbox, http):
    async def send(data, **headers):
        headers = {
            "Authorization": f"Bearer {sandbox.api_key}",
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        headers = {name: value for name, value in headers.items() if value is not None}
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        url = f"{sandbox.base_url}/images/generations"
        async with http.post(url, data=BytesIO(data), headers=headers) as response:
            return response.status, await response.json()

    return send


def code_of(answer):
    status, body = answer
    return status, body["error"]["code"]


async def test_a_success_has_the_shape_of_the_page(send, sandbox):
    before = int(time.time())
    status, body = await send(FIELDS)
    assert status == 200
    assert set(body) == {"created", "data", "content_filter", "id", "request_id"}
    assert before <= body["created"] <= time.time()
    assert body["content_filter"] == [{"role": "assistant", "level": 3}]
    assert body["id"] == body["request_id"]
    assert re.fullmatch(r"20\d{12}[0-9a-f]{16}", body["id"])
    assert [set(item) for item in body["data"]] == [{"url"}]


async def test_the_picture_lives_on_another_origin_with_a_signed_link(send, sandbox):
    _, body = await send(FIELDS)
    url = URL(body["data"][0]["url"])
    assert url.origin() != URL(sandbox.base_url).origin()
    assert url.host == "127.0.0.1"
    month = 30 * 24 * 3600
    assert abs(int(url.query["Expires"]) - time.time() - month) < 60
    assert re.fullmatch(r"[0-9a-f]{40}", url.query["Signature"])


async def test_the_base_url_is_the_services_own_path(sandbox):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/api/paas/v4", sandbox.base_url)


async def test_the_pages_own_example_is_accepted(send, sandbox):
    example = {
        "model": "cogView-4-250304",
        "prompt": "A cute little kitten sitting on a sunny windowsill.",
        "size": "1024x1024",
    }
    assert (await send(example))[0] == 200
    [entry] = sandbox.bill.entries
    assert entry.model == "cogview-4-250304"
    assert entry.body == example


async def test_the_pages_defaults_are_filled_in(send, sandbox):
    await send(FIELDS)
    [entry] = sandbox.bill.entries
    assert (entry.quality, entry.size, entry.user_id) == ("standard", "1024x1024", None)


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "1001"),
        ("", "1001"),
        ("Bearer", "1001"),
        ("Bearer ", "1001"),
        ("Bearer sk-other", "1000"),
        ("bearer sk-sandbox", "1000"),
        ("sk-sandbox", "1000"),
        ("Basic sk-sandbox", "1000"),
    ],
)
async def test_a_missing_or_wrong_key_is_refused_and_costs_nothing(
    send, sandbox, authorization, code
):
    assert code_of(await send(FIELDS, Authorization=authorization)) == (401, code)
    assert (sandbox.bill.total, sandbox.bill.rejected) == (0, 1)


async def test_the_key_is_checked_before_the_body(send):
    assert code_of(await send(b"{", Authorization="Bearer wrong")) == (401, "1000")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense",
        b"[]",
        b'"text"',
        b"null",
        b'{"model":"cogview-4-250304","prompt":"a","prompt":"b"}',
        b'{"model":"cogview-4-250304","prompt":"a","x":{"y":1,"y":2}}',
        b'{"model":"cogview-4-250304","prompt":"a","x":NaN}',
        b'{"model":"cogview-4-250304","prompt":"a","x":-Infinity}',
        b'{"model":"cogview-4-250304","prompt":"a","x":[0.5,1e999]}',
        b'\xef\xbb\xbf{"model":"cogview-4-250304","prompt":"a"}',
        b'{"model":"cogview-4-250304","prompt":"\xff"}',
        b'{"model":"cogview-4-250304","prompt":"a","x":' + b"9" * 5000 + b"}",
        b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    ],
    ids=lambda raw: raw[:60].decode(errors="replace"),
)
async def test_what_is_not_one_strict_json_object_is_refused(send, raw):
    assert code_of(await send(raw)) == (400, "1210")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
async def test_a_body_must_say_that_it_is_json(send, kind):
    assert code_of(await send(FIELDS, Content_Type=kind)) == (400, "1210")


@pytest.mark.parametrize(
    ("encoding", "raw"),
    [
        ("gzip", b"not gzip at all"),
        ("deflate", b"\xff"),
        ("gzip", gzip.compress(json.dumps(FIELDS).encode())),
        ("br", b"needs a package that need not be there"),
        ("nonsense", json.dumps(FIELDS).encode()),
    ],
    ids=["broken-gzip", "broken-deflate", "sound-gzip", "brotli", "unknown"],
)
async def test_a_body_comes_as_it_is_or_is_refused(send, sandbox, encoding, raw):
    answer = await send(raw, Content_Encoding=encoding)
    assert code_of(answer) == (400, "1210")
    assert (sandbox.bill.requests, sandbox.bill.rejected) == (1, 1)


async def test_a_body_that_says_it_is_as_it_is_is_fine(send):
    assert (await send(FIELDS, Content_Encoding="identity"))[0] == 200


async def test_a_client_that_leaves_in_its_body_is_no_request_and_no_error(
    sandbox, caplog
):
    url = URL(sandbox.base_url)
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"POST /api/paas/v4/images/generations HTTP/1.1\r\nHost: sandbox\r\n"
        b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    )
    async with asyncio.timeout(5):
        while not sandbox._answering:
            await asyncio.sleep(0)
        writer.close()
        await writer.wait_closed()
        while sandbox._answering:
            await asyncio.sleep(0)
    assert sandbox.requests == 0
    assert not caplog.records


async def test_a_charset_beside_the_content_type_is_fine(send):
    kind = "application/json; charset=utf-8"
    assert (await send(FIELDS, Content_Type=kind))[0] == 200


@pytest.mark.parametrize("missing", ["model", "prompt"])
async def test_a_missing_field_is_named(send, missing):
    fields = {name: value for name, value in FIELDS.items() if name != missing}
    status, body = await send(fields)
    assert (status, body["error"]["code"]) == (400, "1213")
    assert missing in body["error"]["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("model", value) for value in (None, 4, ["cogview-4-250304"])],
        *[("prompt", value) for value in (None, "", "  ", "\n\u3000", 7, ["a"])],
        ("prompt", "half \ud83e of a fox"),
        *[("quality", value) for value in (None, "", "HD", "ultra", 1)],
        *[("user_id", value) for value in (None, "", "12345", "x" * 129, 1234567)],
    ],
)
async def test_an_invalid_field_is_named(send, sandbox, field, value):
    status, body = await send({**FIELDS, field: value})
    assert (status, body["error"]["code"]) == (400, "1214")
    assert body["error"]["message"].startswith(f"{field}: ")
    assert sandbox.bill.total == 0


async def test_an_unknown_model_is_refused(send):
    answer = await send({**FIELDS, "model": "glm-image"})
    assert code_of(answer) == (400, "1211")


@pytest.mark.parametrize(
    "size",
    [
        *["1024x1024", "768x1344", "864x1152", "1344x768", "1152x864"],
        *["1440x720", "720x1440", "512x512", "2048x1024", "1024x2048", "1440x1440"],
    ],
)
async def test_recommended_and_boundary_sizes_are_accepted(send, sandbox, size):
    assert (await send({**FIELDS, "size": size}))[0] == 200
    assert sandbox.bill.entries[0].size == size


@pytest.mark.parametrize(
    "size",
    [
        *["496x512", "512x496", "2064x512", "512x2064", "1000x1001", "520x512"],
        *["1456x1456", "2048x1040", "1024X1024", "1024×1024", "1024*1024"],
        *["1024 x 1024", " 1024x1024", "1024x1024\n", "01024x1024", "+1024x1024"],
        *["1024", "x", "", "1024x", "1024x1024x1", "١٠٢٤x١٠٢٤", None, 1024],
        *[[1024, 1024], "1e3x1024", "-1024x1024", "99999999999x512"],
    ],
)
async def test_other_sizes_are_refused(send, sandbox, size):
    status, body = await send({**FIELDS, "size": size})
    assert (status, body["error"]["code"]) == (400, "1214")
    assert body["error"]["message"].startswith("size: ")
    assert sandbox.bill.total == 0


@pytest.mark.parametrize("user_id", ["u" * 6, "u" * 128, "用户一二三四"])
async def test_user_ids_of_6_to_128_characters_are_accepted(send, sandbox, user_id):
    assert (await send({**FIELDS, "user_id": user_id}))[0] == 200
    assert sandbox.bill.entries[0].user_id == user_id


async def test_undocumented_fields_are_ignored_but_kept_on_the_bill(send, sandbox):
    fields = {**FIELDS, "n": 4, "style": {"mood": "warm"}}
    assert (await send(fields))[0] == 200
    assert sandbox.bill.entries[0].body == fields
    assert sandbox.bill.total == 1


async def test_a_body_of_more_than_a_mebibyte_is_too_long(send):
    fields = {**FIELDS, "prompt": "x" * 2**20}
    assert code_of(await send(fields)) == (400, "1261")


async def test_a_free_request_is_rejected_even_without_any_place(send, sandbox):
    sandbox.limit = 0
    assert code_of(await send({**FIELDS, "prompt": " "})) == (400, "1214")
    assert code_of(await send(FIELDS)) == (429, "1302")


@pytest.mark.parametrize(
    "path", ["/", "/images/generations", "/api/paas/v4/images", "/api/paas/v4/chat"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_unknown_routes_are_not_found_with_status_200(
    http, sandbox, path, method
):
    url = URL(sandbox.base_url).origin().with_path(path)
    async with http.request(method, url) as response:
        assert response.status == 200
        answer = {"code": 500, "msg": "404 NOT_FOUND", "success": False}
        assert await response.json() == answer
    assert sandbox.requests == 0


async def test_the_endpoint_takes_post_only(http, sandbox):
    async with http.get(f"{sandbox.base_url}/images/generations") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert (await response.json())["error"]["code"] == "1212"
    assert sandbox.requests == 0
