"""
Every error of this library, and whether it cost money.

ZaiImagesError
├── ConfigurationError
├── InvalidRequestError
├── BusyError
├── BudgetError
├── TransportError
│   ├── ConnectError
│   └── AnswerLostError
├── APIError
│   ├── AuthenticationError
│   ├── AccountError
│   ├── QuotaError
│   ├── ContentRefusedError
│   ├── RateLimitedError
│   ├── ServerError
│   └── RequestRejectedError
├── ResponseError
└── DownloadError

Each takes its message first and the rest by keyword, with defaults, and keeps them in
plain attributes, so that every error can be pickled.
"""

from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from zai_images._api.response import ContentFilter, ImageResponse

Billed = Literal["no", "maybe", "yes"]
Stops = Literal["nothing", "model", "everything"]


class ZaiImagesError(Exception):
    """
    The root of every error that this library raises on purpose.

    Attributes:
        billed: Whether the request cost money: "no", "maybe" or "yes".
        retryable: Whether the same request may succeed later without a change, and the
            library itself sends such a request again within its `RetryPolicy`. Look at
            `billed` as well before you send it again yourself.
        stops: What a batch stops on this error: "nothing" (this picture failed),
            "model" (no more pictures of this model) or "everything".
    """

    billed: Billed = "no"
    retryable: bool = False
    stops: Stops = "nothing"

    def __init__(self, message: str) -> None:
        super().__init__(message)

    @property
    def maybe_billed(self) -> bool:
        """Whether it is unknown if this was paid for (`billed == "maybe"`)."""
        return self.billed == "maybe"

    def after(self, earlier: "ZaiImagesError") -> None:
        """Record that an earlier attempt of the same request may have been billed."""
        self.billed = "maybe"
        words = "But an earlier attempt of the same request may have been billed:"
        self.args: tuple[Any, ...] = (f"{self} {words} {earlier}",)


class ConfigurationError(ZaiImagesError):
    """Raised when a session cannot be used as it is set up: no key, a bad base URL."""

    stops: Stops = "everything"


class InvalidRequestError(ZaiImagesError, ValueError):
    """Raised before anything is sent when the `field` of a request is wrong."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class BusyError(ZaiImagesError):
    """Raised when no place came free within `max_wait`; nothing was paid."""

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BudgetError(ZaiImagesError):
    """Raised when a cap of the session or the job is reached; nothing was sent."""

    stops: Stops = "everything"


class TransportError(ZaiImagesError):
    """Raised when something between here and the service stopped the answer."""


class ConnectError(TransportError):
    """Raised when there was no connection: nothing was sent, so nothing was paid."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class AnswerLostError(TransportError):
    """
    Raised when the request was written and no usable answer came back.

    A time-out, a broken connection, an unreadable body, a gateway's 408, 409, 425, 499
    or 5xx without a business code of the service: the picture may have been made and
    billed, so the library does not send it again unless `RetryPolicy.lost_answers`
    says so.

    Attributes:
        body: The first 2,000 characters of an unreadable answer, which may hold a link.
    """

    billed: Billed = "maybe"

    def __init__(self, message: str, *, body: str = "") -> None:
        super().__init__(message)
        self.body = body


class Reply(TypedDict, total=False):
    """The fields of a definite reply, as `APIError` takes and keeps them."""

    status: int
    code: str | None
    message: str
    request_id: str | None
    retry_after: float | None


class APIError(ZaiImagesError):
    """
    Raised when the service replies with an error; the subclass says which.

    Attributes:
        status: The HTTP status, which does not decide the class.
        code: The business code as a string, which does; None where there was none.
        message: The service's own words, shortened.
        request_id: The service's name for the request, where it gave one.
        retry_after: Seconds to wait before the next try, where the service said so.
    """

    def __init__(self, text: str, **reply: Unpack[Reply]) -> None:
        super().__init__(text)
        self.status: int = reply.get("status", 0)
        self.code: str | None = reply.get("code")
        self.message: str = reply.get("message", "")
        self.request_id: str | None = reply.get("request_id")
        self.retry_after: float | None = reply.get("retry_after")


class AuthenticationError(APIError):
    """Raised when the key is missing, wrong or expired (1000-1005, HTTP 401)."""

    stops: Stops = "everything"


class AccountError(APIError):
    """
    Raised when the account needs a person: no balance, locked, no plan (1113, ...).

    Code 1311 is about one model only, and stops only that model (`stops`).
    """

    stops: Stops = "everything"

    def __init__(
        self, text: str, *, stops: Stops = "everything", **reply: Unpack[Reply]
    ) -> None:
        super().__init__(text, **reply)
        self.stops = stops


class QuotaError(APIError):
    """
    Raised when a daily, weekly or monthly allowance is used up (1304, 1308, ...).

    Attributes:
        resets_at: When it is renewed, where the service said so. Its text has no time
            zone; Beijing time is assumed (inferred, not documented).
    """

    stops: Stops = "everything"

    def __init__(
        self,
        text: str,
        *,
        resets_at: datetime | None = None,
        **reply: Unpack[Reply],
    ) -> None:
        super().__init__(text, **reply)
        self.resets_at = resets_at


class ContentRefusedError(APIError):
    """
    Raised when the prompt or the picture was refused as unsafe (1300, 1301).

    Attributes:
        content_filter: Which side was refused and how severely, where the service said.
    """

    def __init__(
        self,
        text: str,
        *,
        content_filter: tuple[ContentFilter, ...] = (),
        **reply: Unpack[Reply],
    ) -> None:
        super().__init__(text, **reply)
        self.content_filter = content_filter


class RateLimitedError(APIError):
    """Raised when all places are taken or the model is busy: free, and tried again."""

    retryable = True


class ServerError(APIError):
    """
    Raised when the service says by its code that it failed; it may have billed this.

    The one exception to "never send again what may be paid": it is sent once more, from
    a budget of the whole session. `RetryPolicy(server_errors=0)` turns that off.
    """

    billed: Billed = "maybe"
    retryable = True


class RequestRejectedError(APIError):
    """Raised when the service rejects the request as it stands (any other 4xx)."""


class ResponseError(ZaiImagesError):
    """
    Raised when a 2xx answer has no usable picture, or has an unlisted code.

    Never sent again: the picture may have been paid for. It has the fields of an
    `APIError`, and in `body` the first 2,000 characters, which may hold a link.
    """

    billed: Billed = "maybe"

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str | None = None,
        request_id: str | None = None,
        body: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.body = body


class DownloadError(ZaiImagesError):
    """
    Raised when a picture was paid for and could not be fetched; its link is kept.

    Fetching it again with `session.download(error.response)` costs nothing.

    Attributes:
        reason: What went wrong at the last try, in a few words.
        response: The answer with the link; None where a bare URL was given.
        url: The link with its query masked, fit for a log.
        expires: When the link expires, as far as it says so (30 days by the API page).
    """

    billed: Billed = "yes"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        response: ImageResponse | None = None,
        url: str = "",
        expires: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.response = response
        self.url = url
        self.expires = expires


# Tracebacks and pickles use the public names, so moving a module breaks neither.
for _error in [*vars().values()]:
    if isinstance(_error, type) and issubclass(_error, ZaiImagesError):
        _error.__module__ = "zai_images"
del _error
