"""A request is checked where it is made, by the rules of the API page."""

import json
import pickle
from types import MappingProxyType

import attrs
import pytest

from zai_images import ImageRequest, InvalidRequestError, Quality, Size
from zai_images._api.frozen_json import FrozenJSON
from zai_images._api.request import as_request, change
from zai_images._api.wire import decode, encode


def test_the_example_of_the_api_page_is_a_request():
    request = ImageRequest(
        prompt="A cute little kitten sitting on a sunny windowsill, with the "
        "background of blue sky and white clouds.",
        model="cogView-4-250304",
        size="1024x1024",
    )

    assert request.model == "cogview-4-250304"
    assert request.size == Size(1024, 1024)


@pytest.mark.tried("several pictures in one request")
@pytest.mark.parametrize(
    "n", [2, 0, -1, 10**9, "2", "1", "", 2.0, 1.0, True, False, None, [1], {"n": 1}]
)
@pytest.mark.parametrize(
    "made",
    [
        lambda extra: ImageRequest("a fox", extra=extra),
        lambda extra: ImageRequest("a fox", model="of-tomorrow", extra=extra),
        lambda extra: ImageRequest("a fox", extra=FrozenJSON(extra)),
        lambda extra: ImageRequest("a fox", extra=MappingProxyType(extra)),
        lambda extra: attrs.evolve(ImageRequest("a fox"), extra=extra),
        lambda extra: change("a fox", extra=extra),
        lambda extra: change(ImageRequest("a fox"), extra=extra),
        lambda extra: as_request({"prompt": "a fox", "extra": extra}),
        lambda extra: decode(json.dumps({"prompt": "a fox"} | extra), "7"),
    ],
    ids=[
        "request",
        "model",
        "frozen",
        "proxy",
        "evolve",
        "prompt",
        "change",
        "mapping",
        "journal",
    ],
)
def test_several_pictures_are_asked_for_by_repeat_and_not_by_n(n, made):
    with pytest.raises(InvalidRequestError, match="ask with repeat") as caught:
        made({"seed": 1, "n": n})

    assert caught.value.field == "extra"


def test_one_picture_may_be_asked_for_in_so_many_words():
    request = ImageRequest("a fox", extra={"n": 1})

    assert json.loads(encode(request))["n"] == 1


def test_n_is_no_field_of_a_mapping_either():
    for n in (1, 2):
        with pytest.raises(InvalidRequestError, match="unknown field 'n'"):
            as_request({"prompt": "a fox", "n": n})


@pytest.mark.parametrize(
    "written", ["1024x768", "1024×768", "1024X768", " 1024 * 768 ", (1024, 768)]
)
def test_sizes_are_read_as_people_write_them(written):
    assert ImageRequest("a fox", size=written).size == Size(1024, 768)


@pytest.mark.parametrize(
    "size",
    ["", "big", "1024", "1024x", "-1x5", "1024x1024x3", 7, (1, 2, 3), 1.5]
    + [("a", "b"), (1024.0, 1024), (True, 1024), (0, 16), object()],
)
def test_what_is_no_size_at_all_is_refused(size):
    with pytest.raises(InvalidRequestError, match="size"):
        ImageRequest("a fox", size=size)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n\t"}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "half \ud83d"}, "prompt"),
        ({"quality": "ultra"}, "quality"),
        ({"quality": 1}, "quality"),
        ({"user_id": "12345"}, "user_id"),
        ({"user_id": "x" * 129}, "user_id"),
        ({"user_id": 123456}, "user_id"),
        ({"model": ""}, "model"),
        ({"model": 4}, "model"),
        ({"extra": {"prompt": "other"}}, "extra"),
        ({"extra": {1: 2}}, "extra"),
        ({"extra": {"x": object()}}, "extra"),
        ({"extra": {"x": float("nan")}}, "extra"),
        ({"extra": {"x": "\ud83d"}}, "extra"),
        ({"extra": [1]}, "extra"),
        ({"id": 1.5}, "id"),
        ({"id": True}, "id"),
    ],
)
def test_a_bad_value_is_refused_and_its_field_named(fields, field):
    with pytest.raises(InvalidRequestError, match=f"^{field}: ") as caught:
        ImageRequest(**({"prompt": "a fox"} | fields))

    assert caught.value.field == field
    assert caught.value.billed == "no"


@pytest.mark.parametrize("user_id", ["123456", "x" * 128])
def test_user_ids_of_6_to_128_characters_are_taken(user_id):
    assert ImageRequest("a fox", user_id=user_id).user_id == user_id


def test_requests_can_be_keys_of_a_dictionary():
    deep = {"a": [1, {"b": None}]}
    first = ImageRequest("a fox", extra=deep)
    deep["a"].append(2)

    assert first == ImageRequest("a fox", extra={"a": [1, {"b": None}]})
    assert {first: 1}[ImageRequest("a fox", extra={"a": [1, {"b": None}]})] == 1
    assert first.extra["a"] == [1, {"b": None}]
    assert first.extra == {"a": [1, {"b": None}]}
    assert first.extra != 3
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        first.prompt = "a cat"


def test_undocumented_fields_are_a_mapping_like_any_other():
    extra = ImageRequest("a fox", extra={"seed": 1, "style": {"ink": True}}).extra

    assert (len(extra), extra["seed"], [*extra]) == (2, 1, ["seed", "style"])
    assert not ImageRequest("a fox").extra


def test_requests_survive_pickling():
    request = ImageRequest("a fox", extra={"seed": [7]}, id="row-1", quality="hd")

    copy = pickle.loads(pickle.dumps(request))

    assert copy == request
    assert change(copy, model="glm-image").size == Size(1280, 1280)


def test_changing_the_model_moves_what_was_left_out_to_the_new_defaults():
    assert change(ImageRequest("a fox"), model="glm-image").size == Size(1280, 1280)
    chosen = ImageRequest("a fox", size="1024x1024", quality="hd")
    assert change(chosen, model="glm-image").size == Size(1024, 1024)
    assert change(chosen, size=None) is chosen
    assert change(chosen, size="512x512").quality is Quality.HD


def test_a_batch_item_may_be_a_prompt_a_mapping_or_a_request():
    request = ImageRequest("a fox", id=3)

    assert as_request("a fox") == ImageRequest("a fox")
    assert as_request(request) is request
    assert as_request({"prompt": "a fox", "id": 3}) == request
    for item, match in [
        ({"prompt": "a fox", "seed": 1}, "unknown field 'seed'"),
        ({"size": "512x512"}, "prompt: is missing"),
        (7, "got int"),
        (None, "got NoneType"),
    ]:
        with pytest.raises(InvalidRequestError, match=match):
            as_request(item)
