"""
What people install is the wheel: built, checked, and tested away from its source.

Everything happens in folders of its own, and nothing but the built files is taken
there: the tests that are run are those of the sdist, on the package of the wheel.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pythons import MISSING, interpreter

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
# Those that a machine cannot have are named here, such as "3.12"; any other must be.
PYTHONS = [
    found[1]
    for line in PROJECT["classifiers"]
    if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line))
]
SUBJECTS = PYPROJECT["tool"]["pytest"]["ini_options"]["testpaths"]
CORE = tuple(folder for folder in SUBJECTS if folder != "tests/security")
# Version, age of the dependencies, tests: the ends in full, and the middle in part.
ROUNDS = {
    "3.11": ("oldest", CORE),
    "3.13": ("newest", CORE),
    "3.12": ("newest", ("tests/api", "tests/limiter", "tests/session/test_session.py")),
}

pytestmark = pytest.mark.timeout(900)


def run(
    *command: str | Path, folder: Path, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a program where the source is not, and without what points back at it."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "COVERAGE", "COV_", "PYTEST", "VIRTUAL_ENV"))
    }
    return subprocess.run(
        command,
        cwd=folder,
        env=inherited | environment,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )


def must(*command: str | Path, folder: Path, **environment: str) -> str:
    ran = run(*command, folder=folder, **environment)
    assert ran.returncode == 0, ran.stdout[-8000:]
    return ran.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it."""
    folder = tmp_path_factory.mktemp("built")
    must(sys.executable, "-m", "build", "-o", folder, ROOT, folder=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def away_from_the_source(sdist: Path, folder: Path) -> Path:
    """Unpack everything but the package."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.glob("zai_images-*")
    shutil.rmtree(unpacked / "zai_images")
    return unpacked


def floors() -> str:
    """Pin what the package needs, its extras included, to the oldest allowed."""
    extras = PROJECT["optional-dependencies"]
    needed = {*PROJECT["dependencies"], *extras["cli"], *extras["sandbox"]}
    assert all(re.fullmatch(r"[a-z-]+>=[\d.]+", one) for one in needed)
    return "\n".join(one.replace(">=", "==") for one in sorted(needed))


def environment(
    version: str, wheel: Path, folder: Path, *, extra: str = "", age: str = "newest"
) -> Path:
    """Make an environment with the wheel in it, and tell where its programs are."""
    found = interpreter(version)
    assert found, f"there is no Python {version}, and PYTHONS_MISSING does not say so"
    must(found, "-m", "venv", folder / "venv", folder=folder)
    pins = folder / "pins.txt"
    pins.write_text(floors() if age == "oldest" else "")
    programs = folder / "venv/bin"
    what = f"zai-images{extra} @ {wheel.as_uri()}"
    must(programs / "pip", "install", "-q", "-c", pins, what, folder=folder)
    home = must(
        programs / "python", "-c", "import zai_images as z; print(z)", folder=folder
    )
    assert "site-packages" in home
    return programs


def one_round(version: str, built: tuple[Path, Path], folder: Path) -> str:
    """Run the tests of the sdist on the wheel, and tell the last line of it."""
    sdist, wheel = built
    age, rings = ROUNDS[version]
    programs = environment(version, wheel, folder, extra="[test]", age=age)
    tests = away_from_the_source(sdist, folder)
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--maxfail=20", *rings)
    said = must(programs / "python", *command, folder=tests)
    return said.splitlines()[-1]


@pytest.fixture(scope="module")
def rounds(
    built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, "concurrent.futures.Future[str]"]]:
    """Run them two at a time: each keeps one core busy, and no more."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield {
            version: pool.submit(
                one_round, version, built, tmp_path_factory.mktemp(version)
            )
            for version in ROUNDS
            if version not in MISSING
        }


def test_every_promised_python_has_a_round():
    assert sorted(PYTHONS) == sorted(ROUNDS)
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"


def test_the_same_source_makes_the_same_bytes(built, tmp_path):
    """The wheel too, whether it is built of the sdist or of the source."""
    command = ("-m", "build", "--sdist", "--wheel", "-o", tmp_path, ROOT)
    must(sys.executable, *command, folder=tmp_path, PYTHONHASHSEED="7")

    for first in built:
        assert first.read_bytes() == (tmp_path / first.name).read_bytes(), first.name


def test_an_index_would_take_both(built, tmp_path):
    must(sys.executable, "-m", "twine", "check", "--strict", *built, folder=tmp_path)
    check = Path(sys.executable).with_name("check-wheel-contents")
    must(check, built[1], folder=tmp_path)


def test_the_wheel_holds_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert "zai_images/py.typed" in names
    assert names == {name for name in tracked() if name.startswith("zai_images/")}


def test_the_sdist_holds_all_that_a_packager_needs(built):
    with tarfile.open(built[0]) as sdist:
        names = {member.name.partition("/")[2] for member in sdist.getmembers()}

    kept = {name for name in tracked() if not name.startswith(".ci/")}
    assert names == kept | {"PKG-INFO"}


def tracked() -> set[str]:
    """List the files of the project as git knows them, new ones included."""
    command = ("ls-files", "--cached", "--others", "--exclude-standard")
    listed = must("git", *command, folder=ROOT).splitlines()
    return {name for name in listed if (ROOT / name).exists()}


@pytest.mark.parametrize("version", sorted(ROUNDS))
def test_the_tests_pass_away_from_the_source(version, rounds, record_property):
    """On the oldest and the newest Python, with the oldest and newest packages."""
    if version in MISSING:
        pytest.skip(f"Python {version} cannot be had here: PYTHONS_MISSING says so")
    last = rounds[version].result()

    assert re.search(r"\d+ passed", last)
    assert "failed" not in last


@pytest.fixture(scope="module")
def bare(
    built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Install the wheel and nothing but what it needs, beside the code that uses it."""
    folder = tmp_path_factory.mktemp("bare")
    here = "{}.{}".format(*sys.version_info)
    programs = environment(here, built[1], folder)
    shutil.copy(ROOT / "pyproject.toml", folder)
    code = folder / "tests/contract"
    code.mkdir(parents=True)
    for file in ROOT.glob("tests/contract/typing_*.py"):
        shutil.copy(file, code)
    return programs, folder


ALONE = """
import asyncio, sys
from zai_images import BatchRunner, Done, ImageSession
from zai_images.sandbox import Sandbox

async def main():
    async with Sandbox(speed=100) as box:
        async with ImageSession(api_key=box.api_key, base_url=box.base_url) as session:
            outcomes = await BatchRunner(session, download=True).run(["a fox"] * 3)
            assert all(isinstance(one, Done) and one.picture for one in outcomes)
            assert box.bill.total == 3

asyncio.run(main())
assert not {"PIL", "rich", "cyclopts", "sqlite3"} & {*sys.modules}
"""


def test_the_core_works_alone_and_the_command_names_what_it_lacks(bare):
    """No extra is needed for a batch, and the command line asks for its own."""
    programs, folder = bare

    must(programs / "pip", "check", folder=folder)
    must(programs / "python", "-W", "error", "-c", ALONE, folder=folder)
    ran = run(programs / "zai-images", "--version", folder=folder)
    assert (ran.returncode, "Traceback" in ran.stdout) == (2, False)
    assert "zai-images[cli]" in ran.stdout


def pyright(*arguments: str, bare: tuple[Path, Path]) -> str:
    """Run it as if the environment were entered: there it looks for packages."""
    programs, folder = bare
    entered = {
        "VIRTUAL_ENV": str(programs.parent),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }
    program = Path(sys.executable).with_name("pyright")
    return must(program, *arguments, folder=folder, **entered)


def test_the_public_types_are_complete(bare):
    """By pyright's own measure; what aiohttp leaves untyped is aiohttp's."""
    said = pyright("--ignoreexternal", "--verifytypes", "zai_images", bare=bare)

    assert "Type completeness score: 100%" in said
    assert re.search(r'Symbols exported by "zai_images": [1-9]\d+', said)


def test_both_type_checkers_are_content_with_a_users_code(bare):
    """And find every mistake in it: an ignored error that is none is an error."""
    programs, folder = bare
    files = sorted((folder / "tests/contract").iterdir())
    options = ("--python-executable", programs / "python")

    must(sys.executable, "-m", "mypy", *options, *files, folder=folder)
    assert "0 errors" in pyright(bare=bare)
    files[0].write_text(files[0].read_text().replace("# type: ignore", "#"))
    assert run(sys.executable, "-m", "mypy", *options, *files, folder=folder).returncode
    with pytest.raises(AssertionError, match=r"[1-9]\d+ errors"):
        pyright(bare=bare)
