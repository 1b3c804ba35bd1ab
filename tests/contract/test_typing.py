"""What type checkers are shown of the public names is all of them."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import zai_images

FOLDER = Path(__file__).parent
SHOWN = sorted(FOLDER.glob("typing_*.py"))
# The command line is a door for people; what is in it is nobody's to import.
DOORS = ["zai_images"] + [
    f"zai_images.{found.name}"
    for found in pkgutil.iter_modules(zai_images.__path__)
    if not found.name.startswith("_") and found.name != "cli"
]


def used() -> set[str]:
    """List the names that the code uses; importing one is not using it."""
    names: set[str] = set()
    for file in SHOWN:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
    return names


@pytest.mark.parametrize("door", DOORS)
def test_every_public_name_is_shown_to_the_type_checkers(door):
    public = importlib.import_module(door).__all__

    assert public
    assert not set(public) - used()


@pytest.mark.parametrize("file", SHOWN, ids=lambda file: file.stem)
def test_every_mistake_says_which_error_it_must_be(file):
    """A bare `type: ignore` would be content with any other error on its line."""
    ignored = re.findall(r"# type: ignore(.*)", file.read_text())

    assert len(ignored) > 20
    assert all(re.fullmatch(r"\[[a-z, -]+\]", codes) for codes in ignored)
