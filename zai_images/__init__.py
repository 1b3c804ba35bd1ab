"""
Make pictures with Z.AI's CogView-4 from asyncio: one, or a million.

Nothing is paid twice by accident, nothing paid is lost, and every error says what
happened, whether it cost money, and what to do next.
"""

from zai_images._batch import BatchRun, BatchRunner
from zai_images._config import RetryPolicy, SessionConfig, Timeouts
from zai_images._errors import (
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
from zai_images._models import ImageRequest
from zai_images._outcomes import BatchSummary, Done, Failed, Outcome, Unfinished
from zai_images._picture import Picture
from zai_images._response import ContentFilter, ImageResponse, ImageURL
from zai_images._rules import Quality, Size
from zai_images._session import ImageSession
from zai_images._stats import LatencyStats, ModelStats, SessionStats
from zai_images._version import __version__

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
    "SessionConfig",
    "SessionStats",
    "Size",
    "Timeouts",
    "TransportError",
    "Unfinished",
    "ZaiImagesError",
    "__version__",
]
