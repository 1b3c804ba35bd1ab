"""What people do to a job between its runs: to its files, and to its input."""

import csv
import io
import json
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.judge.life import Life, replaced
from support.judge.paid_service import chunk, picture
from support.judge.rounds import Round

FILES = (
    "all moved away, and back",
    "a folder of them moved away, and back",
    "one moved away, and back",
    "one removed",
    "one renamed",
    "one moved to another folder",
    "one edited",
    "one cut off",
    "one emptied",
    "one replaced",
    "a file under the name of one to come",
)
SPELLINGS = (
    "ids as text",
    "numbers as text and text as numbers",
    "in another order",
    "as CSV",
    "as TSV",
    "with more blanks and keys in another order",
    "decomposed",
    "with the defaults written out",
    "exported as JSON lines",
    "exported as CSV",
)


def meddle(game: Round, life: Life, what: str) -> None:
    """Do something to the files of a job before its next run."""
    life.before.append(lambda: _meddle(game, life, what))


def _meddle(game: Round, life: Life, what: str) -> None:
    untouched = game.gone | game.edited | game.adrift
    saved = [
        item
        for item in game.trial.items()
        if item.state == "saved" and item.path and item.number not in untouched
    ]
    if what == "a file under the name of one to come":
        _their_own(game)
    elif what.startswith(("all", "a folder")):
        _move_away(game, life, what, any_saved=bool(saved))
    elif saved:
        item = game.dice.choice(saved)
        _ONE[what](game, life, item.number, game.job / item.path)


def _move_away(game: Round, life: Life, what: str, *, any_saved: bool) -> None:
    pictures = game.job / "pictures"
    folder = pictures if what.startswith("all") else pictures / "000"
    if not folder.exists():
        return
    aside = game.trial.place / "not mounted"
    replaced(folder, aside)
    life.after.append(lambda: _put_back(aside, folder))
    life.still = any_saved


def _put_back(aside: Path, folder: Path) -> None:
    """Mount it again: what was written to its place meanwhile is under it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    replaced(aside, folder)


def _one_away(game: Round, life: Life, number: int, file: Path) -> None:
    aside = game.trial.place / file.name
    replaced(file, aside)
    game.adrift.add(number)

    def back() -> None:
        if not file.exists():
            replaced(aside, file)
        game.adrift.discard(number)

    life.after.append(back)


def _removed(game: Round, life: Life, number: int, file: Path) -> None:
    file.unlink()
    game.gone.add(number)


def _renamed(game: Round, life: Life, number: int, file: Path) -> None:
    replaced(file, file.with_name(f"the best of {number}.png"))
    game.adrift.add(number)


def _to_another_folder(game: Round, life: Life, number: int, file: Path) -> None:
    folder = game.job / "pictures" / "favourites"
    folder.mkdir(exist_ok=True)
    replaced(file, folder / file.name)
    game.adrift.add(number)


def _edited(game: Round, life: Life, number: int, file: Path) -> None:
    data = file.read_bytes()
    header = 8 + 12 + 13  # the signature and IHDR
    text = chunk(b"tEXt", f"Title\0number {number}".encode())
    _make_theirs(game, number, file, data[:header] + text + data[header:])


def _replaced(game: Round, life: Life, number: int, file: Path) -> None:
    _make_theirs(game, number, file, picture(f"a user's own {number}", 3000))


def _make_theirs(game: Round, number: int, file: Path, data: bytes) -> None:
    file.write_bytes(data)
    game.theirs[file] = data
    game.edited.add(number)


def _cut_off(game: Round, life: Life, number: int, file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    game.adrift.add(number)


def _emptied(game: Round, life: Life, number: int, file: Path) -> None:
    file.write_bytes(b"")
    game.adrift.add(number)


_ONE: dict[str, Callable[[Round, Life, int, Path], None]] = {
    "one moved away, and back": _one_away,
    "one removed": _removed,
    "one renamed": _renamed,
    "one moved to another folder": _to_another_folder,
    "one edited": _edited,
    "one cut off": _cut_off,
    "one emptied": _emptied,
    "one replaced": _replaced,
}


def _their_own(game: Round) -> None:
    """Put a person's file where the picture of an item would go that has none."""
    waiting = [
        item.number
        for item in game.trial.items()
        if item.state in ("pending", "answered", "unknown")
    ]
    if not waiting or not (game.job / "pictures").is_dir():
        return
    number = game.dice.choice(waiting)
    file = game.job / "pictures" / "000" / f"{number:06d}.png"
    if file.exists():
        return
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(picture(f"a user's own {number}", 3000))
    game.theirs[file] = file.read_bytes()


# The input.


def spell(game: Round, life: Life, how: str) -> None:
    """Give the same input in another spelling: it asks for nothing new."""
    life.command = "batch"
    life.before.append(lambda: _spell(game, life, how))


def _spell(game: Round, life: Life, how: str) -> None:
    base = (game.trial.place / "p.jsonl").read_text()
    lines = [json.loads(line) for line in base.splitlines()]
    if how.startswith("exported"):
        kind = "csv" if how.endswith("CSV") else "jsonl"
        text = _exported(game, kind)
    elif how in ("as CSV", "as TSV"):
        kind = how[-3:].lower()
        text = _table(lines, "," if kind == "csv" else "\t")
    else:
        kind = "jsonl"
        text = "".join(_spelled(line, how) for line in _ordered(game.dice, lines, how))
    if text:
        life.source = f"again.{kind}"
        (game.trial.place / life.source).write_text(text)


def _exported(game: Round, kind: str) -> str:
    if not game.trial.items():
        return ""  # there is no job yet
    return game.trial.run("export", game.trial.out, "--format", kind).out


def _table(lines: list[dict[str, Any]], delimiter: str) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, ["id", "prompt"], delimiter=delimiter)
    table.writeheader()
    table.writerows(lines)
    return text.getvalue()


def _ordered(
    dice: random.Random, lines: list[dict[str, Any]], how: str
) -> list[dict[str, Any]]:
    return dice.sample(lines, len(lines)) if how == "in another order" else lines


def _spelled(line: dict[str, Any], how: str) -> str:
    if how == "ids as text" and "id" in line:
        line["id"] = str(line["id"])
    elif how.startswith("numbers") and "id" in line:
        line["id"] = str(line["id"]) if line["id"] % 2 else line["id"]
    elif how == "decomposed":
        line["prompt"] = unicodedata.normalize("NFD", line["prompt"])
    elif how.startswith("with the defaults"):
        line |= {"model": "cogview-4-250304"}
    elif how.startswith("with more blanks"):
        line = {name: line[name] for name in reversed(line)}
        line["prompt"] = f" {line['prompt']}  "
        return json.dumps(line, indent=None, separators=(" , ", " :  ")) + "\n"
    return json.dumps(line, ensure_ascii="dec" not in how) + "\n"
