"""
The rules of each model, as data: sizes, qualities, prices, latency.

Sources: the "Generate Image" page of the API for CogView-4; Z.AI's OpenAPI description
and price pages for GLM-Image.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar

import attrs

from zai_images._api.errors import InvalidRequestError


class Quality(StrEnum):
    """
    A quality of the API page.

    `STANDARD` takes about 5-10 seconds; `HD`, more detailed and consistent, about 20.
    """

    STANDARD = "standard"
    HD = "hd"


def _whole_pixels(_: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    if type(value) is not int or value < 1:
        raise InvalidRequestError(
            f"size: the {attribute.name} must be a whole number of pixels, 1 or more; "
            f"got {value!r}",
            field="size",
        )


# As people write sizes: the API's own documents print the multiplication sign.
_WRITTEN = re.compile(r"\s*(\d{1,6})\s*[xX×*]\s*(\d{1,6})\s*", re.ASCII)


@attrs.frozen
class Size:
    """
    A picture's width and height in pixels; `str(size)` is what goes out.

    The seven sizes the API page recommends have names. Whether another size is legal
    depends on the model, so that is checked when a request is made.
    """

    width: int = attrs.field(validator=_whole_pixels)
    height: int = attrs.field(validator=_whole_pixels)

    SQUARE: ClassVar["Size"]
    PORTRAIT: ClassVar["Size"]
    PORTRAIT_TALL: ClassVar["Size"]
    PORTRAIT_NARROW: ClassVar["Size"]
    LANDSCAPE: ClassVar["Size"]
    LANDSCAPE_WIDE: ClassVar["Size"]
    LANDSCAPE_PANORAMA: ClassVar["Size"]

    @classmethod
    def parse(cls, value: "Size | str | tuple[int, int] | list[int]") -> "Size":
        """
        Read a size from `"1024x1024"`, `"1024×1024"`, `(1024, 1024)` or a `Size`.

        Raises:
            InvalidRequestError: It is none of these.
        """
        if isinstance(value, Size):
            return value
        if isinstance(value, str) and (match := _WRITTEN.fullmatch(value)):
            return cls(int(match[1]), int(match[2]))
        if isinstance(value, tuple | list) and len(value) == 2:
            return cls(*value)
        raise InvalidRequestError(
            f"size: {value!r} is not a size; write it as '1024x1024' or (1024, 1024)",
            field="size",
        )

    @property
    def pixels(self) -> int:
        """The number of pixels, width times height."""
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


Size.SQUARE = Size(1024, 1024)
Size.PORTRAIT, Size.LANDSCAPE = Size(864, 1152), Size(1152, 864)
Size.PORTRAIT_TALL, Size.LANDSCAPE_WIDE = Size(768, 1344), Size(1344, 768)
Size.PORTRAIT_NARROW, Size.LANDSCAPE_PANORAMA = Size(720, 1440), Size(1440, 720)


@attrs.frozen(kw_only=True)
class ModelRules:
    """
    What one model allows, costs (US dollars a picture) and takes (seconds).

    `recommended` sizes are legal as they are: two of GLM-Image's own break its range.
    """

    name: str
    recommended: tuple[Size, ...]
    side_min: int
    side_max: int
    multiple: int
    max_pixels: int
    default_size: Size
    windows: Mapping[Quality, tuple[float, float]]
    default_quality: Quality
    price: float

    def check_quality(self, value: object) -> Quality:
        """Return a quality, or the default; raise `InvalidRequestError` if unknown."""
        if value is None:
            return self.default_quality
        if isinstance(value, str) and value.lower() in self.windows:
            return Quality(value.lower())
        allowed = " or ".join(repr(str(quality)) for quality in self.windows)
        raise InvalidRequestError(
            f"quality: {value!r} is not a quality of {self.name}; use {allowed}",
            field="quality",
        )

    def check_size(self, value: Any) -> Size:  # noqa: ANN401 - whatever a caller passed
        """Return a size, or the default; raise `InvalidRequestError` if illegal."""
        if value is None:
            return self.default_size
        size = Size.parse(value)
        faults = self._faults(size)
        if not faults or size in self.recommended:
            return size
        raise InvalidRequestError(
            f"size: {size} is not possible with {self.name}: {' and '.join(faults)}. "
            f"Allowed: both sides {self.side_min}-{self.side_max} px, divisible by "
            f"{self.multiple}, at most {self.max_pixels} pixels in all. "
            f"The nearest legal size is {self.nearest(size)}.",
            field="size",
        )

    def _faults(self, size: Size) -> list[str]:
        sides = (size.width, size.height)
        faults = []
        if any(not self.side_min <= side <= self.side_max for side in sides):
            faults.append(f"a side is outside {self.side_min}-{self.side_max} px")
        if any(side % self.multiple for side in sides):
            faults.append(f"a side is not divisible by {self.multiple}")
        if size.pixels > self.max_pixels:
            faults.append(f"{size.pixels} pixels are more than {self.max_pixels}")
        return faults

    def nearest(self, size: Size) -> Size:
        """Find the legal size nearest to `size`, by the distance of the two sides."""
        legal = (
            Size(width, min(self._side(size.height), self._highest(width)))
            for width in range(self.side_min, self.side_max + 1, self.multiple)
            if self._highest(width) >= self.side_min
        )
        return min(
            (*self.recommended, *legal),
            key=lambda one: (
                (one.width - size.width) ** 2 + (one.height - size.height) ** 2
            ),
        )

    def _side(self, pixels: int) -> int:
        """Round a side to the grid."""
        rounded = round(pixels / self.multiple) * self.multiple
        return max(self.side_min, min(rounded, self.side_max))

    def _highest(self, width: int) -> int:
        """Return the greatest legal height at this width."""
        room = self.max_pixels // width // self.multiple * self.multiple
        return min(room, self.side_max)


def _sizes(text: str) -> tuple[Size, ...]:
    return tuple(map(Size.parse, text.split()))


MODELS: Mapping[str, ModelRules] = MappingProxyType(
    {
        rules.name: rules
        for rules in (
            ModelRules(
                name="cogview-4-250304",
                recommended=_sizes(
                    "1024x1024 768x1344 864x1152 1344x768 1152x864 1440x720 720x1440"
                ),
                side_min=512,
                side_max=2048,
                multiple=16,
                max_pixels=2**21,
                default_size=Size.SQUARE,
                windows={Quality.STANDARD: (5.0, 10.0), Quality.HD: (17.0, 20.0)},
                default_quality=Quality.STANDARD,
                price=0.01,
            ),
            ModelRules(
                name="glm-image",
                recommended=_sizes(
                    "1280x1280 1568x1056 1056x1568 1472x1088 1088x1472 1728x960 "
                    "960x1728"
                ),
                side_min=1024,
                side_max=2048,
                multiple=32,
                max_pixels=2**22,
                default_size=Size(1280, 1280),
                windows={Quality.HD: (17.0, 20.0)},
                default_quality=Quality.HD,
                price=0.015,
            ),
        )
    }
)
