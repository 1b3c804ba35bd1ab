"""What a run would do, told without doing it."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from zai_images.jobs._input.formats import BadLine
from zai_images.jobs._input.intake import Intake
from zai_images.jobs._input.sources import Found
from zai_images.jobs._journal.queries import StatesOf
from zai_images.jobs._report import JobPlan
from zai_images.jobs._states import State

_BLOCK = 1000  # items looked up together
Price = Callable[[str], float | None]
OnBad = Callable[[BadLine], None]


def no_states(_: Sequence[bytes]) -> dict[bytes, State]:
    """Say that no item is known, as of a new folder."""
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
    rows = intake.rows(heard())
    while block := list(islice(rows, _BLOCK)):
        known = states_of([row[0] for row in block])
        for key, _, body, _ in block:
            state = known.get(key, State.PENDING)
            states[state] += 1
            if state is State.PENDING:
                fields = json.loads(body)
                models[fields["model"], str(fields.get("quality"))] += 1
    result = intake.result()
    cost: float | None = 0
    for (model, _), many in models.items():
        each = price(model)
        cost = None if cost is None or each is None else cost + each * many
    return JobPlan(
        requests=result.requests,
        duplicates=result.duplicates,
        states=dict(states),
        models=dict(models),
        bad_lines=result.bad_lines,
        cost=cost,
    )
