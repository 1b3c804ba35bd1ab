"""What a run would do, told without doing it."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from zai_images.jobs._input.files import PromptFile
from zai_images.jobs._input.formats import BadLine
from zai_images.jobs._input.intake import Intake
from zai_images.jobs._input.sources import Found, found_in
from zai_images.jobs._journal.input_steps import Row
from zai_images.jobs._journal.queries import StatesOf
from zai_images.jobs._report import JobPlan
from zai_images.jobs._states import State

_BLOCK = 1000  # items looked up together
Price = Callable[[str], float | None]
OnBad = Callable[[BadLine], None]


async def plan_new(
    requests: PromptFile | Iterable[Any],
    *,
    price: Price,
    repeat: int = 1,
    on_bad: OnBad | None = None,
) -> JobPlan:
    """
    Tell what a run in a new folder would do; see `ImageJob.plan`.

    Raises:
        InvalidRequestError: The file as a whole cannot be read.
        OSError: It cannot be opened.
    """
    found = found_in(requests)
    return await asyncio.to_thread(
        plan, _no_states, found, repeat=repeat, price=price, on_bad=on_bad
    )


def _no_states(_: Sequence[bytes]) -> dict[bytes, State]:
    return {}


def plan(
    states_of: StatesOf,
    found: Iterable[Found],
    *,
    repeat: int,
    price: Price,
    on_bad: OnBad | None,
) -> JobPlan:
    """Tell what an input would do; nothing is written."""
    intake = Intake(repeat)

    def heard() -> Iterator[Found]:
        for one in found:
            if isinstance(one, BadLine) and on_bad is not None:
                on_bad(one)
            yield one

    states: Counter[State] = Counter()
    models: Counter[tuple[str, str]] = Counter()
    for block in _blocks(intake.rows(heard())):
        known = states_of([row[0] for row in block])
        for key, _, body, _ in block:
            state = known.get(key, State.PENDING)
            states[state] += 1
            if state is State.PENDING:
                fields = json.loads(body)
                models[fields["model"], str(fields.get("quality"))] += 1
    result = intake.result()
    prices = {model: price(model) for model, _ in models}
    known_prices = all(one is not None for one in prices.values())
    return JobPlan(
        requests=result.requests,
        duplicates=result.duplicates,
        states=dict(states),
        models=dict(models),
        bad_lines=result.bad_lines,
        cost=sum((prices[model] or 0) * many for (model, _), many in models.items())
        if known_prices
        else None,
    )


def _blocks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    block: list[Row] = []
    for row in rows:
        block.append(row)
        if len(block) == _BLOCK:
            yield block
            block = []
    yield block
