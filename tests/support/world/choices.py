"""What any world may choose: what the service does, and what time does."""

import asyncio
import random
from typing import Any

from support.world.service import HOSTS, VERDICTS
from support.world.stage import Asked, Stage

JUMP = 9e5  # seconds: ten days, either way


class Choices:
    """The choices of one world, from its seed; what is chosen is counted."""

    def __init__(self, seed: int, stage: Stage) -> None:
        self.dice = random.Random(seed)
        self.stage = stage

    def draw(self, chances: dict[str, float]) -> str:
        """Draw one of some names by their weights."""
        return self.dice.choices(list(chances), list(chances.values()))[0]

    def mood(self) -> dict[str, Any]:
        """Choose what the service and its host do beside what is usual."""
        dice, met = self.dice, self.stage.met
        verdicts = dice.sample(sorted(set(VERDICTS) - {"made"}), dice.randint(0, 4))
        hosts = dice.sample(HOSTS, dice.randint(0, 3))
        mood: dict[str, Any] = {
            "verdicts": {name: dice.uniform(0.05, 0.25) for name in verdicts},
            "hosts": {name: dice.uniform(0.05, 0.3) for name in hosts},
        }
        if dice.random() < 0.2:
            mood["limit"] = dice.randint(1, 3)
            met("service: few places")
        if dice.random() < 0.1:
            mood["gone"] = dice.uniform(0.1, 0.4)
        if dice.random() < 0.1:
            mood["balance"] = dice.randint(1, 5)
        if dice.random() < 0.1:
            begins = dice.uniform(1, 30)
            mood["down"] = [begins, begins + dice.uniform(1, 30)]
            met("service: takes no connections")
        if dice.random() < 0.15:
            begins = dice.uniform(0, 20)
            mood["outage"] = [begins, begins + dice.uniform(5, 400)]
            met("service: an outage")
        return mood

    def jump(self, asked: Asked) -> None:
        """Let the wall clock jump, in some lives."""
        dice = self.dice
        if dice.random() < 0.15:
            event = [dice.uniform(0, 60), "jump", dice.uniform(-JUMP, JUMP)]
            asked.events.append(event)
            self.stage.met("time: the wall clock jumps")

    def freeze(self, asked: Asked) -> None:
        """Stop the process for long, with an answer in its socket, in some lives."""
        dice = self.dice
        event = [dice.uniform(0, 30), "freeze", dice.uniform(200, 9000)]
        if dice.random() < 0.15:
            asked.events.append(event)
            self.stage.met("time: the process is stopped")

    def eager(self, asked: Asked) -> None:
        """Let tasks begin before their maker goes on, in some lives."""
        if self.dice.random() < 0.15 and hasattr(asyncio, "eager_task_factory"):
            asked.more["eager"] = True
            self.stage.met("tasks: they begin at once")
