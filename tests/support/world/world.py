"""
A simulated world: a seed decides what people, the service, the disk and time do.

A world is a row of lives on one folder. Each is a process in which the real code runs;
it ends by itself, or is killed, or the power goes. After each one the ledger, the
program's own words and the files must agree; at the end all is well again, and the job
must come to its end.
"""

import json
import os
from collections import Counter
from pathlib import Path

from support.judge.client import Client
from support.world.choices import Choices
from support.world.invariants import (
    check_calls,
    check_rescued,
    check_twice,
    check_waited,
)
from support.world.job_world import JobWorld
from support.world.stage import Asked, Stage


class EscapedError(AssertionError):
    """Raised when a world shows a fault; it says all that happened."""


class World:
    """
    A world.

    Args:
        client: Its processes.
        folder: Where it may write.
        seed: What decides everything.
    """

    def __init__(self, client: Client, folder: Path, seed: int) -> None:
        self._seed = seed
        self._folder = folder
        # No two worlds at the same time may have one, in whatever process.
        here = [os.getpid() >> 8 & 255, os.getpid() & 255, seed % 250 + 1]
        address = ".".join(map(str, [127, *here]))
        self.stage = Stage(client, folder, seed, address)
        self._choices = Choices(seed, self.stage)

    @property
    def kinds(self) -> set[str]:
        """The kinds of trouble that were met."""
        return self.stage.kinds

    def run(self) -> None:
        """
        Let it happen.

        Raises:
            EscapedError: Something is not as it must be.
        """
        door = self._choices.draw({"a job": 12, "a batch": 2, "single calls": 2})
        self.stage.met(f"door: {door}")
        try:
            if door == "a job":
                JobWorld(self._choices).run()
            else:
                self._calls(door)
        except Exception as error:
            log = self.stage.close()
            raise EscapedError(
                f"world {self._seed} ({self._folder}): {error!r}\n{log}"
            ) from error
        self.stage.close()
        self.stage.forget()

    def _calls(self, door: str) -> None:
        """Make calls that no journal knows; the session's own counts must do."""
        choices, stage = self._choices, self.stage
        dice = choices.dice
        number = dice.randint(1, 12)
        prompts = [f"prompt {n}" for n in range(number)]
        stage.expected.wanted = Counter(prompts)
        how = dice.choice(["await", "iterate", "stop", "leave"])
        more = {
            "requests": prompts,
            "limit": dice.choice([None, None, 1, 3]),
            "how": how,
            "leave": dice.randint(1, number),
            "budget": dice.choice([None, None, None, dice.randint(1, 6)]),
            "patience": [
                dice.uniform(0, 60) if dice.random() < 0.2 else None for _ in prompts
            ],
        }
        which = "batch" if door == "a batch" else "calls"
        asked = Asked(door=which, service=choices.mood(), more=more)
        if dice.random() < 0.3:
            asked.events.append([dice.uniform(0, 60), "cancel"])
            stage.met(f"stopped: {door} is cancelled")
        rescue = dice.random() < 0.4
        if rescue:
            more["config"] = {"finish_cancelled": True}
            stage.met(f"asked: what is cancelled of {door} is finished")
        if door == "a batch":
            stage.met(f"a batch: {how}")
        elif any(more["patience"]):
            stage.met("stopped: a call's own time-out")
        if more["budget"] is not None:
            stage.met("asked: a budget")
        choices.jump(asked)
        choices.freeze(asked)
        choices.eager(asked)
        stage.note(str(asked))
        ran = stage.live(asked)
        check_twice(stage.ledger, stage.expected)
        told = json.loads(ran.out)
        check_calls(told, stage.ledger)
        if rescue and "outcomes" in told:  # else its closing was cancelled too
            check_waited(stage.ledger, stage.expected)
            check_rescued(told, stage.ledger)
