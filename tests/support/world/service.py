"""
The world's service and picture host, on the loop of the client that they serve.

They share its clock, and its death. What becomes of a request follows from the seed,
its prompt, and how often that prompt was asked for: not from the order of things.
"""

import asyncio
import json
import random
import socket
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from support.judge.paid_service import content, picture, read_request
from support.world.ledger import Ledger, canonical

PORT = 8417
PATH = "/api/paas/v4"
KEY = "sk-judge-0123456789"
SIZE = 600  # bytes of a picture
_PLAIN = "text/plain"
_HTML = b"<html><body><h1>%d</h1>The upstream server did not answer</body></html>"


@attrs.frozen(kw_only=True)
class Verdict:
    """
    What becomes of a request.

    Attributes:
        billed: Whether it is paid for.
        free: Whether the answer says in the service's words that nothing was billed.
        wait: Seconds until the answer, from and to.
        status: Of the answer.
        code: The business code, where it is a refusal.
    """

    billed: bool = True
    free: bool = False
    wait: tuple[float, float] = (4, 20)
    status: int = 200
    code: str | None = None


def _refusal(status: int, code: str, *, free: bool = True) -> Verdict:
    return Verdict(billed=False, free=free, wait=(0.1, 2), status=status, code=code)


VERDICTS: Mapping[str, Verdict] = {
    # A usable answer, at once or late.
    "made": Verdict(),
    "late": Verdict(wait=(100, 280)),
    "too late": Verdict(wait=(320, 700)),
    "slowly": Verdict(),
    "twice": Verdict(),
    "two links": Verdict(),
    "beside an error": Verdict(),
    "with more fields": Verdict(),
    "in pieces": Verdict(),
    "then closed": Verdict(),
    # Paid, and no usable answer.
    "never": Verdict(),
    "closed": Verdict(),
    "half": Verdict(),
    "garbled": Verdict(),
    "no picture": Verdict(),
    "gateway's page": Verdict(status=504),
    "gateway's words": Verdict(status=504),
    "408": Verdict(status=408),
    "503 unpaid": Verdict(billed=False, status=503),
    # Refusals, which are free.
    "busy": _refusal(429, "1302"),
    "often": _refusal(429, "1303"),
    "overloaded": _refusal(429, "1305"),
    "unsafe": _refusal(400, "1301"),
    "wrong": _refusal(400, "1214"),
    "empty account": _refusal(429, "1113"),
    "bad key": _refusal(401, "1000"),
    # A failure that the service owns up to.
    "failed": _refusal(500, "1234", free=False),
    "failed, paid": attrs.evolve(_refusal(500, "1234", free=False), billed=True),
}
USABLE = (
    "made",
    "late",
    "slowly",
    "twice",
    "two links",
    "beside an error",
    "with more fields",
    "in pieces",
    "then closed",
)
FAILED = ("failed", "failed, paid")
_PAGES = {
    "fresh 404": (404, _PLAIN, b"none"),
    "gone": (410, _PLAIN, b"gone"),
    "503": (503, _PLAIN, b"later"),
    "page": (200, "text/html", _HTML % 200),
}
HOSTS = (
    "fresh 404",
    "503",
    "gone",
    "short",
    "page",
    "never",
    "slow",
    "other bytes",
    "closed",
    "redirect",
)


@attrs.define(slots=False)
class Service:
    """
    Sell pictures and hand them out.

    Args:
        seed: Of the world.
        life: Which of its lives this is.
        ledger: What was sold.
        told: `verdicts` and `hosts`: what is met beside the usual, with its chance;
            `limit` of places, `balance` in pictures, `outage` from and to (seconds).
        note: Told of what happens.
        address: Where it is.
        true_time: The wall clock that does not jump.
        on_told: Called when a whole answer was written.
    """

    seed: str
    life: int
    ledger: Ledger
    told: dict[str, Any]
    note: Any
    address: str
    true_time: Callable[[], float]
    in_flight: int = 0
    answered: int = 0
    on_told: Any = None
    began: float = 0.0
    tasks: set[Any] = attrs.field(factory=set)
    working: set[Any] = attrs.field(factory=set)
    waits: dict[asyncio.Future[None], float] = attrs.field(factory=dict)

    def listen(self) -> None:
        """Bind at once, so that whoever connects first is not turned away."""
        # By its protocol asyncio knows not to wait until packets are full: the kernel
        # would hold back small ones for some real time, which is years here.
        self.socket = socket.socket(proto=socket.IPPROTO_TCP)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((self.address, PORT))
        self.socket.listen(200)

    async def serve(self) -> None:
        """Serve until it is cancelled; while it is down it takes no connections."""
        self.began = asyncio.get_running_loop().time()
        begins, ends = self.told.get("down") or (0, 0)
        try:
            if ends:
                await self._serve(begins)
                for task in self.tasks - self.working:
                    task.cancel()  # connections with nothing to do
                await asyncio.sleep(ends - begins)
                self.listen()
            await self._serve(None)
        finally:
            for task in self.tasks:
                task.cancel()

    async def _serve(self, seconds: float | None) -> None:
        server = await asyncio.start_server(self._connection, sock=self.socket)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            self.note("takes no connections")
        finally:
            server.close()

    async def _connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            while await self._request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # a client that dies or a life that ends
        finally:
            self.tasks.discard(task)
            writer.transport.abort()

    async def _request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        first, body = await read_request(reader)
        self.working.add(task := asyncio.current_task())
        try:
            return await self._obey(reader, writer, first, body)
        finally:
            self.working.discard(task)

    async def _obey(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        first: str,
        body: bytes,
    ) -> bool:
        method, target, _ = first.split(" ")
        if method == "POST":
            prompt = canonical(json.loads(body)["prompt"])
            return await self._generate(reader, writer, prompt)
        if target.startswith("/p/"):
            return await self._fetch(reader, writer, target)
        return await _reply(writer, 404, b"no such page", kind=_PLAIN)

    async def _wait(self, seconds: float) -> None:
        """Wait until it is time, or until the client stands still for that long."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self.waits[done] = loop.time() + seconds
        timer = loop.call_later(seconds, _set, done)
        try:
            await done
        finally:
            timer.cancel()
            del self.waits[done]

    def hurry(self, seconds: float) -> None:
        """Do at once what would be done while the client stands still."""
        until = asyncio.get_running_loop().time() + seconds
        for done, due in self.waits.items():
            if due <= until:
                _set(done)

    def _verdict(self, prompt: str, dice: random.Random) -> str:
        now = asyncio.get_running_loop().time() - self.began
        begins, ends = self.told.get("outage") or (0, 0)
        balance, limit = self.told.get("balance"), self.told.get("limit")
        if balance is not None and self.ledger.paid.total() >= balance:
            return "empty account"
        if begins <= now < ends:
            return "503 unpaid" if dice.random() < 0.8 else "gateway's page"
        if limit is not None and self.in_flight >= limit:
            return "busy"
        chances = dict(self.told.get("verdicts") or {})
        if self.ledger.last.get(prompt) in FAILED and FAILED[0] in chances:
            chances[FAILED[0]] = 0.6  # what fails once may go on failing
        return _draw(dice, chances, "made")

    async def _generate(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, prompt: str
    ) -> bool:
        attempt = self.ledger.asked[prompt]
        dice = random.Random(f"{self.seed}/{prompt}/{attempt}")
        name = self._verdict(prompt, dice)
        verdict, number = VERDICTS[name], len(self.ledger.sales)
        at = asyncio.get_running_loop().time()
        self.ledger.write(
            "post",
            number=number,
            life=self.life,
            at=at,
            prompt=prompt,
            verdict=name,
            billed=verdict.billed,
            free=verdict.free,
            content=content(self.picture(number)) if verdict.billed else "",
        )
        self.note(f"POST {number} {prompt!r} is {name}")
        self.in_flight += 1
        try:
            # The picture is made and paid for, whether or not anybody still waits.
            await self._wait(dice.uniform(*verdict.wait))
        finally:
            self.in_flight -= 1
        go_on = await self._answer(writer, name, number, reader)
        self.note(f"answer {number} written")
        return go_on

    def picture(self, number: int) -> bytes:
        """Draw the picture of a sale."""
        return picture(f"{self.seed} {number}", SIZE)

    def link(self, number: int, what: str = "p") -> str:
        """Name the link of a sale."""
        return f"http://{self.address}:{PORT}/{what}/{number}.png?Signature=world"

    async def _answer(
        self,
        writer: asyncio.StreamWriter,
        name: str,
        number: int,
        reader: asyncio.StreamReader,
    ) -> bool:
        verdict = VERDICTS[name]
        there = not (reader.at_eof() or writer.is_closing())
        if name == "never":
            await reader.read()
            return False
        if name == "closed":
            return False
        answer = json.dumps(self._body(name, number)).encode()
        if name == "gateway's page":
            await _reply(writer, 504, _HTML % 504, kind="text/html")
            return False
        if name == "half":
            await _reply(writer, 200, answer, cut=len(answer) // 2)
            return False
        if name == "garbled":
            answer = answer[:20]
        if name in ("slowly", "in pieces"):
            there = await _dribble(writer, answer, name == "slowly") and there
            there = there and not reader.at_eof()
        else:
            await _reply(writer, verdict.status, answer)
        if name in (*USABLE, "too late") and there:
            self.ledger.write("told", number=number)
            if self.on_told is not None:
                self.on_told()
        if name == "twice":
            await _reply(writer, verdict.status, answer)
        return name != "then closed"

    def _body(self, name: str, number: int) -> Any:
        verdict, link = VERDICTS[name], {"url": self.link(number)}
        if name == "gateway's words":
            return {"message": "The upstream server is timing out"}
        if name in ("408", "503 unpaid"):
            return {"detail": "timed out"}
        if verdict.code is not None:
            return {"error": {"code": verdict.code, "message": f"world {verdict.code}"}}
        body: dict[str, Any] = {
            "created": int(self.true_time()),
            "data": [link],
        }
        if name == "no picture":
            body["data"] = []
        if name == "two links":
            body["data"].append({"url": self.link(number, "q")})
        if name == "beside an error":
            body["error"] = {"code": "1302", "message": "too many"}
        if name == "with more fields":
            body |= {"id": "x", "request_id": "y", "content_filter": None, "more": [1]}
        return body

    async def _fetch(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str
    ) -> bool:
        number = int(target.partition("?")[0].rpartition("/")[2].removesuffix(".png"))
        dice = random.Random(
            f"{self.seed}/{number}/{self.ledger.sales[number].fetched}"
        )
        self.ledger.write("fetch", number=number)
        name = _draw(dice, self.told.get("hosts") or {}, "ok")
        fate = random.Random(f"{self.seed}/gone/{number}").random()
        if fate < self.told.get("gone", 0):
            name = "gone"
        self.note(f"GET {number} is {name}")
        if name in ("never", "closed"):
            if name == "never":
                await reader.read()
            return False
        if name == "redirect":
            more = f"Location: {self.link(number)}"
            return await _reply(writer, 302, b"", kind=_PLAIN, more=more)
        if name in _PAGES:
            status, kind, page = _PAGES[name]
            return await _reply(writer, status, page, kind=kind)
        data = self.picture(number)
        half = len(data) // 2
        if name == "short":
            await _reply(writer, 200, data, kind="image/png", cut=half)
            return False
        await self._wait(dice.uniform(30, 100) if name == "slow" else 0.3)
        whole = name != "other bytes"
        return await _reply(
            writer, 200, data if whole else data[:half], kind="image/png"
        )


def _set(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _draw(dice: random.Random, chances: Mapping[str, float], usual: str) -> str:
    thrown = dice.random()
    for name in sorted(chances):
        thrown -= chances[name]
        if thrown < 0:
            return name
    return usual


async def _reply(
    writer: asyncio.StreamWriter,
    status: int,
    body: bytes,
    *,
    kind: str = "application/json",
    cut: int | None = None,
    more: str = "",
) -> bool:
    writer.write(_head(status, len(body), kind, more) + body[:cut])
    await writer.drain()
    return True


async def _dribble(writer: asyncio.StreamWriter, body: bytes, slowly: bool) -> bool:  # noqa: FBT001 - one of two ways
    writer.write(_head(200, len(body), "application/json"))
    step = 40
    for start in range(0, len(body), step):
        await asyncio.sleep(8 if slowly else 0.001)  # of the world's virtual time
        if writer.is_closing():
            return False
        writer.write(body[start : start + step])
    await writer.drain()
    return True


def _head(status: int, length: int, kind: str, more: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", more]
    lines.append(f"Content-Length: {length}\r\n\r\n")
    return "\r\n".join(filter(None, lines)).encode()
