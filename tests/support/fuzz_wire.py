"""Checks of what is drawn at random over real sockets, on virtual time."""

import json

import aiohttp
import pytest
from hypothesis import strategies as st
from support import fuzz, plays as play
from support.faults import FaultServer
from support.plays import Step, plays

from zai_images import (
    ImageSession,
    InvalidRequestError,
    RetryPolicy,
    SessionConfig,
    Timeouts,
    ZaiImagesError,
)
from zai_images.sandbox import Sandbox
from zai_images.sandbox._validation import RefusalError, read_order

KEY = "sk-fault-canary"
status_lines = st.sampled_from(
    (b"HTTP/1.1 200 OK", b"HTTP/1.1 429 X", b"HTTP/1.0 500 X", b"HTTP/1.1 204", b"")
) | st.binary(max_size=20)
headers = st.lists(
    st.sampled_from(
        (
            b"Content-Length: 2",
            b"Content-Length: 99999",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip, chunked",
            b"Content-Encoding: deflate",
            b"Content-Encoding: br",
            b"Content-Encoding: zstd",
            b"Content-Type: text/html; charset=utf-99",
            b"Connection: Upgrade\r\nUpgrade: websocket",
            b"Retry-After: 1",
            b"Set-Cookie: a=b; c=\xff",
            b"Location: //[",
            b"Content-Disposition: attachment; filename*=x''%ff",
        )
    )
    | st.binary(max_size=12),
    max_size=4,
)
joints = st.sampled_from((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b""))


@st.composite
def wire_bytes(draw: st.DrawFn) -> bytes:
    """Draw something that may be an answer, and may be anything else."""
    body = draw(fuzz.bodies)
    lines = [draw(status_lines), *draw(headers)]
    if draw(st.booleans()):
        lines.append(b"Content-Length: %d" % len(body))
    joint = draw(joints)
    return joint.join(lines) + joint * 2 + body


answers = wire_bytes() | st.binary()
ends = st.sampled_from((play.close, play.reset, play.stall))


async def check_wire(data: bytes, end: Step) -> None:
    """Any bytes from a server end in a picture or an error, with the right bill."""
    async with FaultServer(plays(play.read, data, end)) as server:
        config = SessionConfig(
            api_key=KEY,
            base_url=server.base_url,
            timeouts=Timeouts(total=60),
            retry=RetryPolicy(server_errors=0, unknown_refusals=0, connect_errors=0),
            max_wait=0.1,  # refusals are free, and would be asked about for ever
        )
        async with ImageSession(config) as session:
            try:
                assert (await session.generate("a fox")).url.strip()
            except ZaiImagesError as error:
                assert KEY not in str(error)  # noqa: PT017 - either end is right
                billed = error.billed
            else:
                billed = "yes"
            stats = session.stats()
        assert (stats.billed, stats.maybe_billed) == (
            billed == "yes",
            billed == "maybe",
        )
        assert server.posts == 1
        await server.all_gone()


async def check_served(body: dict[str, object]) -> None:
    """Send the raw body by hand, then the request that the client makes of it."""
    raw = json.dumps(body).encode()
    try:
        read_order("application/json", raw)
    except RefusalError as refusal:
        code: str | None = refusal.args[0]
    else:
        code = None
    async with Sandbox(speed=1000, pictures="plain") as sandbox:
        async with (
            aiohttp.ClientSession() as http,
            http.post(
                f"{sandbox.base_url}/images/generations",
                data=raw,
                headers={
                    "Authorization": f"Bearer {sandbox.api_key}",
                    "Content-Type": "application/json",
                },
            ) as response,
        ):
            told = await response.json()
            assert (response.status == 200) == (code is None)
            assert told.get("error", {}).get("code") == code
        paid = sandbox.bill.total
        try:
            request = fuzz.as_request(body)
        except InvalidRequestError:
            assert code is not None
            return
        settings = {"api_key": sandbox.api_key, "base_url": sandbox.base_url}
        async with ImageSession(**settings) as session:
            if request.model == fuzz.MODEL:
                assert (await session.generate(request)).url
            else:
                with pytest.raises(ZaiImagesError, match="1211"):
                    await session.generate(request)
        assert sandbox.bill.total - paid == (request.model == fuzz.MODEL)
