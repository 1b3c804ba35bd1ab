"""A journal to look into, and to carry out steps on."""

import sqlite3

from zai_images._api.response import RawResponse
from zai_images.jobs._journal import steps
from zai_images.jobs._journal.steps import Attempt, Received, Saved, Settled

URL = "https://x.example/a.png"
PICTURE = (200, b'{"created": 1, "data": [{"url": "https://x.example/a.png"}]}')
NO_PLACE = (429, b'{"error": {"code": "1302", "message": "busy"}}')
UNSAFE = (400, b'{"error": {"code": "1301", "message": "unsafe"}}')
FAILURE = (500, b'{"error": {"code": "1234", "message": "network"}}')
HTML = (200, b"<html>")


class Book:
    """Look into a journal, and carry out its steps."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        self.connection = connection
        self._attempts = 0

    def add(self, *ends: object, **more: object) -> int:
        """Put an item in, with an attempt for each end: an answer, or how it ended."""
        number = len(self.all("items")) + 1
        fields = {"key": b"%d" % number, "position": 1, "body": '{"model": "m"}'}
        fields |= {"number": number} | more
        marks = ", ".join("?" * len(fields))
        self.connection.execute(
            f"INSERT INTO items ({', '.join(fields)}) VALUES ({marks})",  # noqa: S608 - our own
            tuple(fields.values()),
        )
        for end in ends:
            self.attempt(number, end)
        return number

    def attempt(self, number: int, end: object = None, *, again: bool = False):
        """Send an item, and have that end as it is told."""
        self._attempts += 1
        attempt = Attempt(id=self._attempts, number=number, price=0.01, again=again)
        self.do(steps.intend(attempt))
        if isinstance(end, tuple):
            self.do(steps.record(received(attempt, end)))
        elif end is not None:
            self.do(steps.record(Settled(attempt=attempt, billed=end)))
        return attempt

    def save(self, number: int, path: str = "a.png", size: int = 3) -> None:
        self.do(
            steps.record(
                Saved(number=number, path=path, size=size, sha256="ab", at=2.0)
            )
        )

    def do(self, step):
        return step(self.connection)

    def all(self, table: str) -> list[sqlite3.Row]:
        query = f"SELECT * FROM {table} ORDER BY 1"  # noqa: S608 - our own
        return self.connection.execute(query).fetchall()

    def item(self, number: int = 1) -> sqlite3.Row:
        return self.all("items")[number - 1]

    def stands(self, number: int = 1) -> tuple[str, int, int]:
        item = self.item(number)
        return item["state"], item["billed"], item["maybe"]

    def states(self) -> list[str]:
        return [row["state"] for row in self.all("items")]

    def bodies(self) -> list[bytes]:
        return [row["body"] for row in self.all("attempts")]


def received(attempt, answer, at=1.0):
    status, body = answer
    raw = RawResponse(status=status, request_id="r-1", body=body)
    return Received(attempt=attempt, raw=raw, at=at)
