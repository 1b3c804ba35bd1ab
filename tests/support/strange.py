"""A strange server: it answers whatever a test tells it to, and counts."""

import json
from collections.abc import Iterable

from support.faults import FaultServer, Wire

Answer = tuple[int, object] | tuple[int, object, dict[str, str]]
GOOD: Answer = (200, {"created": 1, "data": [{"url": "https://example.com/a.png"}]})


def answering(*answers: Answer) -> FaultServer:
    """Answer the requests in turn; the last answer is repeated for ever."""

    async def script(server: FaultServer, wire: Wire) -> None:
        while True:
            await server.read(wire)
            answer = answers[min(server.posts, len(answers)) - 1]
            await wire.send(written(*answer))

    return FaultServer(script)


def written(status: int, body: object, headers: dict[str, str] | None = None) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines: Iterable[str] = (f"{k}: {v}\r\n" for k, v in (headers or {}).items())
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n{''.join(lines)}\r\n"
    return head.encode() + data


def refusal(code: object, message: str = "why") -> dict[str, object]:
    return {"error": {"code": code, "message": message}}
