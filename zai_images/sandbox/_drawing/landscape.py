"""Drawn pictures: a landscape that follows from the prompt, with the prompt on it."""

import hashlib
import io
import math
import random
from typing import Final

from PIL import Image, ImageColor, ImageDraw, ImageOps
from PIL.PngImagePlugin import PngInfo

from zai_images.sandbox._drawing.text import face_for, fit, sized

# As shares of the width and the height.
_Point = tuple[float, float]

# Drawn twice as large and then reduced: Pillow's own edges are jagged.
_SCALE: Final = 2
_PANEL: Final = (10, 12, 20, 178)
_STRIP: Final = (14, 15, 20)
_STRIP_LETTERS: Final = (255, 196, 61)
# Sky, horizon, far land, near land, sun.
_PALETTES: Final = (
    "#2c2e62 #f4a686 #967298 #1e1938 #ffd996",
    "#6094c6 #fde2c2 #96abc9 #24385c #fff1d0",
    "#86bebc #f0f3d8 #7caa98 #11342f #ffe096",
    "#e59262 #fce4b0 #d38e6c #542529 #fff6dc",
    "#0c1234 #425494 #3e4d84 #090b1e #f1f0d6",
    "#1a6a8e #b6e7dd #60a5b0 #09344d #ffecba",
    "#7a3e70 #fac0be #be7a96 #38163d #ffe3ca",
    "#5a6a7f #dee2df #96a2ac #252d39 #ffc97a",
)
_LAYERS: Final = 5


def draw(prompt: str, width: int, height: int, mark: str) -> bytes:
    """Draw the PNG of a prompt; an ImportError where Pillow has no FreeType."""
    image = _background(prompt, width, height)
    short = min(width, height)
    strip = max(26, short // 22)
    _write_strip(image, mark, strip)
    _write_panel(image, prompt, short, height - strip)
    info = PngInfo()
    info.add_text("Comment", mark)
    info.add_itxt("Description", prompt)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=info, compress_level=2)
    return file.getvalue()


def _background(prompt: str, width: int, height: int) -> Image.Image:
    digest = hashlib.blake2b(prompt.encode(), digest_size=8).digest()
    chance = random.Random(int.from_bytes(digest, "big"))
    palette = [ImageColor.getrgb(colour) for colour in chance.choice(_PALETTES).split()]
    sky, horizon, far, near, sun = palette
    width, height = width * _SCALE, height * _SCALE
    column = Image.linear_gradient("L").resize((1, height))
    image = ImageOps.colorize(column, sky, horizon).resize((width, height))
    _draw_sun(image, chance, sun)
    canvas = ImageDraw.Draw(image)
    ridge = chance.choice((_hills, _peaks))
    for layer in range(_LAYERS):
        depth = layer / (_LAYERS - 1)
        outline = [*ridge(chance, depth), (2, 1), (-1, 1)]
        colour = (round(a + (b - a) * depth) for a, b in zip(far, near, strict=True))
        shape = [(x * width, y * height) for x, y in outline]
        canvas.polygon(shape, tuple(colour))
    return image.reduce(_SCALE)


def _draw_sun(image: Image.Image, chance: random.Random, sun: tuple[int, ...]) -> None:
    x = image.width * chance.uniform(0.2, 0.8)
    y = image.height * chance.uniform(0.2, 0.45)
    size = min(image.size) * chance.uniform(0.08, 0.14)
    canvas = ImageDraw.Draw(image, "RGBA")
    for radius, alpha in ((size * 1.9, 40), (size * 1.4, 56), (size, 255)):
        box = (x - radius, y - radius, x + radius, y + radius)
        canvas.ellipse(box, (*sun, alpha))


def _hills(chance: random.Random, depth: float) -> list[_Point]:
    level, swing = 0.46 + 0.42 * depth, 0.05 + 0.03 * depth
    waves = [
        (chance.uniform(2.5, 10) * rank, chance.random() * 6.3, swing / rank)
        for rank in (1, 2, 3)
    ]
    return [
        (x, level - sum(high * math.sin(often * x + at) for often, at, high in waves))
        for x in (step / 200 for step in range(201))
    ]


def _peaks(chance: random.Random, depth: float) -> list[_Point]:
    level, swing = 0.55 + 0.35 * depth, 1.15 - 0.6 * depth
    x = -chance.uniform(0.05, 0.2)
    ridge = [(x, level)]
    while x < 1:
        for rise in (chance.uniform(0.12, 0.26), 0.02):
            x += chance.uniform(0.06, 0.16)
            ridge.append((x, level - rise * swing))
    return ridge


def _write_strip(image: Image.Image, mark: str, height: int) -> None:
    canvas = ImageDraw.Draw(image)
    top = image.height - height
    canvas.rectangle((0, top, image.width, image.height), _STRIP)
    face = sized(face_for("a"), round(height * 0.52))
    middle = (image.width / 2, top + height / 2)
    canvas.text(middle, mark, _STRIP_LETTERS, face, "mm")


def _write_panel(image: Image.Image, prompt: str, short: int, bottom: int) -> None:
    margin = short // 20
    pad = margin * 3 // 4
    text = fit(
        prompt,
        image.width - 2 * (margin + pad),
        bottom * 3 // 4 - 2 * pad,
        sizes=(max(17, short // 48), short // 11),
    )
    if not text.lines:
        return
    width, height = text.width + 2 * pad, text.height + 2 * pad
    left = image.width - margin - width if text.right_to_left else margin
    top = bottom - margin - height
    canvas = ImageDraw.Draw(image, "RGBA")
    box = (left, top, left + width, top + height)
    canvas.rounded_rectangle(box, pad // 2, _PANEL)
    text.draw(canvas, left + pad, top + pad)
