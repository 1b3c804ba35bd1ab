"""
Make pictures with Z.AI's CogView-4 from asyncio: one, or a million.

Nothing is paid twice by accident, nothing paid is lost, and every error says what
happened, whether it cost money, and what to do next.

The names are loaded when they are first used: whoever has this package installed and
does not use it, as a run of pytest with its plugin, does not pay for its import.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from zai_images._version import __version__

if TYPE_CHECKING:
    from zai_images._api.errors import (
        AccountError,
        AnswerLostError,
        APIError,
        AuthenticationError,
        BudgetError,
        BusyError,
        ConfigurationError,
        ConnectError,
        ContentRefusedError,
        DownloadError,
        InvalidRequestError,
        QuotaError,
        RateLimitedError,
        RequestRejectedError,
        ResponseError,
        ServerError,
        TransportError,
        ZaiImagesError,
    )
    from zai_images._api.models import Quality, Size
    from zai_images._api.request import ImageRequest
    from zai_images._api.response import ContentFilter, ImageResponse, ImageURL
    from zai_images._batch.outcomes import (
        BatchSummary,
        Done,
        Failed,
        Outcome,
        Unfinished,
    )
    from zai_images._batch.runner import BatchRun, BatchRunner
    from zai_images._config import RetryPolicy, SessionConfig, Timeouts
    from zai_images._picture.picture import Picture
    from zai_images._session.check import ServiceCheck
    from zai_images._session.session import ImageSession
    from zai_images._session.stats import LatencyStats, ModelStats, SessionStats

_HOMES = {
    "_batch.runner": ("BatchRun", "BatchRunner"),
    "_config": ("RetryPolicy", "SessionConfig", "Timeouts"),
    "_api.errors": (
        "APIError",
        "AccountError",
        "AnswerLostError",
        "AuthenticationError",
        "BudgetError",
        "BusyError",
        "ConfigurationError",
        "ConnectError",
        "ContentRefusedError",
        "DownloadError",
        "InvalidRequestError",
        "QuotaError",
        "RateLimitedError",
        "RequestRejectedError",
        "ResponseError",
        "ServerError",
        "TransportError",
        "ZaiImagesError",
    ),
    "_api.request": ("ImageRequest",),
    "_batch.outcomes": ("BatchSummary", "Done", "Failed", "Outcome", "Unfinished"),
    "_picture.picture": ("Picture",),
    "_api.response": ("ContentFilter", "ImageResponse", "ImageURL"),
    "_api.models": ("Quality", "Size"),
    "_session.check": ("ServiceCheck",),
    "_session.session": ("ImageSession",),
    "_session.stats": ("LatencyStats", "ModelStats", "SessionStats"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "APIError",
    "AccountError",
    "AnswerLostError",
    "AuthenticationError",
    "BatchRun",
    "BatchRunner",
    "BatchSummary",
    "BudgetError",
    "BusyError",
    "ConfigurationError",
    "ConnectError",
    "ContentFilter",
    "ContentRefusedError",
    "Done",
    "DownloadError",
    "Failed",
    "ImageRequest",
    "ImageResponse",
    "ImageSession",
    "ImageURL",
    "InvalidRequestError",
    "LatencyStats",
    "ModelStats",
    "Outcome",
    "Picture",
    "Quality",
    "QuotaError",
    "RateLimitedError",
    "RequestRejectedError",
    "ResponseError",
    "RetryPolicy",
    "ServerError",
    "ServiceCheck",
    "SessionConfig",
    "SessionStats",
    "Size",
    "Timeouts",
    "TransportError",
    "Unfinished",
    "ZaiImagesError",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Load a name from its home, once."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
