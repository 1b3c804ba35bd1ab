"""What a session lends to the calls for one model."""

import attrs

from zai_images import events
from zai_images._config import RetryPolicy
from zai_images._http.transport import Transport
from zai_images._limiter.gate import Gate
from zai_images._session.retry import RetryBudget
from zai_images._session.stats import Tally


@attrs.frozen(kw_only=True)
class Tools:
    """Hold the connections, the places and the books; `price` is US dollars or None."""

    transport: Transport
    gate: Gate
    policy: RetryPolicy
    budget: RetryBudget
    tally: Tally
    observer: events.Observer | None
    price: float | None
