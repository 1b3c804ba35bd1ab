"""The counting of money before and after each attempt."""

from typing import Protocol

from zai_images._api.errors import Billed, BudgetError, ConfigurationError
from zai_images._api.request import ImageRequest
from zai_images._api.response import RawResponse
from zai_images._config import is_number


class Ledger(Protocol):
    """
    An account of one call's attempts. Its errors are fatal.

    A durable job writes ahead here; a batch follows its items here.
    """

    async def before_send(self, request: ImageRequest, attempt: int) -> None:
        """Record that an attempt is about to be sent; raising prevents it."""
        ...

    async def answered(self, raw: RawResponse) -> None:
        """Record the answer before anything has decoded it."""
        ...

    async def settled(self, attempt: int, billed: Billed) -> None:
        """Record how an attempt ended: exactly once for each that was begun."""
        ...


class Budget:
    """
    A session's caps `max_pictures` and `max_cost`, and what is spent of them.

    What is in flight counts as spent, and so does what may have been billed.
    """

    def __init__(self, max_pictures: int | None, max_cost: float | None) -> None:
        for name, cap in (("max_pictures", max_pictures), ("max_cost", max_cost)):
            if cap is not None and not (is_number(cap) and cap >= 0):
                raise ConfigurationError(f"{name} cannot be {cap!r}; use 0 or more")
        self._max_pictures = max_pictures
        self._max_cost = max_cost
        self._pictures = 0
        self._cost = 0.0

    def check_price(self, price: float | None) -> None:
        """Raise `ConfigurationError` if the cost is capped and the price unknown."""
        if self._max_cost is not None and price is None:
            raise ConfigurationError(
                "max_cost cannot be kept: the price of this model on this host is not "
                "known. Give it with SessionConfig(prices={model: dollars})."
            )

    def reserve(self, price: float | None) -> None:
        """Set a picture's price aside, or raise `BudgetError` at a cap."""
        price = price or 0.0
        if self._max_pictures is not None and self._pictures >= self._max_pictures:
            raise BudgetError(
                f"The cap of {self._max_pictures} pictures is reached, what is in "
                "flight included. Nothing was sent. Raise max_pictures to go on."
            )
        # Half a millionth of a dollar absorbs the rounding of many small sums.
        if self._max_cost is not None and self._cost + price > self._max_cost + 5e-7:
            raise BudgetError(
                f"The cap of ${self._max_cost:g} is reached, what is in flight "
                "included. Nothing was sent. Raise max_cost to go on."
            )
        self._pictures += 1
        self._cost += price

    def release(self, price: float | None) -> None:
        """Give back the price of an attempt that cost nothing."""
        self._pictures -= 1
        self._cost -= price or 0.0
