"""
What is otherwise in one run than on another machine: short patience, a wrong clock.

The command line has no option for its time-outs and pauses, so that they are set where
it reads its configuration; everything else of it runs as it is.
"""

from collections.abc import Mapping
from typing import Any

import attrs
from support.judge.shim import jump_clock

from zai_images import RetryPolicy, SessionConfig, Timeouts
from zai_images.jobs._journal import schema


def apply(told: Mapping[str, Any]) -> None:
    """
    Change this process before the program runs in it.

    Args:
        told: `timeouts` and `retry`, fields of those classes (one that a version does
            not have is passed over), `clock`: (from when, wrong by), in seconds, and
            `patience`: how long another program may hold the journal, milliseconds.
    """
    schema.PATIENCE = told.get("patience", schema.PATIENCE)
    if told.get("clock"):
        jump_clock(map(tuple, told["clock"]))
    read = SessionConfig.from_env.__func__
    timeouts = Timeouts(**_known(Timeouts, told.get("timeouts", {})))
    retry = RetryPolicy(**_known(RetryPolicy, told.get("retry", {})))

    def from_env(cls: type[SessionConfig], **settings: Any) -> SessionConfig:
        return attrs.evolve(read(cls, **settings), timeouts=timeouts, retry=retry)

    SessionConfig.from_env = classmethod(from_env)


def _known(kind: type, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in fields if hasattr(attrs.fields(kind), name)}
