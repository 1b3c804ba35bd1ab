"""A checked picture."""

import asyncio
import base64
import os
from pathlib import Path
from typing import Any

import attrs

from zai_images._api.request import ImageRequest
from zai_images._api.response import ImageResponse
from zai_images._picture.files import write_atomically
from zai_images._picture.header import EXTENSIONS, measure


@attrs.frozen(kw_only=True)
class Picture:
    """
    A picture that was made, paid for, fetched and checked.

    Attributes:
        data: The file's bytes, as the service made them.
        media_type: `image/png`, `image/jpeg` or `image/webp`, by content.
        width: Pixels, from the file's header.
        height: Pixels, from the file's header.
        latency: Seconds the request was in service; None for a bare download.
        cost: US dollars; None where the price is not known.
        request: What was asked for; None for a bare download.
        response: What the service answered; None where a bare URL was fetched.
    """

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    media_type: str
    width: int
    height: int
    latency: float | None = None
    cost: float | None = None
    request: ImageRequest | None = None
    response: ImageResponse | None = None

    @property
    def extension(self) -> str:
        """The extension of its file's name, such as `.png`."""
        return EXTENSIONS[self.media_type]

    async def save(self, path: str | os.PathLike[str]) -> Path:
        """
        Write the picture to `path`: after a crash the file is whole or not there.

        An existing file is replaced. A thread does the writing.

        Raises:
            OSError: The disk is full, the folder is missing, and the like.
        """
        target = Path(path)
        await asyncio.to_thread(write_atomically, target, self.data)
        return target

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """Show the picture in a notebook, from the bytes held here."""
        del include, exclude  # IPython filters by itself
        shown = base64.b64encode(self.data).decode()
        sizes = {"width": self.width, "height": self.height}
        return (
            {self.media_type: shown, "text/plain": repr(self)},
            {self.media_type: sizes},
        )


def inspect(data: bytes) -> Picture:
    """Identify a picture by its bytes alone, or raise `NotAPictureError`."""
    media_type, width, height = measure(data)
    return Picture(data=data, media_type=media_type, width=width, height=height)
