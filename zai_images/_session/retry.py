"""
What is retried, how often and after what pause; the one module that uses tenacity.

Nothing is paid twice unless the policy says so: a refusal and a failed connection are
free, a definite server error is sent once more from the session's budget, and
everything else that may be billed is final.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_never

from zai_images._api.codes import CODES
from zai_images._api.errors import (
    AnswerLostError,
    APIError,
    BusyError,
    ConnectError,
    InvalidRequestError,
    RateLimitedError,
    ServerError,
    ZaiImagesError,
)
from zai_images._config import RetryPolicy
from zai_images._http.deadline import within
from zai_images._http.downloader import FetchError
from zai_images._session.flight import Flight

T = TypeVar("T")

FRESH_LINK = 30.0  # times a download's first pause: how long a new link may answer 404
_DOWNLOAD_TRIES = 8


class RetryBudget:
    """
    A session's bound on retries after server errors, whatever the calls ask for.

    Three at first, and one more for every fifty pictures: a service that is down is not
    asked twice for everything, as any of it may be billed.
    """

    def __init__(self) -> None:
        self._left = 3.0

    def earn(self) -> None:
        """Count a picture."""
        self._left = min(self._left + 0.02, 10.0)

    def spend(self) -> bool:
        """Take one try, if there is one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


class WaitBudget:
    """
    The seconds that a call may have nothing at the service, up to `max_wait`.

    Only waiting is bounded: no deadline ever cuts a paid request short.
    """

    def __init__(self, max_wait: float | None) -> None:
        if max_wait is not None and not max_wait >= 0:
            raise InvalidRequestError(
                f"max_wait: cannot be {max_wait!r}; it is seconds, 0 or more, or None",
                field="max_wait",
            )
        self.max_wait = max_wait
        self.waited = 0.0
        self.refusal: ZaiImagesError | None = None

    @property
    def left(self) -> float | None:
        """Seconds that may still be waited; None for no bound."""
        return None if self.max_wait is None else max(0.0, self.max_wait - self.waited)

    async def wait_for(self, enter: Callable[[], Awaitable[T]]) -> T:
        """Wait for a place; raise `BusyError` if none came free in time."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            if self.left is None:
                return await enter()
            async with within(self.left):
                return await enter()
        except TimeoutError:
            self.give_up()
        finally:
            self.waited += loop.time() - begun

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, at most for what is left; for 0, do not yield at all."""
        if seconds <= 0:
            return
        if self.left is not None:
            seconds = min(seconds, self.left)
        self.waited += seconds
        await asyncio.sleep(seconds)

    def give_up(self) -> NoReturn:
        """Raise `BusyError`, or the `ConnectError` if a connection was waited for."""
        if isinstance(self.refusal, ConnectError):
            raise self.refusal
        raise BusyError(
            f"No place came free within {self.max_wait:g} s. Nothing was billed. Try "
            "again later, or allow a longer max_wait.",
            retry_after=getattr(self.refusal, "retry_after", None),
        ) from self.refusal


class CallRetry:
    """The decisions of one call about each of its failures."""

    def __init__(
        self,
        policy: RetryPolicy,
        budget: RetryBudget,
        wait_budget: WaitBudget,
        flight: Flight,
    ) -> None:
        self._policy = policy
        self._budget = budget
        self._wait_budget = wait_budget
        self._flight = flight
        self._tries: dict[type, int] = {}

    def again(self, error: BaseException) -> bool:
        """Tell whether the request is sent once more after this."""
        match error:
            case _ if self._flight.left:
                pass  # nobody waits for it
            case RateLimitedError(code=code) if code in CODES:
                return self._wait_for(error)
            case RateLimitedError():
                return self._count(error, self._policy.unknown_refusals)
            case ConnectError(retryable=True):
                return self._count(error, self._policy.connect_errors)
            case ServerError():
                return (
                    self._count(error, self._policy.server_errors, free=False)
                    and self._budget.spend()
                )
            case AnswerLostError():
                return self._count(error, self._policy.lost_answers, free=False)
        return False

    def _count(self, error: ZaiImagesError, most: int, *, free: bool = True) -> bool:
        tries = self._tries[type(error)] = self._tries.get(type(error), 0) + 1
        return tries <= most and (not free or self._wait_for(error))

    def _wait_for(self, error: ZaiImagesError) -> bool:
        wait_budget = self._wait_budget
        wait_budget.refusal = error
        asked = getattr(error, "retry_after", None) or 0.0
        # Waiting for less than the service asked for would be in vain.
        if wait_budget.left is not None and (
            wait_budget.left == 0
            or wait_budget.left < min(asked, self._policy.max_busy_pause)
        ):
            wait_budget.give_up()
        return True

    def pause(self, error: BaseException) -> float:
        """Choose the seconds to wait, with jitter that only ever adds."""
        if isinstance(error, RateLimitedError) and error.code in CODES:
            return 0.0  # the gate knows when: it has heard of every refusal
        policy = self._policy
        if isinstance(error, APIError) and error.retry_after is not None:
            seconds = min(error.retry_after, policy.max_busy_pause)
        else:
            doubled = policy.first_pause * 2 ** min(self._tries[type(error)] - 1, 30)
            seconds = min(doubled, policy.max_pause)
        return seconds * random.uniform(1.0, 1.25)


class DownloadRetry:
    """The decisions about each failure to fetch one picture; trying again is free."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._first_pause = policy.download_pause
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._tries = 0

    def again(self, error: BaseException) -> bool:
        """Tell whether the link is fetched once more after this."""
        if not isinstance(error, FetchError) or error.lasting:
            return False
        self._tries += 1
        if error.fresh:
            return self._loop.time() - self._begun < FRESH_LINK * self._first_pause
        return self._tries < _DOWNLOAD_TRIES

    def pause(self, error: BaseException) -> float:
        """Choose the seconds to wait, with jitter that only ever adds."""
        del error
        doubled = min(2.0 ** (self._tries - 1), 8.0)
        return self._first_pause * doubled * random.uniform(1.0, 1.25)


async def retry_until_final(
    failed: Exception,
    attempt: Callable[[], Awaitable[T]],
    retry: CallRetry | DownloadRetry,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    on_retry: Callable[[BaseException, float], None] = lambda *_: None,
) -> T:
    """
    Retry after a first failure, until an attempt succeeds or fails for good.

    A first try that succeeds never comes here: tenacity costs as much as all the rest
    of a call.
    """
    first = [failed]

    async def once_more() -> T:
        if first:
            raise first.pop()
        return await attempt()

    retrying = AsyncRetrying(
        sleep=sleep,
        stop=stop_never,  # `again` counts, each kind of failure for itself
        wait=lambda state: retry.pause(_failure(state)),
        retry=retry_if_exception(retry.again),
        before_sleep=lambda state: on_retry(_failure(state), state.upcoming_sleep),
        reraise=True,
    )
    return await retrying.wraps(once_more)()


def _failure(state: RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome is not None else None
    assert error is not None  # noqa: S101 - nobody waits after a success
    return error


async def retry_download(fetch: Callable[[], Awaitable[T]], policy: RetryPolicy) -> T:
    """Fetch until it succeeds, or raise the last `FetchError`; this is free."""
    retry = DownloadRetry(policy)
    try:
        return await fetch()
    except FetchError as error:
        failed = error
    return await retry_until_final(failed, fetch, retry)
