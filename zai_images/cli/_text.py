"""Words, numbers and moments as people read them, and none that a terminal obeys."""

import json
import unicodedata
from datetime import UTC, datetime
from urllib.parse import quote


def shown(text: str, most: int = 500) -> str:
    """Make a stranger's text fit for one line of a terminal."""
    line = " ".join(text[: most * 2].split())
    line = "".join(char if char.isprintable() else "�" for char in line)
    return line if len(line) <= most else line[: most - 1] + "…"


def _commands(char: str) -> bool:
    """Tell what moves a terminal or turns its text round, instead of being shown."""
    return unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")


def harmless(text: str) -> str:
    """Write what a terminal would obey as JSON writes it; lines may end."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        json.dumps(char)[1:-1] if char != "\n" and _commands(char) else char
        for char in text
    )


def whole_link(url: str) -> str:
    """Write a link so that it can be copied from a terminal and still leads there."""
    return "".join(quote(char) if _commands(char) else char for char in url)


def some(number: int, thing: str) -> str:
    """Write a number of things: `1 picture`, `2 pictures`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def dollars(amount: float) -> str:
    """Write a sum, with a third digit where it counts: `$0.24`, `$0.015`."""
    text = f"{amount:.3f}"
    return f"${text.removesuffix('0')}"


def json_line(record: object) -> str:
    """Write a record for programs, of which a terminal obeys nothing either."""
    return harmless(json.dumps(record, ensure_ascii=False, default=str))


def duration(seconds: float) -> str:
    """Write seconds as people do: `8.2 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def until(moment: datetime) -> str:
    """Write a moment, and how far off it is: `at ... 08:00 UTC (in 3 h 10 min)`."""
    moment = moment.astimezone(UTC)
    seconds = (moment - datetime.now(UTC)).total_seconds()
    off = f"in {duration(seconds)}" if seconds >= 0 else f"{duration(-seconds)} ago"
    return f"at {moment:%Y-%m-%d %H:%M} UTC ({off})"
