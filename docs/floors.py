"""
Draw the floors of the package into docs/architecture.md, from pyproject.toml.

    python docs/floors.py            # writes the drawing between the two markers
    python docs/floors.py --check    # writes nothing; exits 1 where it is stale
"""

import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

PAGE = Path(__file__).with_name("architecture.md")
SETTINGS = PAGE.parents[1] / "pyproject.toml"
BEGIN = "<!-- floors: written by docs/floors.py -->\n"
END = "<!-- floors: end -->\n"
WIDTH = 60  # characters inside the house
MOST = 88  # characters in a line
CORNERS = {"top": ("┌", "┐"), "middle": ("├", "┤"), "bottom": ("└", "┘")}


def draw(contracts: Iterable[Mapping[str, Any]]) -> str:
    """Draw the house, its walls, and the floors of its rooms."""
    layers = [one for one in contracts if one["type"] == "layers"]
    walls = [one for one in contracts if one["type"] == "forbidden"]
    (house,) = [one for one in layers if one["containers"] == ["zai_images"]]
    lines = [*_house([_names(floor) for floor in house["layers"]]), ""]
    for wall in walls:
        inside, outside = wall["source_modules"], wall["forbidden_modules"]
        lines.append(
            f"{', '.join(map(_short, inside))} imports nothing of "
            f"{', '.join(map(_short, outside))}: {wall['name']}"
        )
    lines += ["", "Inside a room, from the top floor down:", ""]
    rooms = [one for one in layers if one is not house]
    names = [_short(one["containers"][0]).replace(".", "/") for one in rooms]
    indent = max(map(len, names)) + 2
    for name, room in zip(names, rooms, strict=True):
        # What is on one floor stays on one line.
        floors = " > ".join(floor.replace(" ", "\xa0") for floor in room["layers"])
        begin, *more = wrap(floors.replace(" >", "\xa0>"), MOST - indent)
        lines += [name.ljust(indent) + begin, *(" " * indent + one for one in more)]
    return "```text\n" + "\n".join(lines).replace("\xa0", " ") + "\n```\n"


def _names(floor: str) -> list[str]:
    return floor.split(" | ")


def _short(module: str) -> str:
    return module.removeprefix("zai_images.")


def _house(floors: Sequence[Sequence[str]]) -> list[str]:
    walls: set[int] = set()  # the columns of those in the floor above
    lines: list[str] = []
    for floor in floors:
        cells = [WIDTH // len(floor)] * (len(floor) - 1)
        cells.append(WIDTH - sum(cells))
        below = {sum(cells[:n]) - 1 for n in range(1, len(cells))}
        lines.append(_beam("middle" if lines else "top", walls, below))
        rooms = zip(floor, cells, strict=True)
        texts = [f" {name}".ljust(cell - 1) for name, cell in rooms]
        lines.append("│" + "│".join(texts) + " │")
        walls = below
    return [*lines, _beam("bottom", walls, set())]


def _beam(kind: str, above: set[int], below: set[int]) -> str:
    left, right = CORNERS[kind]
    joints = {(True, True): "┼", (True, False): "┴", (False, True): "┬"}
    inner = (joints.get((at in above, at in below), "─") for at in range(WIDTH))
    return left + "".join(inner) + right


def main() -> int:
    """Write the drawing, or compare it where only that is asked for."""
    settings = tomllib.loads(SETTINGS.read_text())
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f"{PAGE.name} lacks the lines {BEGIN.strip()} and {END.strip()}")
    drawn = draw(settings["tool"]["importlinter"]["contracts"])
    page = before + BEGIN + drawn + END + after
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page)
    elif page != text:
        print(f"{PAGE.name} is stale; run: python docs/floors.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
