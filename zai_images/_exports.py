"""
The one list of the package's public names.

Each is imported `as` its own name, which marks it as a re-export for type checkers.
"""

from zai_images._api.errors import (
    AccountError as AccountError,
    AnswerLostError as AnswerLostError,
    APIError as APIError,
    AuthenticationError as AuthenticationError,
    BudgetError as BudgetError,
    BusyError as BusyError,
    ConfigurationError as ConfigurationError,
    ConnectError as ConnectError,
    ContentRefusedError as ContentRefusedError,
    DownloadError as DownloadError,
    InvalidRequestError as InvalidRequestError,
    QuotaError as QuotaError,
    RateLimitedError as RateLimitedError,
    RequestRejectedError as RequestRejectedError,
    ResponseError as ResponseError,
    ServerError as ServerError,
    TransportError as TransportError,
    ZaiImagesError as ZaiImagesError,
)
from zai_images._api.models import Quality as Quality, Size as Size
from zai_images._api.request import ImageRequest as ImageRequest
from zai_images._api.response import (
    ContentFilter as ContentFilter,
    ImageResponse as ImageResponse,
    ImageURL as ImageURL,
)
from zai_images._batch.outcomes import (
    BatchSummary as BatchSummary,
    Done as Done,
    Failed as Failed,
    Outcome as Outcome,
    Unfinished as Unfinished,
)
from zai_images._batch.runner import BatchRun as BatchRun, BatchRunner as BatchRunner
from zai_images._config import (
    RetryPolicy as RetryPolicy,
    SessionConfig as SessionConfig,
    Timeouts as Timeouts,
)
from zai_images._picture.picture import Picture as Picture
from zai_images._session.check import ServiceCheck as ServiceCheck
from zai_images._session.session import ImageSession as ImageSession
from zai_images._session.stats import (
    LatencyStats as LatencyStats,
    ModelStats as ModelStats,
    SessionStats as SessionStats,
)
