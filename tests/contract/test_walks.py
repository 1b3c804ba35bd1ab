"""
How far a reader walks through the package to follow one picture, and one job.

A room is a package or a flat module of `zai_images`; `jobs/_journal` and `jobs/_input`
are rooms of their own.
"""

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.keys import KEY

import zai_images
from zai_images import ImageSession
from zai_images.jobs import ImageJob
from zai_images.sandbox import Sandbox

PACKAGE = Path(zai_images.__file__).parent
INNER = {("jobs", "_journal"), ("jobs", "_input")}


def room_of(code):
    """Name the room that code stands in; the sandbox's and a stranger's have none."""
    path = Path(code.co_filename)
    if not path.is_relative_to(PACKAGE):
        return None
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[0] == "sandbox":
        return None
    return "/".join(parts[:2]) if parts[:2] in INNER else parts[0]


class Walk:
    """
    The rooms that are entered between two moments, in every thread.

    A change of room is a call whose nearest caller of the package stands in another
    room. A coroutine that goes on after it has waited counts as called again, as
    `sys.setprofile` tells of it. What nobody of the package called, the first function
    of a task or of a thread, is no change.
    """

    def __init__(self):
        self.rooms = set()
        self.changes = 0

    def __enter__(self):
        # Threads that were begun before would not be listened to.
        self._workers = ThreadPoolExecutor()
        asyncio.get_running_loop().set_default_executor(self._workers)
        threading.setprofile(self._hear)
        sys.setprofile(self._hear)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
        threading.setprofile(None)

    def _hear(self, frame, event, _):
        room = room_of(frame.f_code) if event == "call" else None
        if room is None:
            return
        self.rooms.add(room)
        caller = frame.f_back
        while caller is not None and room_of(caller.f_code) is None:
            caller = caller.f_back
        self.changes += caller is not None and room_of(caller.f_code) != room


async def picture(session, folder):
    made = await session.generate_picture("a fox")
    await made.save(folder / "fox.png")


async def job(session, folder):
    async with ImageJob.open(folder / "job") as opened:
        report = await opened.run(session, ["a fox"])
    assert report.status.saved == 1


@pytest.mark.parametrize(
    ("errand", "rooms", "changes"), [(picture, 8, 30), (job, 12, 135)]
)
async def test_a_walk_through_the_house_is_short(errand, rooms, changes, tmp_path):
    """The session is open already, as it is in a program that has one."""
    async with Sandbox(speed=200, api_key=KEY, pictures="plain") as box:
        async with ImageSession(api_key=KEY, base_url=box.base_url) as session:
            with Walk() as walk:
                await errand(session, tmp_path)

    assert len(walk.rooms) <= rooms, sorted(walk.rooms)
    assert walk.changes <= changes
