"""
Simulated worlds: one seed decides what people, the service, the disk and time do.

A thousand instead of a hundred, and a world by its seed alone:

    pytest tests/slow/world --worlds 1000
    pytest tests/slow/world --world 4711

What threads and the kernel add has no seed, so a failure shows its whole log and keeps
its folder.
"""

import json

import pytest
from support.judge.client import AT_ONCE, Client, side_by_side
from support.world.world import EscapedError, World

PARTS = 10  # worlds in one test


def pytest_generate_tests(metafunc):
    if "seeds" in metafunc.fixturenames:
        one = metafunc.config.getoption("--world")
        worlds = metafunc.config.getoption("--worlds")
        parts = [range(n, min(n + PARTS, worlds)) for n in range(0, worlds, PARTS)]
        seeds = parts if one is None else [range(one, one + 1)]
        metafunc.parametrize("seeds", seeds, ids=lambda x: f"{x.start}-{x.stop - 1}")


@pytest.fixture(scope="module")
def beside(shim):
    """Start processes that may have a second one beside them."""
    preload = ("support.world.life",)
    with Client(shim, at_once=2 * AT_ONCE, preload=preload) as client:
        yield client


@pytest.mark.tried("worlds")
@pytest.mark.timeout(300)
def test_in_every_world_the_bill_is_explained_and_no_picture_is_lost(
    seeds, beside, tmp_path, record_property
):
    met: dict[str, list[int]] = {}
    escaped = []

    def one(seed):
        world = World(beside, tmp_path / f"{seed}", seed)
        fault = None
        try:
            world.run()
        except EscapedError as error:
            fault = str(error)
            escaped.append(fault)
        for kind in world.kinds:
            row = met.setdefault(kind, [0, 0])
            row[0] += 1
            row[1] += fault is not None

    record_property("cases", side_by_side(one, seeds))
    record_property("met", json.dumps(met))

    assert not escaped, "\n\n".join(escaped)
