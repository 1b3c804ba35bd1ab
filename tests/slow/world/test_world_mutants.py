"""
Mutants: a program without one of its guards shows itself in some world.

A world that cannot see a guard that is gone proves nothing. A mutant that no longer
fits the source fails here as well, so that the list follows the program.
"""

import shutil
from pathlib import Path

import attrs
import pytest
from support.judge.client import AT_ONCE, Client, side_by_side
from support.world.world import EscapedError, World

import zai_images

WORLDS = 150  # in which it must show itself; most do within twenty


@attrs.frozen(kw_only=True)
class Mutant:
    """One place of the program, what stands there, and what stands there instead."""

    file: str
    was: str
    now: str


MUTANTS = {
    "an intent that is not waited for": Mutant(
        file="jobs/_write_ahead.py",
        was="        await self._writer.do(intend(attempt))\n",
        now="        self._writer.post(intend(attempt))\n",
    ),
    "an answer that is not waited for": Mutant(
        file="jobs/_write_ahead.py",
        was="            await asyncio.shield(self._recorded(fact))\n",
        now="            self._recorded(fact)\n",
    ),
    "no second place": Mutant(
        file="jobs/_write_ahead.py",
        was="                if await asyncio.to_thread(self._overflow.add, fact):\n",
        now="                if True:\n",
    ),
    "a second place that nobody reads": Mutant(
        file="jobs/_overflow.py",
        was="found.append(_fact(line))",
        now="_fact(line)",
    ),
    "a journal that is not synced": Mutant(
        file="jobs/_journal/schema.py",
        was="PRAGMA synchronous=FULL",
        now="PRAGMA synchronous=OFF",
    ),
    "a folder that may be another": Mutant(
        file="jobs/_journal/owner.py",
        was="        return _identity(self._folder) == self._file\n",
        now="        return True\n",
    ),
    "pictures that may be away": Mutant(
        file="jobs/_audit.py",
        was='            if one.seen != "missing":\n                folder',
        now="            if False:\n                folder",
    ),
    "a cancelled run that is cut off": Mutant(
        file="jobs/_job.py",
        was="        await asyncio.shield(task)\n",
        now="        await task\n",
    ),
    "what was removed is fetched": Mutant(
        file="jobs/_audit.py",
        was='            if size is None and one.seen != "again":\n',
        now="            if False:\n",
    ),
    "what was changed is fetched": Mutant(
        file="jobs/_audit.py",
        was='        torn = damage[0] == "damaged" and size < one.size\n',
        now="        torn = True\n",
    ),
}


@pytest.mark.tried("mutants")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_program_without_a_guard_shows_itself_in_a_world(name, shim, tmp_path):
    mutant = MUTANTS[name]
    package = tmp_path / "package"
    source = Path(zai_images.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, package / "zai_images", ignore=ignored)
    file = package / "zai_images" / mutant.file
    text = file.read_text()
    assert text.count(mutant.was) == 1, "the list must follow the program"
    file.write_text(text.replace(mutant.was, mutant.now))
    found = []

    def one(seed):
        if found:
            return
        try:
            World(client, tmp_path / f"{seed}", seed).run()
        except EscapedError:
            found.append(seed)

    with Client(
        shim, package, at_once=2 * AT_ONCE, preload=("support.world.life",)
    ) as client:
        side_by_side(one, range(WORLDS))

    assert found, "no world has seen it"
