"""What a plan comes to: counts, cost, and the time by what is documented."""

from collections.abc import Mapping, Sequence
from typing import Any

from zai_images import ImageRequest
from zai_images.cli._text import dollars, duration, some
from zai_images.jobs import BadLine, JobPlan, State

USUAL_PLACES = 5  # what is reported of most accounts


def _places(found: JobPlan, known: Mapping[str, int]) -> dict[str, int]:
    return {model: known.get(model, USUAL_PLACES) for model, _ in found.models}


def _seconds(found: JobPlan, places: Mapping[str, int]) -> tuple[float, float] | None:
    """Reckon how long it takes at least and at most, from the documented times."""
    low = high = 0.0
    for (model, quality), many in found.models.items():
        rules = ImageRequest("any", model=model).rules
        windows = {str(k): v for k, v in rules.windows.items()} if rules else {}
        if quality not in windows:
            return None
        rounds = many / min(many, places[model])
        low += rounds * windows[quality][0]
        high += rounds * windows[quality][1]
    return low, high


def lines(found: JobPlan, known: Mapping[str, int]) -> list[str]:
    """Put a plan into words; `known` are the places an earlier run has found."""
    states = found.states
    there = [f"{n} {state}" for state, n in states.items() if state != State.PENDING]
    kinds = [f"{n} {kind} of {model}" for (model, kind), n in found.models.items()]
    requests = some(found.requests, "request")
    said = [f"{requests}, {found.duplicates} like an earlier line"]
    if found.bad_lines:
        said.append(f"{some(found.bad_lines, 'line')} cannot be used")
    if there:
        said.append(f"already in the job: {', '.join(there)}")
    of_kinds = f" ({', '.join(kinds)})" if kinds else ""
    said.append(f"to send: {states.get(State.PENDING, 0)}{of_kinds}")
    cost = "not known" if found.cost is None else dollars(found.cost)
    said.append(f"cost: {cost}")
    said.append(f"time: {_time(found, known)}")
    return said


def _time(found: JobPlan, known: Mapping[str, int]) -> str:
    places = _places(found, known)
    seconds = _seconds(found, places)
    if seconds is None:
        return "not known, as no time is documented for that model and quality"
    if not places:
        return "none"
    low, high = (duration(one) for one in seconds)
    rests_on = [
        f"{places[model]} at once, as an earlier run has found"
        if model in known
        else f"{places[model]} at once; how many the account takes is not known yet"
        for model in places
    ]
    return f"{low} to {high} ({'; '.join(dict.fromkeys(rests_on))})"


def record(
    found: JobPlan, bad: Sequence[BadLine], known: Mapping[str, int]
) -> dict[str, Any]:
    """Make the object that `--json` writes."""
    places = _places(found, known)
    seconds = _seconds(found, places)
    return {
        "requests": found.requests,
        "duplicates": found.duplicates,
        "states": {str(state): found.states.get(state, 0) for state in State},
        "to_send": found.states.get(State.PENDING, 0),
        "models": [
            {"model": model, "quality": quality, "requests": many}
            for (model, quality), many in found.models.items()
        ],
        "bad_lines": found.bad_lines,
        "invalid": [{"line": one.line, "message": one.message} for one in bad],
        "cost": found.cost if found.cost is None else round(found.cost, 6),
        "seconds": None if seconds is None else [round(one, 1) for one in seconds],
        "places": places,
        "places_known": all(model in known for model in places),
    }
