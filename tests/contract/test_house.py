"""The shape of the house: floors, walls, one owner a dependency, a thin porch."""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import requires
from pathlib import Path
from textwrap import dedent

import pytest
from support.processes import unmeasured

import zai_images

PACKAGE = Path(zai_images.__file__).parent
# Where the settings are; the package may be installed elsewhere.
ROOT = Path(__file__).parents[2]
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
)
OWNERS = {
    "aiohttp": {"_http", "sandbox"},
    "yarl": {"_http"},  # aiohttp's own URLs, and comes with it
    "tenacity": {"_session"},
    "cattrs": {"_api"},
    "PIL": {"sandbox"},
    "rich": {"cli"},
    "cyclopts": {"cli"},
    "sqlite3": {"jobs"},
    "pytest": {"_pytest_plugin"},
    "IPython": {"notebook"},
}
EVERYONES = {"attrs"}
TESTS = Path(__file__).parents[1]
CORE_ROOMS = {"_api", "_http", "_limiter", "_session", "_batch", "_picture"}
CORE_MODULES = {"_config", "_redact", "events", "testing"}
NO_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}
# What the command line may know of the inside, and why; three at the most.
KNOWN_TO_THE_CLI = {
    "zai_images._api.models": "a private sandbox has the list prices of every model",
    "zai_images._picture.files": "what it writes is whole or absent, and private",
}
NO_IO = {"asyncio", "socket", "ssl", "pathlib", "tempfile", "urllib.request"}


def imports(module: str) -> set[str]:
    """List what a module imports, anywhere in it and for types alone included."""
    path = PACKAGE.parent / (module.replace(".", "/") + ".py")
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = found & {*MODULES}
            names |= modules or {node.module}
    return names


def room(module: str) -> str:
    return module.split(".")[1]


def python(code: str) -> str:
    """Run code in a process of its own, where not even coverage has loaded a thing."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=unmeasured(),
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_the_floors_and_the_sandboxs_wall_stand():
    ran = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout


def test_the_house_stays_small_enough_to_walk():
    """Rooms, the arrows between them and the floors, each counted once."""
    rooms = {room(module) for module in MODULES} - {"__init__", "__main__"}
    arrows = {
        (room(module), room(name))
        for module in MODULES
        for name in imports(module)
        if name.startswith("zai_images.") and room(name) != room(module)
    }
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    outer = settings["importlinter"]["contracts"][0]

    assert len(rooms) <= 17
    assert len(arrows) <= 65
    assert len(outer["layers"]) <= 11


@pytest.mark.parametrize("package", OWNERS)
def test_each_dependency_has_one_owner(package):
    users = {
        room(module)
        for module in MODULES
        if any(name.split(".")[0] == package for name in imports(module))
    }

    assert users <= OWNERS[package]


def test_every_dependency_has_an_owner():
    """A new one cannot slip in, not even where it happens to be installed."""
    outside = {name.split(".")[0] for module in MODULES for name in imports(module)}
    outside -= {*sys.stdlib_module_names, "zai_images"}

    assert outside <= {*OWNERS, *EVERYONES}


def test_only_the_journal_speaks_sql():
    """A statement elsewhere could move an item past the table of its states."""
    sql = re.compile(
        r"\b(SELECT|INSERT|UPDATE|DELETE|PRAGMA|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|CREATE|"
        r"DROP|ALTER)\b"
    )
    for module in MODULES:
        if module.startswith("zai_images.jobs._journal."):
            continue
        assert "sqlite3" not in imports(module), module
        tree = ast.parse(
            (PACKAGE.parent / (module.replace(".", "/") + ".py")).read_text()
        )
        docstrings = {id(node.value) for node in ast.walk(tree) if _is_docstring(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and id(node) not in docstrings:
                text = node.value if isinstance(node.value, str) else ""
                assert not sql.search(text), f"{module}: {text}"


def test_the_sandbox_imports_nothing_of_ours():
    """It reads the page for itself, or it could not disagree with the client."""
    for module in MODULES:
        if module.startswith("zai_images.sandbox."):
            ours = [one.split(".") for one in imports(module)]
            assert all("sandbox" in one for one in ours if one[0] == "zai_images")


def test_no_imports_go_round_in_a_circle():
    """On one floor and within a room too, where import-linter does not look."""
    named = {module.removesuffix(".__init__"): imports(module) for module in MODULES}

    TopologicalSorter(named).prepare()


@pytest.mark.parametrize(
    "module",
    ["errors", "frozen_json", "response", "models", "request", "codes", "judge"],
)
def test_the_lower_floors_do_no_io(module):
    assert not imports(f"zai_images._api.{module}") & NO_IO


def test_nothing_inside_imports_from_the_porch():
    """The command line is a user of it."""
    porch = set(zai_images.__all__)
    for module in [one for one in MODULES if room(one) != "cli"]:
        tree = ast.parse(
            (PACKAGE.parent / (module.replace(".", "/") + ".py")).read_text()
        )
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "zai_images":
                taken = {alias.name for alias in node.names} & porch
                assert not taken - {"__version__"}, f"{module} imports {taken}"


def test_the_command_line_uses_the_public_doors():
    used = {
        name
        for module in MODULES
        if room(module) == "cli"
        for name in imports(module)
        if name.startswith("zai_images.") and room(name) != "cli"
    }

    assert {name for name in used if "._" in name} == {*KNOWN_TO_THE_CLI}
    assert len(KNOWN_TO_THE_CLI) <= 3


def test_each_module_imports_alone(tmp_path, monkeypatch):
    """In one process each would hide what another had imported before."""
    # Each is loaded a hundred times, and must not be compiled as often.
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    names = [name for name in MODULES if not name.endswith(("__main__", "__init__"))]
    code = "import importlib, sys\n" + "".join(
        f"importlib.import_module({name!r})\n"
        "for m in [m for m in sys.modules if m.startswith('zai_images')]: "
        "del sys.modules[m]\n"
        for name in names
    )

    python(code)


def test_the_porch_loads_nothing_before_a_name_is_used():
    code = "import sys, zai_images; print(*sys.modules)"
    ours = {name for name in python(code).split() if name.startswith("zai_images")}

    assert ours == {"zai_images", "zai_images._version"}


def test_each_public_name_is_written_once_and_is_the_object_of_its_home():
    tree = ast.parse((PACKAGE / "_exports.py").read_text())
    listed = [
        (alias.name, alias.asname, node.module)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]

    assert zai_images.__all__ == sorted([*(name for name, *_ in listed), "__version__"])
    assert set(zai_images.__all__) <= set(dir(zai_images))
    for name, shown, home in listed:
        assert name == shown
        assert getattr(zai_images, name) is getattr(sys.modules[home], name)
    with pytest.raises(AttributeError, match="no attribute 'Imagesession'"):
        _ = zai_images.Imagesession


def test_the_porch_loads_no_room():
    code = "import sys; from zai_images import *; print(*sys.modules)"
    loaded = set(python(code).split())

    rooms = {"cli", "jobs", "sandbox", "testing", "notebook", "gallery"}
    assert not {f"zai_images.{name}" for name in rooms} & loaded
    assert not {"sqlite3", "PIL", "rich", "cyclopts", "IPython"} & loaded


def test_the_porch_is_the_contract():
    promised = """
        ImageSession ImageRequest ImageResponse Picture Size Quality SessionConfig
        RetryPolicy Timeouts SessionStats BatchRunner BatchRun Done Failed Outcome
        ZaiImagesError ConfigurationError InvalidRequestError BusyError BudgetError
        TransportError ConnectError AnswerLostError APIError AuthenticationError
        AccountError QuotaError ContentRefusedError RateLimitedError ServerError
        RequestRejectedError ResponseError DownloadError
    """
    assert set(promised.split()) <= set(zai_images.__all__)
    assert sorted(zai_images.__all__, key=str) == zai_images.__all__
    for name in zai_images.__all__:
        assert hasattr(zai_images, name)


def test_the_core_needs_four_packages_and_no_more():
    core = {
        line.split(">")[0] for line in requires("zai-images") if "extra ==" not in line
    }

    assert core == {"aiohttp", "attrs", "cattrs", "tenacity"}


def code_lines(text: str) -> set[int]:
    """Number the lines that are code: no blank one, comment, docstring or import."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {
        line
        for token in tokens
        if token.type not in NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(text)):
        if _is_docstring(node) or isinstance(node, ast.Import | ast.ImportFrom):
            lines -= {*range(node.lineno, (node.end_lineno or 0) + 1)}
    return lines


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def test_only_code_is_counted():
    text = dedent(
        """
        QQQTwo lines of
        a docstring.QQQ
        import os
        from os import (
            path,
        )

        # a comment
        TEXT = QQQthree
        lines of
        textQQQ  # and a comment


        def function(
            one,  # each line of a signature
        ):
            QQQa docstringQQQ
            # a comment

            return (
                one
            )
        """
    ).replace("QQQ", '"' * 3)

    assert len(code_lines(text)) == 9


def test_modules_and_functions_stay_small():
    long = {}
    for module in MODULES:
        text = (PACKAGE.parent / (module.replace(".", "/") + ".py")).read_text()
        code = code_lines(text)
        if len(code) > 250:
            long[module] = len(code)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = code & {*range(node.body[0].lineno, (node.end_lineno or 0) + 1)}
                if len(body) > 40:
                    long[f"{module}.{node.name}"] = len(body)

    assert long == {}


def test_modules_of_tests_stay_small():
    """All lines count: a table of cases is read from its beginning to its end."""
    long = {
        str(path.relative_to(TESTS)): lines
        for path in TESTS.rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 500
    }

    assert long == {}


def test_a_core_module_is_tested_by_a_module_of_its_name():
    """Whoever changes a module finds its tests: in the folder of its room, if any."""
    missing = []
    for module in MODULES:
        _, *rooms, name = module.split(".")
        if (rooms[:1] and rooms[0] not in CORE_ROOMS) or name.startswith("__"):
            continue
        if not rooms and name not in CORE_MODULES:
            continue
        folder = rooms[0].lstrip("_") if rooms else "*"
        path = PACKAGE.parent / (module.replace(".", "/") + ".py")
        if "def " not in path.read_text():
            continue  # values without behaviour
        if not [*TESTS.glob(f"{folder}/test_{name.lstrip('_')}*.py")]:
            missing.append(module)

    assert missing == []
