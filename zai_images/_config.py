"""Everything that can be set, with every default written once."""

import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit

import attrs

from zai_images._api.errors import ConfigurationError
from zai_images._api.models import MODELS
from zai_images._redact import (
    Hidden,
    Secret,
    discreet,
    frameless,
    mask_credentials,
)

DEFAULT_BASE_URL = "https://api.z.ai/api/paas/v4"
LIST_PRICE_HOST = "api.z.ai"

_URL = re.compile(r"[^\s\"<>\\^`{|}]+")


def is_number(value: object, kind: type = float) -> bool:
    """Tell whether a value is a number of this kind; NaN and booleans are none."""
    if isinstance(value, bool) or value != value:  # noqa: PLR0124 - NaN alone differs
        return False
    return isinstance(value, int if kind is int else int | float)


def _not_negative(_: object, attribute: Any, value: float) -> None:  # noqa: ANN401 - the shape attrs gives validators
    if not (is_number(value) and value >= 0):
        raise ConfigurationError(f"{attribute.name} cannot be {value!r}; use 0 or more")


def _above_zero(_: object, attribute: Any, value: float) -> None:  # noqa: ANN401 - same
    if not (is_number(value) and value > 0):
        raise ConfigurationError(
            f"{attribute.name} cannot be {value!r}; use more than 0 seconds"
        )


def _count(_: object, attribute: Any, value: int) -> None:  # noqa: ANN401 - same
    if not (is_number(value, int) and value > 0):
        raise ConfigurationError(f"{attribute.name} cannot be {value!r}; use 1 or more")


def _switch(_: object, attribute: Any, value: bool) -> None:  # noqa: ANN401, FBT001 - same
    if not isinstance(value, bool):
        raise ConfigurationError(
            f"{attribute.name} cannot be {value!r}; use True or False"
        )


@discreet
@attrs.frozen(kw_only=True)
class RetryPolicy:
    """
    How often a call is tried again, and after what pauses (seconds).

    A refusal for want of a place (1302, 1303, 1305, 1312) is free and has no count: it
    is tried until `max_wait`. A download is tried eight times, and a fresh link that
    answers 404 for thirty times `download_pause`.
    """

    server_errors: int = attrs.field(default=1, validator=_not_negative)
    connect_errors: int = attrs.field(default=4, validator=_not_negative)
    unknown_refusals: int = attrs.field(default=2, validator=_not_negative)
    lost_answers: int = attrs.field(default=0, validator=_not_negative)
    first_pause: float = attrs.field(default=0.5, validator=_not_negative)
    max_pause: float = attrs.field(default=8.0, validator=_not_negative)
    busy_pause: float = attrs.field(default=5.0, validator=_not_negative)
    max_busy_pause: float = attrs.field(default=120.0, validator=_not_negative)
    download_pause: float = attrs.field(default=1.0, validator=_not_negative)


@discreet
@attrs.frozen(kw_only=True)
class Timeouts:
    """How long each phase may take, in seconds; see the table of `SessionConfig`."""

    connect: float = attrs.field(default=10.0, validator=_above_zero)
    total: float = attrs.field(default=300.0, validator=_above_zero)
    download: float = attrs.field(default=120.0, validator=_above_zero)


def is_loopback(host: str) -> bool:
    """Tell whether a host name stands for this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _key(value: str | None) -> Secret | None:
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"the API key is a {type(value).__name__}, not a text")
    if value is None or not value.strip():
        return None
    key = Secret(value.strip())
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise ConfigurationError(
            "the API key has a blank or a character that no HTTP header may hold; "
            "copy it again from the Z.AI console"
        )
    return key


def _base_url(value: str | None) -> str:
    url = str(value or DEFAULT_BASE_URL).strip().rstrip("/")
    # Without a scheme it may be the key in the wrong place, so it is not quoted.
    quoted = f" {mask_credentials(url)!r}" if "://" in url else ""
    # urlsplit drops some characters, and others are invisible.
    if not (url.isprintable() and _URL.fullmatch(url)):
        raise ConfigurationError(f"base URL{quoted} is not a URL")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ConfigurationError(f"base URL{quoted} is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"base URL{quoted} is not an http(s) address; Z.AI's is {DEFAULT_BASE_URL}"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(
            "the base URL may hold a host and a path only, no user, query or fragment"
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigurationError(
            f"base URL {url!r} would send the key in the clear; use https "
            "(http is for this machine's own addresses only)"
        )
    return url


def _proxy(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(
            "the proxy is not an http(s) address, such as http://proxy.example:3128"
        )
    return Hidden(value)


def _hidden(value: Mapping[str, str]) -> Mapping[str, str]:
    """Hide the values of headers, any of which may be a key to something."""
    return {k: Hidden(v) if isinstance(v, str) else v for k, v in value.items()}


def _prices(value: Mapping[str, float] | None) -> Mapping[str, float] | None:
    if value is None:
        return None
    for model, price in value.items():
        if not (is_number(price) and price >= 0):
            raise ConfigurationError(
                f"prices: {model!r} cannot cost {price!r}; use US dollars, 0 or more"
            )
    return {model.lower(): price for model, price in value.items()}


def _headers(_: object, __: object, value: Mapping[str, str]) -> None:
    if any(name.lower() == "authorization" for name in value):
        raise ConfigurationError(
            "headers: Authorization is set from api_key; pass the key there"
        )


@discreet
@attrs.frozen(kw_only=True)
class SessionConfig:
    """
    The settings of a session.

    | setting | default | meaning |
    | --- | --- | --- |
    | `api_key` | `ZAI_API_KEY` | sent as a Bearer token to `base_url` alone |
    | `base_url` | `https://api.z.ai/api/paas/v4` | includes `/paas/v4` |
    | `max_in_flight` | none | a ceiling on the pictures in service, for each model |
    | `adaptive` | True | find the places; False keeps exactly `max_in_flight`, or 5 |
    | `known_limits` | none | places a model is known to have, by model name |
    | `max_downloads` | 8 | pictures fetched at once |
    | `finish_cancelled` | in a notebook | what was sent outlives a cancelled caller |
    | `max_wait` | no bound | seconds a call may spend with nothing in service |
    | `prices` | list price | US dollars a picture by model; none for other hosts |
    | `headers` | none | more headers for the API; the picture host never gets them |
    | `proxy` | none | an http proxy for the API and the pictures |
    | `trust_env` | False | read the proxy for the API from the environment |
    | `timeouts.connect` | 10 s | name look-up, TCP and TLS |
    | `timeouts.total` | 300 s | one attempt, from the first byte written |
    | `timeouts.download` | 120 s | one try to fetch a picture |
    | `retry.server_errors` | 1 | more tries after a 5xx with the service's own code |
    | `retry.connect_errors` | 4 | more tries while no connection comes to be |
    | `retry.unknown_refusals` | 2 | more tries after a 429 with an unlisted code |
    | `retry.lost_answers` | 0 | more tries after a lost answer; they may be paid |
    | `retry.first_pause` | 0.5 s | doubled at each try, with jitter |
    | `retry.max_pause` | 8 s | where that doubling ends |
    | `retry.busy_pause` | 5 s | first pause when the model is overloaded (1305, 1312) |
    | `retry.max_busy_pause` | 120 s | where that ends; also the cap on a Retry-After |
    | `retry.download_pause` | 1.0 s | a download's first pause, doubled to eightfold |

    Raises:
        ConfigurationError: A setting makes no sense; it says how to fix it.
    """

    api_key: Secret | None = attrs.field(default=None, converter=_key)
    base_url: str = attrs.field(default=DEFAULT_BASE_URL, converter=_base_url)
    retry: RetryPolicy = RetryPolicy()
    timeouts: Timeouts = Timeouts()
    max_in_flight: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(_count)
    )
    adaptive: bool = True
    known_limits: Mapping[str, int] = attrs.field(factory=dict)
    max_downloads: int = attrs.field(default=8, validator=_count)
    prices: Mapping[str, float] | None = attrs.field(default=None, converter=_prices)
    headers: Mapping[str, str] = attrs.field(
        factory=dict, repr=False, converter=_hidden, validator=_headers
    )
    proxy: str | None = attrs.field(
        default=None,
        converter=_proxy,
        repr=lambda url: "None" if url is None else repr(mask_credentials(url)),
    )
    trust_env: bool = False
    finish_cancelled: bool | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(_switch),
    )
    max_wait: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_not_negative)
    )

    @classmethod
    @frameless
    def from_env(cls, **settings: Any) -> Self:  # noqa: ANN401 - the fields above
        """
        Read `ZAI_API_KEY` and `ZAI_BASE_URL`; `settings` override them where not None.

        Raises:
            ConfigurationError: A setting makes no sense; it says how to fix it.
        """
        found = {
            "api_key": os.environ.get("ZAI_API_KEY"),
            "base_url": os.environ.get("ZAI_BASE_URL"),
        }
        given = {name: value for name, value in settings.items() if value is not None}
        return cls(**(found | given))

    def price_of(self, model: str) -> float | None:
        """Return the price of a model's picture in US dollars; None if unknown."""
        if self.prices is not None:
            return self.prices.get(model)
        rules = MODELS.get(model)
        return rules.price if rules and self.host == LIST_PRICE_HOST else None

    @property
    def finishes_cancelled(self) -> bool:
        """Whether a call that was sent goes on when its caller is cancelled."""
        if self.finish_cancelled is not None:
            return self.finish_cancelled
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        return hasattr(shell, "kernel")  # a terminal's IPython has none

    @property
    def host(self) -> str:
        """The host the key is sent to."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def loopback(self) -> bool:
        """Whether the API runs on this machine (a sandbox, a test)."""
        return is_loopback(self.host)
