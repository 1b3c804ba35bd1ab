"""What the service answers, as values: no rules, no I/O, nothing that can fail."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import attrs

from zai_images._api.frozen_json import NOTHING, FrozenJSON

LIFETIME = timedelta(days=30)  # by the documentation; some hosts say less in the link


def masked(url: str) -> str:
    """Write a link for a log: without its query, which may be a signature."""
    head, mark, _ = url.partition("?")
    head = "".join(char if char.isprintable() else "\ufffd" for char in head)
    return re.sub(r"//[^/@]*@", "//***@", head) + ("?***" if mark else "")


@attrs.define(kw_only=True)
class RawResponse:
    """An answer as it came, before anything has looked at it."""

    status: int
    body: bytes = attrs.field(repr=False)
    retry_after: str | None = None
    request_id: str | None = None


@attrs.frozen(kw_only=True)
class ContentFilter:
    """
    A finding of the service's content check (`content_filter[]` on the API page).

    Attributes:
        role: `user` for the prompt, `assistant` for the picture, `history`; an unknown
            word is kept as it came.
        level: 0 (the most severe) to 3 (the mildest); None where none was given.
    """

    role: str
    level: int | None = None


@attrs.frozen(kw_only=True)
class ImageURL:
    """
    The link of one picture (`data[].url`).

    The link is temporary (30 days by the documentation, less by some reports) and may
    carry a signature, so treat it as a secret.
    """

    url: str = attrs.field(repr=lambda url: repr(masked(url)))
    extra: FrozenJSON = NOTHING


@attrs.frozen(kw_only=True)
class ImageResponse:
    """
    A successful answer of the service: a picture that was made and paid for.

    Attributes:
        created: When the service took the request, Unix seconds; None where the answer
            did not say it as a whole number.
        images: The links; the API page promises exactly one today.
        content_filter: What the content check found; often empty.
        request_id: The service's own name for this request, for its support.
        extra: Every field of the answer that the API page does not name.
    """

    created: int | None
    images: tuple[ImageURL, ...]
    content_filter: tuple[ContentFilter, ...] = ()
    request_id: str | None = None
    extra: FrozenJSON = NOTHING

    @property
    def url(self) -> str:
        """The first picture's link."""
        return self.images[0].url


def expiry(url: str, response: ImageResponse | None) -> datetime | None:
    """Tell when a link dies: by its own `Expires`, else by the documented 30 days."""
    try:
        stated = parse_qs(urlsplit(url).query).get("Expires", [""])[0]
        if stated.isascii() and stated.isdigit():
            return datetime.fromtimestamp(int(stated), UTC)
        if response is not None and response.created is not None:
            return datetime.fromtimestamp(response.created, UTC) + LIFETIME
    except (ValueError, OverflowError, OSError):
        pass
    return None
