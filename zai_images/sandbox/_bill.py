"""What the sandbox would have charged for."""

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from zai_images.sandbox._validation import Order

# US dollars, from the vendor's price list; size and quality do not matter.
_PRICE = 0.01


@attrs.frozen(kw_only=True)
class BillEntry(Order):
    """
    An admitted request, as it was read.

    `body` is the whole JSON object, undocumented fields included; the other fields
    have the page's defaults filled in. `at` is the event loop's time at admission.
    `outcome` is "picture", or the action of the fault that came instead.
    """

    index: int
    request_id: str
    at: float
    outcome: str


class Bill:
    """
    The requests that were admitted, and the number of all the others.

    A request is counted at its admission, and `requests` is always
    `total + rejected + refusals + faulted`.

    Attributes:
        requests: POSTs that reached the endpoint with their whole body.
        rejected: those that the page's own rules turned away (key, JSON, fields).
        refusals: those refused for want of a place or for the rate (1302, 1303).
        faulted: those that met a declared fault which is not billed.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.rejected = 0
        self.refusals = 0
        self.faulted = 0
        self._entries: list[BillEntry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __bool__(self) -> bool:
        # An empty bill is still a bill: `if sandbox.bill` must not depend on it.
        return True

    def __repr__(self) -> str:
        return (
            f"<Bill {self.total} pictures ${self.cost:.2f}, "
            f"{self.requests} requests: {self.rejected} rejected, "
            f"{self.refusals} refused, {self.faulted} faulted>"
        )

    @property
    def total(self) -> int:
        """The number of admitted requests."""
        return len(self._entries)

    @property
    def entries(self) -> Sequence[BillEntry]:
        """The admitted requests, in the order of their admission."""
        return tuple(self._entries)

    @property
    def cost(self) -> float:
        """The list price of everything admitted, in US dollars."""
        # Multiplied, not summed: a million cents must not drift.
        return round(self.total * _PRICE, 2)

    @property
    def prompts(self) -> Mapping[str, int]:
        """How often each prompt was charged for."""
        return dict(Counter(entry.prompt for entry in self.entries))

    def for_prompt(self, prompt: str) -> list[BillEntry]:
        """Return the entries of exactly this prompt."""
        return [entry for entry in self.entries if entry.prompt == prompt]

    def add(self, entry: BillEntry) -> None:
        """Charge for one request."""
        self._entries.append(entry)
