"""The sandbox's PNG makers, plain and drawn, for any prompt there is."""

import io
import sys
import time

import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image
from PIL.ImageFont import Layout

from zai_images.sandbox._drawing import fonts as _fonts, text as _lettering
from zai_images.sandbox._drawing.pictures import MARK, picture, plain

ODD = {
    "chinese": "一只可爱的小猫坐在阳光明媚的窗台上，背景是蓝天和白云。",
    "arabic": "قطة صغيرة لطيفة 2026.",
    "arabic and chinese": "قطة 猫 صغيرة 🦊 ok",
    "emoji": "a fox 🦊 in the snow ❄️ 😀👨‍👩‍👧 🇫🇷",
    "marks": "e\u0301\u0323 नमस्ते Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞",
    "a mark alone": "\u0301",
    "nothing to see": "\u200b\u2060",
    "control characters": "a\x00b\tc\x7f",
    "newlines": "one\n\n\ntwo\r\nthree\u2028four",
    "unassigned": "\u0378\U000e0fff\U0010ffff\ue000",
    "one long word": "x" * 3000,
    "ten thousand": "lorem ipsum dolor " * 600,
    "ten thousand emoji": "🦊" * 10_000,
}


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image


@pytest.fixture
def no_fonts(monkeypatch):
    """Take every system font away, so that only Pillow's own is left."""
    monkeypatch.setattr(_fonts, "installed", lambda: ("",))
    monkeypatch.setattr(_lettering, "installed", lambda: ("",))


@pytest.mark.parametrize("prompt", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("size", [(512, 512), (512, 2048)])
def test_any_prompt_can_be_drawn(prompt, size):
    image = decoded(picture(prompt, *size, drawn=True))
    assert (image.size, image.mode) == (size, "RGB")
    assert image.info["Comment"] == MARK


@pytest.mark.parametrize("prompt", ODD.values(), ids=ODD.keys())
def test_any_prompt_can_be_drawn_without_system_fonts(no_fonts, prompt):
    assert decoded(picture(prompt, 512, 512, drawn=True)).size == (512, 512)


@pytest.mark.parametrize("prompt", ODD.values(), ids=ODD.keys())
def test_any_prompt_can_be_drawn_without_shaping(monkeypatch, prompt):
    def load_unshaped(font, size):
        return _fonts.load(font, size).font_variant(layout_engine=Layout.BASIC)

    monkeypatch.setattr(_lettering, "load", load_unshaped)
    assert decoded(picture(prompt, 512, 512, drawn=True)).size == (512, 512)


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_any_text_at_all_can_be_drawn(prompt):
    assert decoded(picture(prompt, 512, 512, drawn=True)).size == (512, 512)


@pytest.mark.parametrize("drawn", [True, False])
def test_a_picture_follows_from_its_prompt_alone(drawn):
    assert picture("a", 512, 512, drawn=drawn) == picture("a", 512, 512, drawn=drawn)
    assert picture("a", 512, 512, drawn=drawn) != picture("b", 512, 512, drawn=drawn)


def test_the_strip_with_the_mark_is_at_the_bottom():
    image = decoded(picture("a fox", 1024, 768, drawn=True))
    strip = image.crop((0, 768 - 26, 1024, 768))
    grey = strip.convert("L").tobytes()
    dark = sum(value < 40 for value in grey)
    assert 0.7 < dark / (1024 * 26) < 1


def test_a_plain_picture_is_small_marked_and_of_one_colour():
    data = plain("a fox", 1440, 720)
    image = decoded(data)
    assert (image.size, len(data) < 1000) == ((1440, 720), True)
    assert image.info["Comment"] == MARK
    assert len(image.convert("RGB").getcolors()) == 1


def test_a_plain_picture_takes_less_than_ten_milliseconds():
    plain("warm up the cache of the size", 1024, 1024)
    start = time.perf_counter()
    for number in range(20):
        plain(f"fox {number}", 1024, 1024)
    assert (time.perf_counter() - start) / 20 < 0.01


def test_without_pillow_a_picture_is_plain(monkeypatch):
    monkeypatch.setitem(sys.modules, "zai_images.sandbox._drawing.landscape", None)
    assert picture("a fox", 512, 512, drawn=True) == plain("a fox", 512, 512)


def test_a_character_without_a_font_keeps_its_number():
    private = "\U000f0001"
    assert _fonts.font_for(private) is None
    text = _lettering.fit(private, 400, 400, sizes=(16, 60))
    [[box]] = text.lines
    assert (box.text, box.font) == (private, None)


def test_a_short_text_is_large_and_a_long_one_small():
    sizes = [
        _lettering.fit("a fox " * times, 900, 600, sizes=(17, 93)).size
        for times in (1, 30, 60, 200, 2000)
    ]
    assert sizes[0] == 93
    assert sizes[-1] == 17
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("prompt", ODD.values(), ids=ODD.keys())
def test_a_text_stays_in_its_box(prompt):
    text = _lettering.fit(prompt, 400, 300, sizes=(17, 60))
    assert text.height <= 300
    if text.lines:
        # Shaped words may be a little wider than the sum of their letters.
        assert text.width() <= 400 * 1.05


def test_a_text_that_does_not_fit_is_cut_with_an_ellipsis():
    text = _lettering.fit("word " * 5000, 400, 300, sizes=(17, 60))
    assert "".join(letter.text for letter in text.lines[-1]).endswith("…")
    whole = _lettering.fit("word", 400, 300, sizes=(17, 60))
    assert "…" not in {letter.text for line in whole.lines for letter in line}


def test_arabic_runs_from_right_to_left():
    assert _lettering.fit(ODD["arabic"], 400, 300, sizes=(17, 60)).right_to_left
    assert not _lettering.fit("a قطة", 400, 300, sizes=(17, 60)).right_to_left
    assert not _lettering.fit("123", 400, 300, sizes=(17, 60)).right_to_left


def test_chinese_breaks_anywhere_but_before_a_full_stop():
    text = _lettering.fit("猫" * 9 + "。", 160, 300, sizes=(17, 17))
    starts = [line[0].text for line in text.lines]
    assert len(starts) == 2
    assert "。" not in starts
