"""The map is true, and whatever is added to the house is told where users look."""

import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

import zai_images
from zai_images import Picture, SessionConfig, ZaiImagesError, events
from zai_images._api.codes import CODES
from zai_images.cli._app import app
from zai_images.jobs._input.files import SUFFIXES
from zai_images.jobs._input.formats import READERS, Format
from zai_images.sandbox import _answers

PACKAGE = Path(zai_images.__file__).parent
# Where the documents are; the package may be installed elsewhere.
ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MAP = (DOCS / "architecture.md").read_text()
NEW_PAGES = ("architecture.md", "contributing.md", "changes/README.md")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Classes of errors that only hold others together.
GROUPS = {"ZaiImagesError", "TransportError", "APIError"}


def section(title: str, page: str = MAP) -> str:
    """Find what stands under a heading, up to the next of its level."""
    (found,) = re.findall(
        rf"^(#+) {title}\n(.*?)(?=^#{{1,2}} |\Z)", page, re.DOTALL | re.MULTILINE
    )
    return found[1]


def first_cells(text: str) -> list[str]:
    """List the names in code in the first cells of a table."""
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def target(page: Path, link: str) -> Path:
    """Tell where a link of a page leads, wherever the package is installed."""
    path = (page.parent / link).resolve()
    if path.is_relative_to(ROOT / "zai_images"):
        return PACKAGE / path.relative_to(ROOT / "zai_images")
    return path


def test_every_room_and_inner_folder_is_on_the_map_once():
    rooms = {found.name for found in pkgutil.iter_modules([str(PACKAGE)])}
    inner = {
        path.parent.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.glob("*/*/__init__.py")
    }

    assert sorted(first_cells(section("The rooms"))) == sorted(
        {"__init__", *rooms, *inner}
    )


def test_the_drawing_of_the_floors_is_fresh():
    ran = subprocess.run(
        [sys.executable, DOCS / "floors.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", NEW_PAGES)
def test_every_link_of_a_page_leads_somewhere(name):
    page = DOCS / name
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())

    assert links
    assert not [link for link in links if not target(page, link).exists()]


@pytest.mark.parametrize("name", NEW_PAGES)
def test_every_path_that_a_page_names_is_there(name):
    """A path is of the repository or of the package; `<...>` and `*` stand for any."""
    named = re.findall(r"`([\w.<>*/-]+(?:\.\w+|/))`", (DOCS / name).read_text())
    paths = [
        path
        for path in named
        if "/" in path or re.search(r"\.(py|md|toml|json|sqlite)$", path)
    ]

    missing = [
        path
        for path in paths
        if not any(
            [*base.glob(re.sub(r"<[^>]*>", "*", path.rstrip("/")))]
            for base in (ROOT, PACKAGE.parent, PACKAGE)
        )
    ]
    assert missing == []


@pytest.mark.parametrize(
    "title", ["How one prompt travels", "How a line of a job travels"]
)
def test_every_name_of_a_step_is_in_the_files_that_the_step_links(title):
    steps = re.findall(r"^\d+\. .*$", section(title), re.MULTILINE)

    assert len(steps) > 10
    for step in steps:
        files = re.findall(r"\(\.\./(zai_images/[\w/]+\.py)\)", step)
        text = "\n".join(target(DOCS / "x", f"../{f}").read_text() for f in files)
        for name in re.findall(r"`([A-Za-z_][\w.]*)`", step):
            for part in name.split("."):
                assert re.search(rf"\b{part}\b", text), f"{name} in: {step}"


def test_every_fragment_of_the_changelog_becomes_a_part_of_it():
    towncrier = SETTINGS["tool"]["towncrier"]
    types = {kind["directory"]: kind["name"] for kind in towncrier["type"]}
    fragments = [
        path
        for path in (ROOT / towncrier["directory"]).iterdir()
        if path.name != "README.md"
    ]
    for path in fragments:
        named = re.fullmatch(r"\+[a-z0-9-]+\.(\w+)\.md", path.name)
        assert named, path.name
        assert named[1] in types, path.name
    ran = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "9.9"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert "## 9.9 (" in ran.stdout
    for path in fragments:
        assert path.read_text().strip() in ran.stdout


def test_the_types_of_fragments_are_those_of_their_page():
    page = (DOCS / "changes/README.md").read_text()

    types = [kind["directory"] for kind in SETTINGS["tool"]["towncrier"]["type"]]
    assert first_cells(page) == types
    marker = SETTINGS["tool"]["towncrier"]["start_string"]
    assert marker in (DOCS / "changelog.md").read_text()


def test_every_error_is_told_in_the_guide():
    errors = {
        name
        for name in zai_images.__all__
        if isinstance(kind := getattr(zai_images, name), type)
        and issubclass(kind, ZaiImagesError)
    }
    told = first_cells(section("When it fails", (DOCS / "guide.md").read_text()))

    assert sorted(told) == sorted(errors - GROUPS)


def test_every_setting_is_told_in_the_guide():
    documented = re.findall(r"^ *\| `([\w.]+)` \|", SessionConfig.__doc__, re.MULTILINE)
    told = first_cells(section("Settings", (DOCS / "guide.md").read_text()))

    assert told == documented


def test_every_event_is_told_to_whoever_imports_them():
    kinds = {
        name
        for name, kind in vars(events).items()
        if isinstance(kind, type)
        and issubclass(kind, events.Event)
        and kind.__module__ == events.__name__
    }

    assert kinds <= set(events.__all__)


def test_every_code_has_its_status_in_the_sandbox():
    """The sandbox can play all that the client knows, from a table of its own."""
    assert set(CODES) <= set(_answers._STATUSES)


COMMANDS = [name for name in app if not name.startswith("-")]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_tests_and_is_told_in_the_documents(command):
    pages = [ROOT / "README.md", *DOCS.glob("*.md")]

    assert (ROOT / f"tests/cli/test_cli_{command}.py").exists()
    assert any(f"zai-images {command}" in page.read_text() for page in pages)


def test_every_option_of_a_batch_is_told_where_jobs_are():
    page = (DOCS / "jobs.md").read_text()
    options = {
        name
        for argument in app["batch"].assemble_argument_collection()
        for name in argument.names
        if name.startswith("--") and not name.startswith("--no-")
    }

    assert {"--out", "--max-cost", "--sandbox"} <= options
    assert {name for name in options if name not in page} == set()


def test_every_kind_of_prompt_file_is_told_where_jobs_are():
    told = first_cells(section("The input", (DOCS / "jobs.md").read_text()))

    assert set(SUFFIXES) <= set(told)
    assert set(SUFFIXES.values()) == set(READERS) == set(get_args(Format))


def test_every_field_of_a_picture_is_told_in_its_docstring():
    told = re.findall(r"^ {4}(\w+):", inspect.getdoc(Picture), re.MULTILINE)

    assert told == [field.name for field in Picture.__attrs_attrs__]
