"""The table of models: defaults, legal sizes, and models that are not in it."""

import pytest

from zai_images import ImageRequest, InvalidRequestError, Quality, Size
from zai_images._api.models import MODELS


def test_quality_and_size_left_out_become_the_documented_defaults():
    request = ImageRequest("a fox")

    assert request.model == "cogview-4-250304"
    assert request.quality is Quality.STANDARD
    assert request.size == Size.SQUARE
    assert request.user_id is None


@pytest.mark.parametrize(
    "size",
    ["1024x1024", "768x1344", "864x1152", "1344x768", "1152x864", "1440x720"]
    + ["720x1440", "512x512", "2048x1024", "1440x1440", "528x2048"],
)
def test_recommended_and_custom_sizes_are_taken(size):
    assert str(ImageRequest("a fox", size=size).size) == size


@pytest.mark.parametrize(
    ("size", "nearest", "why"),
    [
        ("1000x1000", "992x992", "not divisible by 16"),
        ("500x512", "512x512", "outside 512-2048"),
        ("1456x1456", "1440x1456", "more than 2097152"),
        ("4096x512", "2048x512", "outside 512-2048"),
        ("1x1", "512x512", "outside"),
    ],
)
def test_a_size_that_cannot_be_made_is_refused_with_the_nearest_one(size, nearest, why):
    with pytest.raises(InvalidRequestError, match=why) as caught:
        ImageRequest("a fox", size=size)

    assert f"nearest legal size is {nearest}" in str(caught.value)
    assert "divisible by 16, at most 2097152 pixels" in str(caught.value)
    assert caught.value.field == "size"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("model", MODELS)
def test_the_nearest_size_named_is_itself_legal(model):
    rules = MODELS[model]
    for width in range(1, 2400, 173):
        for height in range(1, 2400, 211):
            nearest = rules.nearest(Size(width, height))
            assert rules.check_size(nearest) == nearest


def test_glm_image_is_a_second_row_of_the_table():
    request = ImageRequest("a fox", model="GLM-Image")

    assert (request.model, request.quality) == ("glm-image", Quality.HD)
    assert request.size == Size(1280, 1280)
    # Two of its own recommended sizes break its range.
    assert ImageRequest("a fox", model="glm-image", size="1728x960")
    with pytest.raises(InvalidRequestError, match="divisible by 32"):
        ImageRequest("a fox", model="glm-image", size="1040x1040")
    with pytest.raises(InvalidRequestError, match="'hd'"):
        ImageRequest("a fox", model="glm-image", quality="standard")


def test_an_unknown_model_goes_through_unchecked():
    request = ImageRequest("a fox", model="CogView-9", quality="ultra", size="auto")

    assert (request.model, request.quality, request.size) == (
        "cogview-9", "ultra", "auto"
    )  # fmt: skip
    assert ImageRequest("a fox", model="cogview-9").size is None
    assert ImageRequest("a fox", model="cogview-9", size=(8, 8)).size == Size(8, 8)
    with pytest.raises(InvalidRequestError, match="quality"):
        ImageRequest("a fox", model="cogview-9", quality=3)


def test_the_seven_recommended_sizes_have_names():
    named = {value for value in vars(Size).values() if isinstance(value, Size)}

    assert named == set(MODELS["cogview-4-250304"].recommended)
    assert Size(1024, 1024).pixels == 2**20
