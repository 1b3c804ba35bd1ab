"""Failures with a canary key in their way, and where to look for it."""

import asyncio

from support.leaks import CANARY, hits, of_error, of_object
from support.strange import refusal

from zai_images import (
    ImageSession,
    RetryPolicy,
    SessionConfig,
    Timeouts,
)

K = CANARY


def seen(*shown):
    """List where the key was seen."""
    return [where for part in shown for where, text in part if hits(text)]


def config(base_url, **settings):
    """Take the key from the environment, so that no frame of the test holds it."""
    quick = RetryPolicy(first_pause=0.0, connect_errors=1)
    return SessionConfig.from_env(
        base_url=base_url,
        **({"retry": quick, "timeouts": Timeouts(total=9)} | settings),
    )


async def failing(make, *, http=None, session_options=None, but=(), **settings):
    """Make a call that fails, and look for the key everywhere."""
    asyncio.get_running_loop().set_debug(True)
    events = []
    caught = None
    try:
        one = ImageSession(
            make(**settings),
            http=http,
            **({"observer": events.append} | (session_options or {})),
        )
        try:
            await one.generate_picture("a fox")
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is looked at
            caught = error
        looked = [of_object(x) for x in (one, one.config, one.stats())]
        if one.requester.resources is not None:
            parts = (
                one.requester.resources,
                one.requester.resources.transport,
                one.requester.resources.downloader,
            )
            looked += [of_object(x) for x in parts]
        found = [one for one in seen(*looked) if one not in but]
        await one.aclose()
    except Exception as error:  # noqa: BLE001 - same
        caught, found = error, []
    found += seen(*map(of_object, events))
    for event in events:
        if (error := getattr(event, "error", None)) is not None:
            found += seen(of_error(error))
    assert caught is not None
    return caught, found + seen(of_error(caught))


# What a service, or a proxy that believes itself one, may answer with the key in it.
ANSWERS = {
    "wrong key, by code": (401, refusal("1000", f"bad key {K}")),
    "wrong key, by status": (401, {"message": f"Bearer {K}"}),
    "wrong key, as a page": (401, f"<html>{K}</html>".encode()),
    "no balance": (429, refusal("1113", f"{K} has no balance")),
    "quota": (429, refusal("1304", f"{K} until 2030-01-01 00:00:00")),
    "one model": (429, refusal("1311", K)),
    "forbidden": (403, {"error": K}),
    "content": (400, refusal("1301", K)),
    "content, in the filter": (
        400,
        refusal("1301") | {"contentFilter": [{"role": K, "level": 0}]},
    ),
    "server error": (500, refusal("1234", K)),
    "server error as a page": (502, f"<pre>Authorization: {K}</pre>".encode()),
    "rejected": (400, refusal("1210", K)),
    "not there": (404, {"code": 404, "msg": K, "success": False}),
    "error in a list": (400, {"error": [{"code": "1210", "message": K}]}),
    "error with 200": (200, refusal("1210", K)),
    "unlisted code": (200, refusal("9999", K)),
    "the key for a code": (200, refusal(K, "x")),
    "the key for a code, with 400": (400, refusal(K, "x")),
    "a code that is cut off in it": (400, refusal("x" * 29 + K, "x")),
    "a message that is cut off in it": (400, refusal("1210", "x" * 285 + K)),
    "a page that is cut off in it": (200, b"x" * 1985 + K.encode()),
    "a page whose beginning is": (200, b"x" * 286 + K.encode()),
    "no picture": (200, {"created": 1, "data": [], "debug": K}),
    "no link": (200, {"data": [{"b64_json": K}]}),
    "request id in the body": (400, refusal("1210") | {"request_id": K}),
    "request id in a header": (400, refusal("1210"), {"X-Request-Id": K}),
    "Retry-After": (429, refusal("1302"), {"Retry-After": K}),
    "written as escapes": (
        400,
        b'{"error":{"code":"1210","message":"%b"}}'
        % "".join(f"\\u{ord(char):04x}" for char in K).encode(),
    ),
    "with what is not seen in it": (400, refusal("1210", "\0".join(K))),
    "twice": (400, refusal("1210", f"{K}{K} {K[:12]} {K}")),
    "in a link that is refused": (200, {"data": [{"url": f"ftp://x.example/{K}"}]}),
    "in a link's host": (200, {"data": [{"url": f"http://{K}.example/"}]}),
    "in a link's user": (200, {"data": [{"url": f"https://{K}@x.example/"}]}),
    "in a link's query": (200, {"data": [{"url": f"ftp://x.example/?k={K}"}]}),
    "a redirect with it": (307, b"", {"Location": f"https://x.example/?key={K}"}),
    "a cookie with it": (400, refusal("1210"), {"Set-Cookie": f"k={K}; Domain=\\"}),
    "its Bearer": (400, refusal("1210", f"Authorization: Bearer {K}")),
}


def then(data, *, close=True):
    async def script(server, wire):
        await server.read(wire)
        await wire.send(data)
        if close:
            wire.writer.close()
        else:
            await asyncio.sleep(3600)

    return script


BAD_KEYS = {
    "a line's end within": f"{K}\nx{K}",
    "a line's end and a header": f"{K}\r\nX: y",
    "a letter of another script": f"{K}é",
    "a blank within": f"{K} {K}",
    "an end of text": f"{K}\x01",
    "half of a surrogate pair": f"{K}\udc80",
    "with its Bearer": f"Bearer {K}",
    "in quotes of another kind": f"“{K}”",
}
