"""
A prompt as lines of letters that fit a box.

Pillow shapes the letters and finds their direction. This module gives each letter a
font that has it, breaks the lines, and says in words which script has no font.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from typing import Final

import attrs
from PIL import ImageDraw, ImageFont

Face = ImageFont.FreeTypeFont

# Preferred first: the Noto font of a letter's own script comes before those of many
# scripts. The wide ones (CJK) stand last, for their Latin letters are poor.
_FONTS: Final = (
    "NotoSans-Regular.ttf, DejaVuSans.ttf, LiberationSans-Regular.ttf, Helvetica.ttc, "
    "NotoSans{}-Regular.ttf, NotoSansSymbols2-Regular.ttf, NotoEmoji-Regular.ttf, "
    "Symbola.ttf, NotoSansCJK-Regular.ttc, NotoSansSC-Regular.otf, wqy-microhei.ttc, "
    "wqy-zenhei.ttc, DroidSansFallbackFull.ttf, PingFang.ttc, Hiragino Sans GB.ttc, "
    "Arial Unicode.ttf"
)
# Widths are measured at this size, in pixels, and scale with the letters.
_MEASURE: Final = 64
_NEVER_A_CHARACTER: Final = "\U0010ffff"
_LEADING: Final = 1.34
_BASELINE: Final = 0.98
# More than any picture can hold, so the cut is never mistaken for the end.
_MOST_CHARACTERS: Final = 10_000
# Chinese and Japanese break between any two characters, but not before the
# punctuation that ends a phrase. A word longer than 24 letters may break too, but
# not before a mark.
_WIDE: Final = "\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\U0001f000-\U0003ffff"
_CLOSING: Final = "、。〉》」』】〕！），．：；？］｝"
_WORD: Final = re.compile(
    rf"([^\s{_WIDE}{_CLOSING}]{{1,24}}[^\s\w{_WIDE}{_CLOSING}]{{0,8}}"
    rf"|[{_WIDE}{_CLOSING}][{_CLOSING}]*)(\s?)"
)


@attrs.frozen
class _Word:
    """Letters that stay on one line; the width is in multiples of the letter size."""

    face: Face
    text: str
    width: float
    ends_line: bool


@attrs.frozen(kw_only=True)
class Lettering:
    """A text laid out in lines of one letter size, each in pieces of one font."""

    lines: tuple[tuple[tuple[Face, str], ...], ...]
    size: int
    right_to_left: bool

    @property
    def height(self) -> int:
        """The height of all lines, in pixels."""
        return round(len(self.lines) * _LEADING * self.size)

    @property
    def width(self) -> int:
        """The width of the longest line, in pixels."""
        return math.ceil(max(map(_length, self.lines), default=0))

    def draw(self, canvas: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Write the text in white from this corner on."""
        for number, line in enumerate(self.lines):
            y = top + round((number * _LEADING + _BASELINE) * self.size)
            x: float = left + (self.width - _length(line) if self.right_to_left else 0)
            for face, text in reversed(line) if self.right_to_left else line:
                word, width = text.rstrip(), face.getlength(text)
                # From right to left, the blank after a word is on its left.
                gap = width - face.getlength(word) if self.right_to_left else 0
                canvas.text((x + gap, y), word, "white", face, "ls")
                x += width


def fit(text: str, width: int, height: int, *, sizes: tuple[int, int]) -> Lettering:
    """Lay a text out as large as the box allows, or cut it at the smallest size."""
    smallest, largest = sizes
    text = _cleaned(text[:_MOST_CHARACTERS])
    words = list(_words(_legible(text)))
    widths = [1.0, *(word.width for word in words)]
    # No letters fill more than the whole box, and no word more than a line.
    area = math.sqrt(width * height / (sum(widths) * _LEADING))
    start = min(largest, area + 1, width / max(widths))
    for size in range(max(smallest, int(start)), smallest - 1, -1):
        lines = _wrap(words, width / size)
        most = max(1, int(height / (_LEADING * size)))
        if len(lines) <= most:
            break
    if len(lines) > most:
        lines[most - 1 :] = [[*lines[most - 1][:-1], *_words("…")]]
    directions = map(unicodedata.bidirectional, text)
    strong = (one for one in directions if one in ("L", "R", "AL"))
    return Lettering(
        lines=tuple(tuple(_pieces(line, size)) for line in lines),
        size=size,
        right_to_left=next(strong, "L") != "L",
    )


def _length(line: Iterable[tuple[Face, str]]) -> float:
    return sum(face.getlength(text) for face, text in line)


def _cleaned(text: str) -> str:
    """Drop characters that only steer others, and reduce each gap to one blank."""
    shown = "".join(
        character
        for character in unicodedata.normalize("NFC", text)
        if unicodedata.category(character) != "Cf"
        and "VARIATION SELECTOR" not in unicodedata.name(character, "")
    )
    lines = (re.sub(r"[\s\0-\x1f\x7f-\x9f]+", " ", one) for one in shown.splitlines())
    return "\n".join(line.strip() for line in lines if line.strip())


def _legible(text: str) -> str:
    """Say in words which scripts no font of this machine has, and leave those out."""
    lost = {one for one in text if not (one.isspace() or has(face_for(one), one))}
    if not lost:
        return text
    named = (one for one in lost if unicodedata.category(one)[0] not in "MP")
    scripts = sorted(set(map(_script, named)) or {"symbols"})
    notice = f"No font here for {', '.join(scripts)}"
    run = f"[{re.escape(''.join(lost))}]+"
    rest = re.sub(rf"{run}(?:\s+{run})*", "…", text)
    return f"{notice}\n{rest}" if any(map(str.isalnum, rest)) else notice


def _words(prompt: str) -> Iterator[_Word]:
    for face, group in groupby(_lettered(prompt), lambda letter: letter[0]):
        for word, gap in _WORD.findall("".join(letter for _, letter in group)):
            text = word + " " * len(gap)
            width = face.getlength(text) / _MEASURE
            yield _Word(face, text, width, ends_line=gap == "\n")


def _lettered(text: str) -> Iterator[tuple[Face, str]]:
    """Give each letter a font; other characters keep the font before them."""
    face = face_for("a")
    for letter in text:
        if letter.isalpha() or not (letter.isspace() or has(face, letter)):
            face = face_for(letter)
        yield face, letter


def _wrap(words: Iterable[_Word], most: float) -> list[list[_Word]]:
    lines: list[list[_Word]] = []
    room = 0.0
    for word in words:
        if not lines or word.width > room or lines[-1][-1].ends_line:
            lines.append([])
            room = most
        lines[-1].append(word)
        room -= word.width
    return lines


def _pieces(line: Iterable[_Word], size: int) -> Iterator[tuple[Face, str]]:
    """Join neighbours of one font, so that Pillow can shape them together."""
    for face, words in groupby(line, lambda word: word.face):
        yield sized(face, size), "".join(word.text for word in words)


@lru_cache(maxsize=1 << 16)
def face_for(character: str) -> Face:
    """Return the first font that has a character, or else Pillow's own."""
    names = _FONTS.format(_script(character)).split(", ")
    faces = (face for face in map(_installed, names) if face and has(face, character))
    return next(faces, _own())


@lru_cache(maxsize=1 << 16)
def has(face: Face, character: str) -> bool:
    """Tell whether a font has a character."""
    # Pillow does not say, but draws the same sign for every one that is missing; not
    # shaped, for that would add a dotted circle to a mark that stands alone.
    unshaped = sized(face, _MEASURE, ImageFont.Layout.BASIC)
    drawn, missing = map(unshaped.getmask, (character, _NEVER_A_CHARACTER))
    return (drawn.size, bytes(drawn)) != (missing.size, bytes(missing))


def _script(character: str) -> str:
    """Name the script of a letter or its mark; everything else counts as symbols."""
    if unicodedata.category(character)[0] not in "LM":
        return "symbols"
    # Unicode's names begin with the script: DEVANAGARI LETTER A.
    word = unicodedata.name(character, "unknown").split()[0]
    return word if word == "CJK" else word.title()


@lru_cache
def _installed(name: str) -> Face | None:
    try:
        return ImageFont.truetype(name, _MEASURE)
    except OSError:
        return None


@lru_cache
def _own() -> Face:
    face = ImageFont.load_default(_MEASURE)
    if isinstance(face, Face):
        return face
    raise ImportError("Pillow was built without FreeType")


@lru_cache(maxsize=256)
def sized(face: Face, size: int, engine: ImageFont.Layout | None = None) -> Face:
    """Return the same font with letters of a size, in pixels."""
    return face.font_variant(size=size, layout_engine=engine)
