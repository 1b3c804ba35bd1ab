"""The service's answers as values: no rules, no I/O, nothing that can fail."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import attrs

from zai_images._api.frozen_json import NOTHING, FrozenJSON

LIFETIME = timedelta(days=30)  # by the documentation; some hosts say less in the link


def masked(url: str) -> str:
    """Mask a link for a log: its query may be a signature."""
    head, mark, _ = url.partition("?")
    head = "".join(char if char.isprintable() else "\ufffd" for char in head)
    return re.sub(r"//[^/@]*@", "//***@", head) + ("?***" if mark else "")


@attrs.define(kw_only=True)
class RawResponse:
    """An answer as it arrived, not yet interpreted."""

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
            word is kept as it is.
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
    A successful answer: a picture that was made and paid for.

    Attributes:
        created: When the service took the request, in Unix seconds; None where the
            answer gave no whole number.
        images: The links; the API page promises exactly one today.
        content_filter: What the content check found; often empty.
        request_id: The service's id of this request, for its support.
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

    @property
    def expires(self) -> datetime | None:
        """When that link expires, by its own word or the API page; None if unknown."""
        return expiry(self.url, self.created)


def expiry(url: str, created: int | None = None) -> datetime | None:
    """Return when a link expires: its own `Expires`, or 30 days after `created`."""
    try:
        stated = parse_qs(urlsplit(url).query).get("Expires", [""])[0]
        if stated.isascii() and stated.isdigit():
            return datetime.fromtimestamp(int(stated), UTC)
        if created is not None:
            return datetime.fromtimestamp(created, UTC) + LIFETIME
    except (ValueError, OverflowError, OSError):
        pass
    return None
