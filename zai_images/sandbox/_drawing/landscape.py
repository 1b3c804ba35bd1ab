"""Drawn pictures: a landscape whose colours follow from the prompt, and the prompt."""

import colorsys
import hashlib
import io
import math
import random
from collections.abc import Callable
from typing import Final

import attrs
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from zai_images.sandbox._drawing.fonts import installed, load
from zai_images.sandbox._drawing.text import Lettering, fit

Colour = tuple[int, int, int]

# Drawn twice as large and then reduced: Pillow's own edges are jagged.
_SCALE: Final = 2
_PANEL: Final = (10, 12, 20, 178)
_STRIP: Final = (14, 15, 20)
_STRIP_LETTERS: Final = (255, 196, 61)
_WHITE: Final = (255, 255, 255)


@attrs.frozen
class _Palette:
    """Five colours that go together; the prompt turns their hues a little."""

    sky: Colour
    horizon: Colour
    far: Colour
    near: Colour
    accent: Colour


_PALETTES: Final = (
    _Palette(
        (44, 46, 98), (244, 166, 134), (150, 114, 152), (30, 25, 56), (255, 217, 150)
    ),
    _Palette(
        (96, 148, 198), (253, 226, 194), (150, 171, 201), (36, 56, 92), (255, 241, 208)
    ),
    _Palette(
        (134, 190, 188), (240, 243, 216), (124, 170, 152), (17, 52, 47), (255, 224, 150)
    ),
    _Palette(
        (229, 146, 98), (252, 228, 176), (211, 142, 108), (84, 37, 41), (255, 246, 220)
    ),
    _Palette((12, 18, 52), (66, 84, 148), (62, 77, 132), (9, 11, 30), (241, 240, 214)),
    _Palette(
        (26, 106, 142), (182, 231, 221), (96, 165, 176), (9, 52, 77), (255, 236, 186)
    ),
    _Palette(
        (122, 62, 112), (250, 192, 190), (190, 122, 150), (56, 22, 61), (255, 227, 202)
    ),
    _Palette(
        (90, 106, 127), (222, 226, 223), (150, 162, 172), (37, 45, 57), (255, 201, 122)
    ),
)


@attrs.frozen(kw_only=True)
class _Scene:
    """What a composition needs: a big canvas, colours and chance from the prompt."""

    canvas: ImageDraw.ImageDraw
    # Blends what is drawn with what is there, and is several times slower.
    glass: ImageDraw.ImageDraw
    width: int
    height: int
    chance: random.Random
    colours: _Palette


def draw(prompt: str, width: int, height: int, mark: str) -> bytes:
    """Draw the PNG of a prompt, with the mark in a strip and in the file."""
    image = _background(prompt, width, height)
    short = min(width, height)
    strip = max(26, short // 22)
    _write_strip(image, mark, strip)
    margin = short // 20
    pad = margin * 3 // 4
    text = fit(
        prompt,
        width - 2 * (margin + pad),
        (height - strip) * 3 // 4 - 2 * pad,
        sizes=(max(17, short // 48), short // 11),
    )
    if text.lines:
        _write_panel(image, text, (margin, pad), height - strip)
    info = PngInfo()
    info.add_text("Comment", mark)
    info.add_itxt("Description", prompt)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=info, compress_level=2)
    return file.getvalue()


def _background(prompt: str, width: int, height: int) -> Image.Image:
    digest = hashlib.blake2b(prompt.encode(), digest_size=8).digest()
    chance = random.Random(int.from_bytes(digest, "big"))
    palette = chance.choice(_PALETTES)
    turn = chance.uniform(-0.06, 0.06)
    colours = _Palette(*(_turned(part, turn) for part in attrs.astuple(palette)))
    image = _gradient(width * _SCALE, height * _SCALE, colours.sky, colours.horizon)
    scene = _Scene(
        canvas=ImageDraw.Draw(image),
        glass=ImageDraw.Draw(image, "RGBA"),
        width=image.width,
        height=image.height,
        chance=chance,
        colours=colours,
    )
    chance.choice(_COMPOSITIONS)(scene)
    return image.reduce(_SCALE)


def _hills(scene: _Scene) -> None:
    _sun(scene, scene.chance.uniform(0.2, 0.8), scene.chance.uniform(0.2, 0.4))
    layers = 5
    for layer in range(layers):
        depth = layer / (layers - 1)
        level = scene.height * (0.46 + 0.42 * depth)
        swing = scene.height * (0.05 + 0.03 * depth)
        waves = [
            (scene.chance.uniform(0.8, 3.2) * (rank + 1), scene.chance.random() * 6.3)
            for rank in range(3)
        ]
        ridge = [
            (float(x), level - swing * _wave(waves, x / scene.width))
            for x in range(0, scene.width + 16, 16)
        ]
        _land(scene, ridge, depth)


def _peaks(scene: _Scene) -> None:
    _sun(scene, scene.chance.uniform(0.3, 0.7), scene.chance.uniform(0.25, 0.45))
    layers = 4
    for layer in range(layers):
        depth = layer / (layers - 1)
        level = scene.height * (0.55 + 0.35 * depth)
        x = -scene.width * scene.chance.uniform(0.05, 0.2)
        ridge = [(x, level)]
        high = False
        while x < scene.width * 1.1:
            x += scene.width * scene.chance.uniform(0.06, 0.16)
            high = not high
            rise = scene.chance.uniform(0.12, 0.26) if high else 0.02
            ridge.append((x, level - scene.height * rise * (1.15 - 0.6 * depth)))
        _land(scene, ridge, depth)


def _orbits(scene: _Scene) -> None:
    step = max(scene.width, scene.height) * 0.075
    x = scene.width * scene.chance.uniform(0.25, 0.75)
    y = scene.height * scene.chance.uniform(0.25, 0.45)
    rings = 8
    for ring in range(rings, 0, -1):
        share = ((ring - 1) / (rings - 1)) ** 0.6
        glow = _mix(scene.colours.accent, scene.colours.far, 0.55)
        colour = _mix(glow, scene.colours.near, share)
        _disc(scene.canvas, (x, y), step * ring, colour)
    _disc(scene.canvas, (x, y), step * 0.6, scene.colours.accent)
    for _ in range(7):
        angle = scene.chance.random() * 2 * math.pi
        radius = step * scene.chance.randint(2, rings - 1)
        colour = _mix(scene.colours.accent, _WHITE, scene.chance.random())
        place = x + radius * math.cos(angle), y + radius * math.sin(angle)
        _disc(scene.canvas, place, step * scene.chance.uniform(0.1, 0.28), colour)


_COMPOSITIONS: Final[tuple[Callable[[_Scene], None], ...]] = (_hills, _peaks, _orbits)


def _land(scene: _Scene, ridge: list[tuple[float, float]], depth: float) -> None:
    ground = float(scene.height)
    outline = [*ridge, (ridge[-1][0], ground), (ridge[0][0], ground)]
    colour = _mix(scene.colours.far, scene.colours.near, depth)
    scene.canvas.polygon(outline, colour)


def _sun(scene: _Scene, x: float, y: float) -> None:
    radius = min(scene.width, scene.height) * scene.chance.uniform(0.08, 0.14)
    place = x * scene.width, y * scene.height
    for halo, alpha in ((1.9, 40), (1.4, 56)):
        _disc(scene.glass, place, radius * halo, (*scene.colours.accent, alpha))
    _disc(scene.canvas, place, radius, scene.colours.accent)


def _disc(
    canvas: ImageDraw.ImageDraw,
    middle: tuple[float, float],
    radius: float,
    fill: Colour | tuple[int, int, int, int],
) -> None:
    x, y = middle
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill)


def _wave(waves: list[tuple[float, float]], x: float) -> float:
    return sum(
        math.sin(2 * math.pi * often * x / 2 + phase) / (rank + 1)
        for rank, (often, phase) in enumerate(waves)
    )


def _write_strip(image: Image.Image, mark: str, height: int) -> None:
    canvas = ImageDraw.Draw(image)
    top = image.height - height
    canvas.rectangle((0, top, image.width, image.height), _STRIP)
    middle = (image.width / 2, top + height / 2)
    size = round(height * 0.52)
    canvas.text(middle, mark, _STRIP_LETTERS, load(installed()[0], size), "mm")


def _write_panel(
    image: Image.Image, text: Lettering, spaces: tuple[int, int], bottom: int
) -> None:
    margin, pad = spaces
    width, height = text.width(), text.height
    right = image.width - margin if text.right_to_left else margin + width + 2 * pad
    left = right - width - 2 * pad
    top = bottom - margin - height - 2 * pad
    canvas = ImageDraw.Draw(image, "RGBA")
    box = (left, top, right, bottom - margin)
    canvas.rounded_rectangle(box, pad // 2, _PANEL)
    text.draw(canvas, left + pad, top + pad)


def _gradient(width: int, height: int, top: Colour, bottom: Colour) -> Image.Image:
    column = Image.new("RGB", (1, 2))
    column.putdata([top, bottom])
    column = column.resize((1, height), Image.Resampling.BICUBIC)
    return column.resize((width, height), Image.Resampling.NEAREST)


def _turned(colour: Colour, turn: float) -> Colour:
    hue, lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in colour))
    red, green, blue = colorsys.hls_to_rgb((hue + turn) % 1, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (
        round(a + (b - a) * share) for a, b in zip(first, second, strict=True)
    )
    return red, green, blue
