"""How much the sandbox does at once and in a minute."""

from typing import Final

import attrs

_BURST: Final = 10.0


@attrs.define(eq=False)
class Knobs:
    """The settings that may be changed while the sandbox serves."""

    speed: float
    limit: int | None
    rate: float | None


class Places:
    """
    The places that are taken, and a bucket of tokens for pictures a minute.

    The sandbox has one key and one model, so one set of places serves both.
    """

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self.taken = 0
        self.most_taken = 0
        self._tokens = _BURST
        self._filled_at: float | None = None

    def take(self, now: float) -> str | None:
        """Take a place, or return the code of the refusal."""
        limit, rate = self._knobs.limit, self._knobs.rate
        if limit is not None and self.taken >= limit:
            return "1302"
        if rate is not None:
            since = now if self._filled_at is None else self._filled_at
            self._tokens = min(_BURST, self._tokens + (now - since) * rate / 60)
            self._filled_at = now
            # A hair below one: ten times a tenth of a token must make a token.
            if self._tokens < 1 - 1e-9:
                return "1303"
            self._tokens -= 1
        self.taken += 1
        self.most_taken = max(self.most_taken, self.taken)
        return None

    def free(self) -> None:
        """Give a place back."""
        self.taken -= 1
