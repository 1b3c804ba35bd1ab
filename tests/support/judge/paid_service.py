"""
A paid picture service in a process of its own: the one ledger nobody can argue with.

    with PaidService() as service:
        case = service.case(delay=(0.01, 0.05), limit=5)
        ...  # ZAI_BASE_URL=case.base_url, ZAI_API_KEY=case.key
        case.ledger()["prompts"]["a fox"].billed

It bills a request once it is admitted, whatever becomes of the client afterwards. Each
case is an account of its own: ledger, limit, faults. Every picture is another one, so
that a file can be told from any other and from a damaged one.
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import random
import struct
import subprocess
import sys
import unicodedata
import urllib.parse
import urllib.request
import zlib
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
from support.judge import verdicts
from support.processes import unmeasured

PATH = "/api/paas/v4"
KEY = "sk-judge-0123456789"


def content(picture: bytes) -> str:
    """Name a picture by its image data: metadata may be added without changing it."""
    digest, position = hashlib.sha256(), 8
    while position + 12 <= len(picture):
        (length,) = struct.unpack_from(">I", picture, position)
        if picture[position + 4 : position + 8] == b"IDAT":
            data = picture[position + 8 : position + 8 + length]
            checksum = picture[position + 8 + length : position + 12 + length]
            if struct.pack(">I", zlib.crc32(b"IDAT" + data)) != checksum:
                return "damaged"
            digest.update(data)
        if picture[position + 4 : position + 8] == b"IEND":
            return digest.hexdigest()
        position += 12 + length
    return "damaged"


def canonical(prompt: str) -> str:
    """Name a prompt by what it says, however it is spelled."""
    return unicodedata.normalize("NFC", prompt).strip()


def chunk(name: bytes, data: bytes) -> bytes:
    """Write one chunk of a PNG."""
    return (
        struct.pack(">I", len(data))
        + name
        + data
        + struct.pack(">I", zlib.crc32(name + data))
    )


def picture(seed: str, size: int) -> bytes:
    """Draw a real PNG of noise, about `size` bytes, that nothing else resembles."""
    side = max(1, int((size / 3) ** 0.5))
    noise = random.Random(seed)
    rows = b"".join(b"\0" + noise.randbytes(3 * side) for _ in range(side))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
            chunk(b"IDAT", zlib.compress(rows, 0)),
            chunk(b"IEND", b""),
        )
    )


class Account:
    """Hold the ledger of one case, and what it was told to do."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told: dict[str, Any] = {
            "limit": None,
            "delay": (0.01, 0.05),
            "size": 6000,
            "plan": {},
            "balance": None,
            "host": None,
            "host_delay": (0.0, 0.0),
            **told,
        }
        self.in_flight = 0
        self.most_in_flight = 0
        self.seen: Counter[str] = Counter()
        self.entries: list[dict[str, Any]] = []
        self.gone: set[int] = set()
        self.fetches: Counter[int] = Counter()
        self.checks = 0

    def verdict(self, prompt: str) -> str:
        """Say what happens to a request: by the plan for its prompt, try by try."""
        plan = self.told["plan"].get(prompt, [])
        attempt = self.seen[prompt]
        self.seen[prompt] += 1
        if attempt < len(plan) and plan[attempt]:
            return str(plan[attempt])
        balance = self.told["balance"]
        if balance is not None and self.billed >= balance:
            return "balance"
        if self.told["limit"] is not None and self.in_flight >= self.told["limit"]:
            return "refuse"
        return "make"

    @property
    def billed(self) -> int:
        return sum(entry["billed"] for entry in self.entries)

    def enter(self, prompt: str, verdict: str, seed: str) -> dict[str, Any]:
        billed = verdicts.bills(verdict)
        pictures = [seed, *(f"{seed}.{n}" for n in range(1, verdicts.links(verdict)))]
        found = [content(picture(one, self.told["size"])) for one in pictures if billed]
        entry = {
            "prompt": prompt,
            "verdict": verdict,
            "billed": billed,
            "answered": False,
            "content": found[0] if found else None,
            "contents": found,
            "fetched": 0,
        }
        self.entries.append(entry)
        return entry


async def read_request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Read the first line and the body of a request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    length = next(
        (int(x[15:]) for x in lines if x.lower().startswith("content-length:")), 0
    )
    body = await reader.readexactly(length)
    return first, body


class Server:
    """Serve all the accounts over HTTP/1.1, keep-alive and all."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.port = 0

    async def serve(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        sys.stdout.write(f"{self.port}\n")
        sys.stdout.flush()
        # Whoever started this holds its input open, and closing that ends it.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    async def _connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while await self._request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            pass  # the service ends, and this client waits for what never comes
        finally:
            writer.transport.abort()

    async def _request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        first, body = await read_request(reader)
        method, target, _ = first.split(" ")
        name, _, rest = target.lstrip("/").partition("/")
        if name == "judge":
            return await self._judge(writer, rest, body)
        account = self.accounts[name]
        if method == "POST":
            return await self._generate(writer, account, name, body)
        return await self._fetch(writer, account, name, rest)

    async def _judge(
        self, writer: asyncio.StreamWriter, what: str, body: bytes
    ) -> bool:
        verb, _, name = what.partition("/")
        if verb == "open":
            self.accounts[name] = Account(json.loads(body))
        account = self.accounts[name]
        if verb == "tell":
            told = json.loads(body)
            account.told.update(told)
            if "plan" in told:
                account.seen.clear()  # the new plan begins with the next request
        if verb == "gone":
            account.gone.update(json.loads(body))
        ledger = {
            "entries": account.entries,
            "billed": account.billed,
            "in_flight": account.in_flight,
            "most_in_flight": account.most_in_flight,
            "fetches": account.fetches.total(),
            "checks": account.checks,
        }
        if verb == "close":
            del self.accounts[name]
        return await _reply(writer, 200, json.dumps(ledger).encode())

    async def _generate(
        self, writer: asyncio.StreamWriter, account: Account, name: str, body: bytes
    ) -> bool:
        prompt = canonical(json.loads(body)["prompt"])
        if not prompt:  # the free check of the client
            account.checks += 1
            return await _reply(writer, 400, verdicts.envelope("1214"))
        verdict = account.verdict(prompt)
        number = len(account.entries)
        entry = account.enter(prompt, verdict, f"{name} {number}")
        if verdict in verdicts.REFUSALS:
            status, code, _ = verdicts.REFUSALS[verdict]
            return await _reply(writer, status, verdicts.envelope(code))
        account.in_flight += 1
        account.most_in_flight = max(account.most_in_flight, account.in_flight)
        try:
            # The picture is made and paid for, whether or not anybody still waits.
            await asyncio.sleep(random.uniform(*account.told["delay"]))
        finally:
            account.in_flight -= 1
        return await self._answer(writer, verdict, entry, f"{name}/p/{number}")

    async def _answer(
        self,
        writer: asyncio.StreamWriter,
        verdict: str,
        entry: dict[str, Any],
        path: str,
    ) -> bool:
        ends = [".png", *(f".{n}.png" for n in range(1, len(entry["contents"])))]
        host = f"http://127.0.0.1:{self.port}"
        answer = verdicts.answer(
            verdict, [f"{host}/{path}{end}?Signature=judge" for end in ends]
        )
        if verdict.startswith("page "):
            status, page, kind = verdicts.page(verdict)
            return await _reply(writer, status, page, kind=kind)
        if verdicts.brings_link(verdict):
            await _reply(writer, 200, answer)
            entry["answered"] = True
            return True
        if verdict == "half":
            await _reply(writer, 200, answer, cut=len(answer) // 2)
        if verdict == "hang":
            await asyncio.sleep(3600)
        return False

    async def _fetch(
        self, writer: asyncio.StreamWriter, account: Account, name: str, path: str
    ) -> bool:
        what = path.partition("?")[0].removeprefix("p/").removesuffix(".png")
        number = int(what.partition(".")[0])
        account.fetches[number] += 1
        await asyncio.sleep(random.uniform(*account.told["host_delay"]))
        host = account.told["host"]
        if host == "reset":
            return False
        if host is not None and host.isdigit():
            return await _reply(writer, int(host), b"judged", kind="text/plain")
        if number in account.gone or not account.entries[number]["billed"]:
            return await _reply(writer, 404, b"gone", kind="text/plain")
        data = picture(f"{name} {what}", account.told["size"])
        if host == "html":
            data = b"<html>Sign in to go on</html>"
        if host == "cut":
            await _reply(writer, 200, data, kind="image/png", cut=len(data) // 2)
            return False
        await _reply(writer, 200, data, kind="image/png")
        account.entries[number]["fetched"] += host is None
        return True


async def _reply(
    writer: asyncio.StreamWriter,
    status: int,
    body: bytes,
    *,
    kind: str = "application/json",
    cut: int | None = None,
) -> bool:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
    writer.write(head.encode() + b"\r\n\r\n" + body[:cut])
    await writer.drain()
    return True


@attrs.frozen(kw_only=True)
class Bill:
    """
    Hold what the service knows, in the order of the requests.

    Attributes:
        entries: Each request: its prompt, verdict, whether it was billed and answered,
            how often its picture was fetched, and the `content` of the picture (of
            several, all `contents`).
        checks: Free checks: requests of an empty prompt, which are in no ledger.
    """

    entries: tuple[dict[str, Any], ...]
    in_flight: int
    most_in_flight: int
    fetches: int
    checks: int = 0

    @property
    def billed(self) -> Counter[str]:
        """How often each prompt was paid for."""
        return Counter(entry["prompt"] for entry in self.entries if entry["billed"])

    @property
    def asked(self) -> Counter[str]:
        """How often each prompt was asked for."""
        return Counter(entry["prompt"] for entry in self.entries)

    def contents(self, prompt: str) -> set[str]:
        """Tell which pictures were sold for a prompt."""
        mine = [entry for entry in self.entries if entry["prompt"] == prompt]
        return {one for entry in mine for one in entry["contents"]}


@attrs.frozen(kw_only=True)
class Case:
    """Hold one account at the service."""

    service: "PaidService"
    name: str
    key: str = KEY

    @property
    def base_url(self) -> str:
        return f"{self.service.address}/{self.name}{PATH}"

    @property
    def environment(self) -> dict[str, str]:
        return {"ZAI_BASE_URL": self.base_url, "ZAI_API_KEY": self.key}

    def bill(self) -> Bill:
        """Read the ledger."""
        told = self.service.call(f"ledger/{self.name}")
        return Bill(
            entries=tuple(told["entries"]),
            in_flight=told["in_flight"],
            most_in_flight=told["most_in_flight"],
            fetches=told["fetches"],
            checks=told["checks"],
        )

    def tell(self, **told: Any) -> None:
        """Change what it does from now on; a plan begins with the next request."""
        self.service.call(f"tell/{self.name}", told)

    def forget_pictures(self, *numbers: int) -> None:
        """Let the links of some requests lead nowhere."""
        self.service.call(f"gone/{self.name}", list(numbers))

    def close(self) -> None:
        """Drop the account."""
        self.service.call(f"close/{self.name}")


class PaidService:
    """Run the service beside this process."""

    def __init__(self) -> None:
        self._cases = itertools.count(1)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "support.judge.paid_service"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=unmeasured() | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert self._process.stdout is not None
        self.address = f"http://127.0.0.1:{self._process.stdout.readline().strip()}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()  # closes its input, which ends it

    def case(self, **told: Any) -> Case:
        """
        Open an account.

        Args:
            told: `limit` of places, `delay` (from, to) in seconds, `size` of a picture
                in bytes, `plan` {prompt: [verdict of its next request, ...]},
                `balance`: how many pictures are paid for before 1113, `host`: what the
                picture host does (a status, `reset`, `cut`, `html`; None: it is well),
                and `host_delay` (from, to) in seconds.
        """
        name = f"c{next(self._cases)}"
        self.call(f"open/{name}", told)
        return Case(service=self, name=name)

    def call(self, what: str, body: Any = None) -> dict[str, Any]:
        """Talk to the judge's side of the service."""
        data = json.dumps(body if body is not None else {}).encode()
        url = f"{self.address}/judge/{urllib.parse.quote(what)}"
        with urllib.request.urlopen(url, data) as answer:  # noqa: S310 - loopback
            found: dict[str, Any] = json.load(answer)
        return found


def main() -> None:
    """Serve until the input is closed."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    asyncio.run(Server().serve())


if __name__ == "__main__":
    main()
