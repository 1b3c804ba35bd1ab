"""File names from prompts: readable, safe everywhere, and the same every time."""

import hashlib
import re
import unicodedata

from zai_images._models import ImageRequest
from zai_images._wire import encode

LONGEST = 40  # characters
_ENOUGH = 400  # characters of a prompt that are looked at
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.ASCII)  # of Windows


def slug(prompt: str) -> str:
    """Make letters, digits and dashes of a prompt: `a-fox-in-the-snow`."""
    text = unicodedata.normalize("NFKC", prompt[:_ENOUGH].lower())
    # Marks are part of letters: without them Hindi or Arabic would fall apart.
    kept = (char if unicodedata.category(char)[0] in "LNM" else " " for char in text)
    words = "-".join("".join(kept).split())
    cut = words[:LONGEST]
    if len(words) > LONGEST and words[LONGEST] != "-":
        head, dash, _ = cut.rpartition("-")
        cut = head if dash and len(head) > LONGEST // 2 else cut
    cut = cut.strip("-") or "picture"
    return f"picture-{cut}" if _DEVICES.fullmatch(cut) else cut


class Keys:
    """
    Name requests by what they ask for, and equal ones by their count as well.

    The same file gives the same keys each time, wherever lines are put in between. One
    number is kept for each request; two of a file never get the same key, though it is
    short.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._repeats: dict[int, int] = {}

    def key(self, request: ImageRequest) -> str:
        """Give the next request its key of 8 hexadecimal digits."""
        content = b"%b\0%b\0" % (encode(request), str(request.id or "").encode())
        first = key = _key(content, 0)
        while key in self._taken:
            self._repeats[first] = self._repeats.get(first, 0) + 1
            key = _key(content, self._repeats[first])
        self._taken.add(key)
        return f"{key:08x}"


def _key(content: bytes, repeat: int) -> int:
    digest = hashlib.sha256(content + str(repeat).encode()).digest()
    return int.from_bytes(digest[:4])
