"""A JSON object that cannot change, though it is a mapping like any other."""

import copy
import pickle

import pytest

from zai_images._api.frozen_json import NOTHING, FrozenJSON


def test_it_reads_like_the_mapping_it_was_made_of():
    frozen = FrozenJSON({"style": "ink", "seed": 7})

    assert dict(frozen) == {"seed": 7, "style": "ink"}
    assert [*frozen] == ["seed", "style"]  # in the order of the keys
    assert (len(frozen), frozen.get("none"), "seed" in frozen) == (2, None, True)
    assert repr(frozen) == "{'seed': 7, 'style': 'ink'}"
    with pytest.raises(KeyError):
        _ = frozen["none"]


def test_what_it_was_made_of_may_change_afterwards():
    inner = [1, 2]
    frozen = FrozenJSON({"seeds": inner})
    inner.append(3)

    assert frozen["seeds"] == [1, 2]


def test_the_values_it_hands_out_are_the_readers_own():
    frozen = FrozenJSON({"seeds": [1, {"two": 2}]})
    frozen["seeds"][1]["two"] = 3
    frozen["seeds"].clear()

    assert frozen["seeds"] == [1, {"two": 2}]


def test_equal_objects_are_equal_keys_whatever_the_order():
    one, other = FrozenJSON({"a": 1, "b": 2}), FrozenJSON({"b": 2, "a": 1})

    assert one == other == {"b": 2, "a": 1}
    assert hash(one) == hash(other)
    assert one.text == other.text == '{"a": 1, "b": 2}'
    assert one != FrozenJSON({"a": 1})
    assert one != "a"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, FrozenJSON])
def test_a_copy_is_equal(copied):
    frozen = FrozenJSON({"prompt": "\N{FOX FACE}", "deep": {"er": [None, True, 1.5]}})

    assert copied(frozen) == frozen
    assert pickle.loads(pickle.dumps(frozen)) == frozen


def test_an_empty_one_is_false_like_an_empty_dict():
    assert not NOTHING
    assert not FrozenJSON()
    assert FrozenJSON({}) == NOTHING == {}
    assert FrozenJSON({"a": None})


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({7: "a number as its key"}, TypeError),
        ({"a": {1, 2}}, TypeError),
        ({"a": b"bytes"}, TypeError),
        ({"a": float("nan")}, ValueError),
        ({"a": [float("inf")]}, ValueError),
    ],
)
def test_what_is_no_json_is_refused(value, error):
    with pytest.raises(error):
        FrozenJSON(value)


@pytest.mark.parametrize("levels", [101, 500, 100_000])
def test_one_too_deep_to_be_read_everywhere_is_refused_and_a_circle_too(levels):
    def nested(depth):
        value = []
        for _ in range(depth - 2):
            value = [value]
        return {"deep": value}

    assert FrozenJSON(nested(100))
    with pytest.raises(ValueError, match="more than 100 levels"):
        FrozenJSON(nested(levels))
    circle = {}
    circle["itself"] = circle
    with pytest.raises(ValueError, match="Circular"):
        FrozenJSON(circle)
