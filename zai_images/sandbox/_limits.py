"""How much the sandbox does at once and in a minute."""

from typing import Final

_BURST: Final = 10.0


class Places:
    """
    Count the places that are taken and the pictures of the last minute.

    The sandbox has one key and one model, so one set of places serves both.
    """

    def __init__(self, limit: int | None, rate: float | None) -> None:
        self.limit = limit
        self.rate = rate
        self.taken = 0
        self.most_taken = 0
        self._tokens = _BURST
        self._filled_at: float | None = None

    def take(self, now: float) -> str | None:
        """Take a place, or return the code of the refusal."""
        if self.limit is not None and self.taken >= self.limit:
            return "1302"
        if self.rate is not None:
            self._fill(now, self.rate)
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

    def _fill(self, now: float, rate: float) -> None:
        since = now if self._filled_at is None else self._filled_at
        self._tokens = min(_BURST, self._tokens + (now - since) * rate / 60)
        self._filled_at = now
