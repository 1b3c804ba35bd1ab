"""The names of files: made from templates and prompts, and always safe."""

import pytest
from hypothesis import given, strategies as st

from zai_images import (
    ImageRequest,
    InvalidRequestError,
)
from zai_images.jobs._names import NameTemplate, slug

NAME = "{index:06d}-{slug}-{key8}"


KEY = "0123456789abcdef0123456789abcdef"


def name(template, prompt="a fox", caller_id=None, number=7):
    return NameTemplate(template).name(number, KEY, caller_id, ImageRequest(prompt))


@pytest.mark.parametrize(
    ("template", "made"),
    [
        (NAME, "000007-a-fox-01234567"),
        ("{index}", "7"),
        ("{key}", KEY),
        (
            "{model}_{quality}_{size}_{index:3d}",
            "cogview-4-250304_standard_1024x1024_  7",
        ),
        ("{id}", "order-12"),
        ("con-{index}", "con-7"),
        ("{{x}}{index}", "{x}7"),
        ("com{index}", "picture-com7-01234567"),
    ],
)
def test_a_template_makes_names(template, made):
    assert name(template, caller_id="order/12") == made


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("../{index}", "cannot stand in a name"),
        ("a/{index}", "cannot stand in a name"),
        ("a\\{index}", "cannot stand in a name"),
        ("{index}\0", "cannot stand in a name"),
        ("{index}:x", "cannot stand in a name"),
        (".{index}", "hidden"),
        ("{prompt}", "is not one of"),
        ("{index.__class__}", "is not one of"),
        ("{slug[0]}", "is not one of"),
        ("{slug!r}", "is not one of"),
        ("{}", "is not one of"),
        ("{0}", "is not one of"),
        ("{slug:>9999999}", "is not understood"),
        ("{index:999999d}", "is not understood"),
        ("{index:{key}}", "is not understood"),
        ("{index", "expected '}'"),
        ("picture", "alike"),
        ("", "alike"),
    ],
)
def test_a_template_that_could_lead_outside_or_names_all_alike_is_refused(
    template, why
):
    with pytest.raises(InvalidRequestError, match="name: ") as caught:
        NameTemplate(template)

    assert why in str(caught.value)


def test_a_name_is_cut_where_a_file_system_would_refuse_it():
    made = name("{id}-{slug}", prompt="雪" * 50, caller_id="狐" * 100)

    assert made == "狐" * 60
    assert len(made.encode()) == 180


@given(st.text(min_size=1).filter(str.strip), st.text() | st.integers() | st.none())
def test_no_prompt_and_no_id_makes_a_name_that_is_not_safe(prompt, caller_id):
    try:
        request = ImageRequest(prompt)
    except InvalidRequestError:
        return
    for template in (NAME, "{id}", "{slug}"):
        made = NameTemplate(template).name(7, KEY, caller_id, request)

        assert made
        assert not set(made) & set('/\\\0:*?"<>|')
        assert not made.startswith(".")
        assert len(made.encode()) <= 220
        assert made.split(".")[0].lower() not in {"con", "nul", "aux", "prn", "com1"}


@pytest.mark.parametrize("prompt", ["con", "NUL", "com1", "...", "/", "\u202e", "😀"])
def test_a_slug_is_never_a_device_or_nothing(prompt):
    assert slug(prompt).startswith("picture")
