"""What is asked of the gate: services as they may be, and the bars for each."""

import attrs
from service import Service

FAST = {"standard": (0.25, 0.5), "hd": (0.9, 1.0)}


@attrs.frozen(kw_only=True)
class Scenario:
    """
    Say what is asked of the gate.

    Attributes:
        service: How the service behaves.
        jobs: Pictures of each session that shares the account.
        ratio: The least share of the ideal makespan.
        refused: The most refusals for each 100 pictures.
        known: A limit remembered from an earlier run.
        starts: When each session starts.
        hd: Every second picture in hd.
        within: The most seconds the last session's job may take.
        p99: The most seconds of latency at the 99th percentile.
        after: Count latencies of what was sent after so many seconds only.
        seeds: How many times the usual number of seeds.
    """

    service: Service
    jobs: tuple[int, ...]
    ratio: float = 0.0
    refused: float = 1e9
    known: int | None = None
    starts: tuple[float, ...] = ()
    hd: bool = False
    within: float | None = None
    p99: float | None = None
    after: float = 0.0
    seeds: int = 1


LIMIT_50 = Service(limit=50)
SCENARIOS = {
    "limit 1": Scenario(service=Service(limit=1), jobs=(40,), ratio=0.98, refused=18),
    "limit 3": Scenario(service=Service(limit=3), jobs=(200,), ratio=0.98, refused=6),
    "limit 8": Scenario(service=Service(limit=8), jobs=(300,), ratio=0.98, refused=4),
    "limit 50": Scenario(service=LIMIT_50, jobs=(500,), ratio=0.95, refused=2.5),
    "limit 50, remembered": Scenario(
        service=LIMIT_50, jobs=(500,), ratio=0.98, refused=2.5, known=50
    ),
    "drop 50 to 10": Scenario(
        service=Service(limit=50, moves=(200, 10)), jobs=(500,), ratio=0.96, refused=5
    ),
    "rise 10 to 50": Scenario(
        service=Service(limit=10, moves=(200, 50)),
        jobs=(500,),
        ratio=0.94,
        refused=4,
        seeds=4,
    ),
    "rise at 120": Scenario(
        service=Service(limit=10, moves=(120, 50)), jobs=(500,), ratio=0.92, refused=4
    ),
    "rise at 280": Scenario(
        service=Service(limit=10, moves=(280, 50)), jobs=(500,), ratio=0.92, refused=4
    ),
    "freed late, limit 8": Scenario(
        service=Service(limit=8, lag=0.4), jobs=(300,), ratio=0.96, refused=6
    ),
    "freed late, limit 50": Scenario(
        service=Service(limit=50, lag=0.4), jobs=(500,), ratio=0.93, refused=6
    ),
    "two sessions, limit 8": Scenario(
        service=Service(limit=8), jobs=(200, 200), ratio=0.94, refused=8
    ),
    "four sessions, limit 8": Scenario(
        service=Service(limit=8), jobs=(100,) * 4, ratio=0.88, refused=18
    ),
    "one call beside a bulk job": Scenario(
        service=Service(limit=8),
        jobs=(300, 1),
        starts=(0.0, 60.0),
        ratio=0.95,
        refused=7,
        within=45,
    ),
    "limit 8, 2 % errors": Scenario(
        service=Service(limit=8, errors=0.02), jobs=(300,), ratio=0.98, refused=5
    ),
    "half hd, limit 50": Scenario(
        service=LIMIT_50, jobs=(500,), ratio=0.96, refused=4, hd=True
    ),
    "60 a minute, as 1303": Scenario(
        service=Service(limit=50, rate=1.0, rate_code="1303"),
        jobs=(500,),
        ratio=0.97,
        refused=3,
    ),
    "60 a minute, as 1302": Scenario(
        service=Service(limit=50, rate=1.0), jobs=(500,), ratio=0.95, refused=20
    ),
    "slow refusals, limit 8": Scenario(
        service=Service(limit=8, refusal=(1.0, 3.0)),
        jobs=(300,),
        ratio=0.97,
        refused=9,
    ),
    "slow refusals, limit 50": Scenario(
        service=Service(limit=50, refusal=(1.0, 3.0)),
        jobs=(500,),
        ratio=0.88,
        refused=6,
    ),
    "5000, limit 3": Scenario(
        service=Service(limit=3), jobs=(5000,), ratio=0.97, refused=2
    ),
    "5000, limit 8": Scenario(
        service=Service(limit=8), jobs=(5000,), ratio=0.97, refused=2
    ),
    "5000, limit 50": Scenario(service=LIMIT_50, jobs=(5000,), ratio=0.97, refused=2),
    "5000, drop": Scenario(
        service=Service(limit=50, moves=(2000, 10)),
        jobs=(5000,),
        ratio=0.97,
        refused=2,
    ),
    "5000, rise": Scenario(
        service=Service(limit=10, moves=(2000, 50)),
        jobs=(5000,),
        ratio=0.97,
        refused=2,
    ),
    "a sandbox at speed 20, limit 5": Scenario(
        service=Service(
            limit=5, windows=FAST, network=(0.001, 0.003), refusal=(0.002, 0.01)
        ),
        jobs=(24,),
        ratio=0.67,
    ),
    "a silent queue of 20 places": Scenario(
        service=Service(queue=20), jobs=(500,), p99=25
    ),
    "a silent queue of 4, after a minute": Scenario(
        service=Service(queue=4), jobs=(300,), p99=22, after=60
    ),
}
