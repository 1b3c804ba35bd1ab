"""
Any Unicode text in a box: wrapped, fitted, and legible even without its font.

No font has every character, so each takes the first font that has it. One that no
font has becomes a small box with its number in it, as in Unicode's "last resort"
font: honest, and still readable by those who must.
"""

import math
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

import attrs
from PIL import ImageDraw, ImageFont

from zai_images.sandbox._drawing.fonts import em_width, font_for, has, installed, load

_LEADING: Final = 1.34
_BASELINE: Final = 0.98
_BOX_WIDTH: Final = 1.0
_SHRINK: Final = 0.94
# More than any picture can hold, so the cut is never mistaken for the end.
_MOST_CHARACTERS: Final = 10_000
_RIGHT_TO_LEFT: Final = ("R", "AL")
_LEFT_TO_RIGHT: Final = "L"


@attrs.frozen
class _Letter:
    """A character with its marks, the font that has it (None: none), its width."""

    text: str
    font: str | None
    width: float


@attrs.frozen
class _Word:
    """Letters that stay on one line if they can, and what stands before them."""

    gap: str
    letters: tuple[_Letter, ...]
    width: float


@attrs.frozen(kw_only=True)
class Lettering:
    """A text laid out in lines of one letter size."""

    lines: tuple[tuple[_Letter, ...], ...]
    size: int
    right_to_left: bool

    @property
    def height(self) -> int:
        """The height of all lines, in pixels."""
        return round(len(self.lines) * _LEADING * self.size)

    def width(self) -> int:
        """Measure the longest line, in pixels."""
        return max(sum(map(self._measure, _pieces(line))) for line in self.lines)

    def draw(self, canvas: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Write the text in white from this corner on."""
        start = left + self.width() if self.right_to_left else left
        for number, line in enumerate(self.lines):
            y = top + round((number * _LEADING + _BASELINE) * self.size)
            x = start
            for piece in _pieces(line):
                width = self._measure(piece)
                x -= width if self.right_to_left else 0
                self._draw_piece(canvas, piece, x, y)
                x += 0 if self.right_to_left else width

    def _direction(self, face: ImageFont.FreeTypeFont) -> str | None:
        if face.layout_engine != ImageFont.Layout.RAQM:
            return None  # the basic engine knows one direction, and cannot be told
        return "rtl" if self.right_to_left else "ltr"

    def _measure(self, piece: tuple[str | None, str]) -> int:
        font, text = piece
        if font is None:
            return round(_BOX_WIDTH * self.size)
        face = load(font, self.size)
        return math.ceil(face.getlength(text, direction=self._direction(face)))

    def _draw_piece(
        self,
        canvas: ImageDraw.ImageDraw,
        piece: tuple[str | None, str],
        x: int,
        y: int,
    ) -> None:
        font, text = piece
        if font is None:
            _draw_box(canvas, text, x, y, self.size)
        else:
            face = load(font, self.size)
            direction = self._direction(face)
            canvas.text((x, y), text, "white", face, "ls", direction=direction)


def fit(text: str, width: int, height: int, *, sizes: tuple[int, int]) -> Lettering:
    """Lay a text out as large as the box allows, or cut it at the smallest size."""
    smallest, largest = sizes
    words = list(_words(_letters(text[:_MOST_CHARACTERS])))
    # No letters can fill more than the whole box, so start no larger than that.
    area = max(1.0, sum(word.width for word in words)) * _LEADING
    size = max(smallest, min(largest, int(math.sqrt(width * height / area)) + 1))
    while True:
        lines = list(_wrap(words, width / size))
        most = max(1, int(height / (_LEADING * size)))
        if len(lines) <= most or size == smallest:
            break
        size = max(smallest, min(size - 1, round(size * _SHRINK)))
    if len(lines) > most:
        lines[most - 1 :] = [_shorten(lines[most - 1], width / size)]
    return Lettering(
        lines=tuple(lines), size=size, right_to_left=_is_right_to_left(text)
    )


def _is_right_to_left(text: str) -> bool:
    for character in text:
        direction = unicodedata.bidirectional(character)
        if direction == _LEFT_TO_RIGHT or direction in _RIGHT_TO_LEFT:
            return direction in _RIGHT_TO_LEFT
    return False


def _letters(text: str) -> Iterator[str]:
    """Yield every character with the marks on it; white space becomes one blank."""
    letter = ""
    for character in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(character)
        if kind == "Cf" or "VARIATION SELECTOR" in unicodedata.name(character, ""):
            continue  # they only steer how others look
        if letter and kind in ("Mn", "Me", "Mc") and _can_carry(letter, character):
            letter += character
            continue
        if letter:
            yield letter
        letter = character
        if character.isspace() or kind == "Cc":
            letter = "\n" if character in "\n\v\f\u2028\u2029" else " "
    if letter:
        yield letter


def _can_carry(letter: str, mark: str) -> bool:
    font = font_for(letter[0])
    return not letter.isspace() and font is not None and has(font, mark)


def _words(letters: Iterable[str]) -> Iterator[_Word]:
    gap, word = "", list[_Letter]()
    for letter in letters:
        if letter.isspace():
            if word:
                yield _word(gap, word)
                gap, word = "", []
            gap = "\n" if "\n" in (gap, letter) else " "
        else:
            # Chinese and Japanese break between any two characters, but not before
            # the punctuation that ends a phrase.
            wide = unicodedata.east_asian_width(letter[0]) in ("W", "F")
            if wide and word and unicodedata.category(letter[0])[0] != "P":
                yield _word(gap, word)
                gap, word = "", []
            word.append(_letter(letter))
    if word:
        yield _word(gap, word)


def _word(gap: str, letters: list[_Letter]) -> _Word:
    return _Word(gap, tuple(letters), _width(letters))


def _letter(text: str) -> _Letter:
    font = font_for(text[0])
    width = _BOX_WIDTH if font is None else em_width(font, text)
    return _Letter(text, font, width)


def _width(letters: Iterable[_Letter]) -> float:
    return sum(letter.width for letter in letters)


def _wrap(words: Iterable[_Word], most: float) -> Iterator[tuple[_Letter, ...]]:
    blank = _letter(" ")
    line: list[_Letter] = []
    used = 0.0
    for word in words:
        space = blank.width if word.gap == " " else 0.0
        if line and (word.gap == "\n" or used + space + word.width > most):
            yield tuple(line)
            line, used = [], 0.0
        if line and space:
            line.append(blank)
            used += space
        for letter in word.letters:
            if line and used + letter.width > most:
                yield tuple(line)
                line, used = [], 0.0
            line.append(letter)
            used += letter.width
    if line:
        yield tuple(line)


def _shorten(line: tuple[_Letter, ...], most: float) -> tuple[_Letter, ...]:
    ellipsis = _letter("…")
    kept = list(line)
    while kept and _width(kept) + ellipsis.width > most:
        kept.pop()
    return (*kept, ellipsis)


def _pieces(line: Iterable[_Letter]) -> Iterator[tuple[str | None, str]]:
    """Join neighbours of one font, so that it can shape them; boxes stand alone."""
    for font, letters in groupby(line, key=lambda letter: letter.font):
        if font is None:
            yield from ((None, letter.text) for letter in letters)
        else:
            yield font, "".join(letter.text for letter in letters)


def _draw_box(
    canvas: ImageDraw.ImageDraw, letter: str, x: int, y: int, em: int
) -> None:
    left, right = x + 0.06 * em, x + (_BOX_WIDTH - 0.06) * em
    top, bottom = y - 0.84 * em, y + 0.12 * em
    outline = max(1, em // 24)
    canvas.rounded_rectangle(
        (left, top, right, bottom), em // 8, outline="white", width=outline
    )
    digits = f"{ord(letter[0]):04X}"
    half = (len(digits) + 1) // 2
    # Three digits in a row, for what lies beyond FFFF, must be narrower.
    face = load(installed()[0], max(5, round(em * (0.38 if half == 2 else 0.32))))
    middle = ((left + right) / 2, (top + bottom) / 2)
    for row, offset in ((digits[:half], -0.22), (digits[half:], 0.22)):
        place = (middle[0], middle[1] + offset * em)
        canvas.text(place, row, "white", face, "mm")
