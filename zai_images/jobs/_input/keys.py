"""What makes two items the same: the key that decides what is paid for again."""

import hashlib
import json

from zai_images._api.request import ImageRequest

_SIZE = 16  # bytes; two of a billion items meet once in 10^20 jobs


class Keys:
    """
    Give each request its key, and equal ones keys of their own, in order.

    The key is a hash of the body that goes out, the caller's id, and how many equal
    requests came before. So the same input gives the same keys each time, wherever
    lines are put in between or moved to, and a changed prompt is new work.

    Two small numbers are kept for each request: some 70 MB for a million.

    Attributes:
        duplicates: Requests that were equal to an earlier one.
    """

    def __init__(self) -> None:
        self.duplicates = 0
        self._seen: set[int] = set()
        self._repeats: dict[int, int] = {}

    def key(self, request: ImageRequest, body: bytes, *, repeat: int = 0) -> bytes:
        """Give the next request its key; `repeat` is not 0 for one more of a line."""
        content = b"%b\0%b" % (body, json.dumps(request.id).encode())
        first = hashlib.blake2b(content, digest_size=_SIZE)
        mark = int.from_bytes(first.digest()[:8])
        count = 0
        if mark in self._seen:
            count = self._repeats[mark] = self._repeats.get(mark, 0) + 1
            self.duplicates += not repeat
        else:
            self._seen.add(mark)
        first.update(b"\0%d" % count)
        return first.digest()
