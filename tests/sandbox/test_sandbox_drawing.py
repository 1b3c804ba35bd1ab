"""The sandbox's PNG makers, plain and drawn, for any prompt there is."""

import io
import sys
import time

import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageFont

from zai_images.sandbox._drawing import text as _lettering
from zai_images.sandbox._drawing.pictures import MARK, drawn, plain

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


def forget_fonts():
    for known in ("face_for", "has", "sized", "_installed", "_own"):
        getattr(_lettering, known).cache_clear()


@pytest.fixture
def fonts_anew():
    """Look for the fonts again, and once more after the test."""
    forget_fonts()
    yield
    forget_fonts()


@pytest.fixture
def no_fonts(fonts_anew, monkeypatch):
    """Take every system font away, so that only Pillow's own is left."""
    monkeypatch.setenv("XDG_DATA_HOME", "/nowhere")
    monkeypatch.setenv("XDG_DATA_DIRS", "/nowhere")
    assert _lettering.face_for("a") is _lettering._own()


def written(text, width=400, height=300, sizes=(17, 60)):
    """Lay a text out and read its lines again."""
    found = _lettering.fit(text, width, height, sizes=sizes)
    return ["".join(piece for _, piece in line).strip() for line in found.lines]


@pytest.mark.parametrize("prompt", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("size", [(512, 512), (512, 2048)])
def test_any_prompt_can_be_drawn(prompt, size):
    image = decoded(drawn(prompt, *size))
    assert (image.size, image.mode) == (size, "RGB")
    assert image.info["Comment"] == MARK


@pytest.mark.parametrize("prompt", ODD.values(), ids=ODD.keys())
def test_any_prompt_can_be_drawn_without_system_fonts(no_fonts, prompt):
    assert decoded(drawn(prompt, 512, 512)).size == (512, 512)


@pytest.mark.parametrize("prompt", ODD.values(), ids=ODD.keys())
def test_any_prompt_can_be_drawn_without_shaping(fonts_anew, monkeypatch, prompt):
    monkeypatch.setattr(ImageFont.core, "HAVE_RAQM", False)
    assert _lettering.face_for("a").layout_engine == ImageFont.Layout.BASIC
    assert decoded(drawn(prompt, 512, 512)).size == (512, 512)


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_any_text_at_all_can_be_drawn(prompt):
    assert decoded(drawn(prompt, 512, 512)).size == (512, 512)


@pytest.mark.parametrize("make", [drawn, plain])
def test_a_picture_follows_from_its_prompt_alone(make):
    assert make("a", 512, 512) == make("a", 512, 512)
    assert make("a", 512, 512) != make("b", 512, 512)


def test_the_strip_with_the_mark_is_at_the_bottom():
    image = decoded(drawn("a fox", 1024, 768))
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
    assert drawn("a fox", 512, 512) == plain("a fox", 512, 512)


def test_a_pillow_without_fonts_makes_plain_pictures(no_fonts, monkeypatch):
    _lettering._own.cache_clear()
    monkeypatch.setattr(ImageFont, "load_default", lambda _: ImageFont.ImageFont())
    assert drawn("a fox", 512, 512) == plain("a fox", 512, 512)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("一只可爱的小猫，背景是蓝天。", "CJK"),
        ("रेशमी लोमड़ी", "Devanagari"),
        ("สุนัขจิ้งจอก", "Thai"),
        ("قطة صغيرة", "Arabic"),
        ("キツネ", "Katakana"),
        ("🦊 🦊", "symbols"),
        ("\U000f0001", "symbols"),
        ("\u0945", "symbols"),
    ],
)
def test_a_text_without_a_font_says_so_in_words(no_fonts, text, script):
    assert written(text, width=900) == [f"No font here for {script}"]


def test_what_has_a_font_is_kept_beside_what_has_none(no_fonts):
    prompt = "a fox 🦊🦊 🦊 by 猫, 2026"
    assert written(prompt, width=900) == [
        "No font here for CJK, symbols",
        "a fox … by …, 2026",
    ]


@pytest.mark.parametrize("text", ["a fox", "рыжая лиса", "η αλεπού", "قطة 2026."])
def test_a_text_with_a_font_is_written_as_it_is(text):
    if not all(_lettering.has(_lettering.face_for(one), one) for one in text):
        pytest.skip("no font of this machine has it")
    assert written(text, width=900) == [text]


@pytest.fixture
def two_fonts(monkeypatch):
    """Let capitals have another font than everything else."""
    own = _lettering._own()
    other = own.font_variant()
    monkeypatch.setattr(_lettering, "has", lambda *_: True)
    monkeypatch.setattr(
        _lettering, "face_for", lambda letter: other if letter.isupper() else own
    )


def test_each_letter_takes_its_font_and_what_is_no_letter_the_one_before(two_fonts):
    [line] = _lettering.fit("a FOX, 2 y", 900, 300, sizes=(17, 60)).lines
    assert [text for _, text in line] == ["a ", "FOX, 2 ", "y"]


def test_a_word_of_another_font_keeps_its_blanks_from_right_to_left_too(two_fonts):
    text = _lettering.fit("قطة OK قطة", 900, 300, sizes=(17, 60))
    written = []

    class Canvas:
        def text(self, place, text, colour, face, anchor):
            left = place[0]
            written.append((left, left + face.getlength(text), text))

    text.draw(Canvas(), 0, 0)
    (left, last, _), (begin, end, word), (first, right, _) = written
    assert (word, text.right_to_left) == ("OK", True)
    assert right == pytest.approx(text.width, abs=1)
    assert left == pytest.approx(0, abs=1)
    blank = _lettering.sized(_lettering._own(), text.size).getlength(" ")
    assert min(begin - last, first - end) > blank / 2


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
    # Shaped words may be a little wider than the sum of their letters.
    assert text.width <= 400 * 1.05


def test_a_text_that_does_not_fit_is_cut_with_an_ellipsis():
    assert written("word " * 5000)[-1].endswith("…")
    assert written("word") == ["word"]


def test_a_long_word_breaks_between_letters_but_not_before_a_mark():
    lines = written("e\u0323\u0301" * 300)
    assert len(lines) > 1
    assert not [line for line in lines if line[0] in "\u0323\u0301"]


def test_line_ends_stay_and_empty_lines_do_not():
    assert written(ODD["newlines"]) == ["one", "two", "three", "four"]
    assert written(ODD["control characters"]) == ["a b c"]
    assert written(ODD["nothing to see"]) == []


def test_arabic_runs_from_right_to_left():
    assert _lettering.fit(ODD["arabic"], 400, 300, sizes=(17, 60)).right_to_left
    assert not _lettering.fit("a قطة", 400, 300, sizes=(17, 60)).right_to_left
    assert not _lettering.fit("123", 400, 300, sizes=(17, 60)).right_to_left


def test_chinese_breaks_anywhere_but_before_a_full_stop(monkeypatch):
    monkeypatch.setattr(_lettering, "has", lambda *_: True)
    width = _lettering.sized(_lettering.face_for("猫"), 17).getlength("猫" * 9) + 1
    lines = written("猫" * 9 + "。", width, sizes=(17, 17))
    assert len(lines) == 2
    assert all(line.startswith("猫") for line in lines)
