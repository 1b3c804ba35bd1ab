"""The fonts of this machine, and which of them has a character."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Final, cast

from PIL import ImageFont

# Preferred first; the wide ones (CJK) last, for their Latin letters are poor.
_FILES: Final = (
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
    "LiberationSans-Regular.ttf",
    "Helvetica.ttc",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansBengali-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "NotoSansSymbols2-Regular.ttf",
    "NotoEmoji-Regular.ttf",
    "Symbola.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "Arial Unicode.ttf",
)
_FOLDERS: Final = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
)
# Widths are measured once at this size, and scale with the letters.
_MEASURE: Final = 64
_NEVER_A_CHARACTER: Final = "\U0010ffff"


@lru_cache(maxsize=1)
def installed() -> tuple[str, ...]:
    """Return the fonts that this machine has, or "" for Pillow's own."""
    found: dict[str, str] = {}
    for folder in _FOLDERS:
        for path, _, names in os.walk(Path(folder).expanduser()):
            for name in set(names).intersection(_FILES):
                found.setdefault(name, str(Path(path, name)))
    return tuple(found[name] for name in _FILES if name in found) or ("",)


@lru_cache(maxsize=256)
def load(font: str, size: int) -> ImageFont.FreeTypeFont:
    """Open a font at a size; an ImportError where Pillow has no FreeType."""
    if font:
        return ImageFont.truetype(font, size)
    # Only without a size might it be the other kind.
    return cast("ImageFont.FreeTypeFont", ImageFont.load_default(size))


def font_for(character: str) -> str | None:
    """Return the first font that has a character."""
    return next((font for font in installed() if has(font, character)), None)


@lru_cache(maxsize=1 << 16)
def has(font: str, character: str) -> bool:
    """Whether a font has a character."""
    # Pillow does not say, but draws the same sign for every one that is missing.
    return _stamp(font, character) != _missing(font)


@lru_cache(maxsize=1 << 16)
def em_width(font: str, text: str) -> float:
    """Measure a text, in multiples of the letter size."""
    return load(font, _MEASURE).getlength(text) / _MEASURE


@lru_cache(maxsize=64)
def _missing(font: str) -> tuple[tuple[int, int], bytes]:
    return _stamp(font, _NEVER_A_CHARACTER)


def _stamp(font: str, character: str) -> tuple[tuple[int, int], bytes]:
    mask = _unshaped(font).getmask(character)
    return mask.size, bytes(mask)


@lru_cache(maxsize=64)
def _unshaped(font: str) -> ImageFont.FreeTypeFont:
    # Shaping would add a dotted circle to a mark that stands alone.
    return load(font, _MEASURE).font_variant(layout_engine=ImageFont.Layout.BASIC)
