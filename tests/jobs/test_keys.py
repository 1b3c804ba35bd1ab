"""Which requests are one item, however they are spelt, and which are two."""

import json
from unicodedata import normalize

import pytest
from hypothesis import given, strategies as st

from zai_images import ImageRequest, Size
from zai_images._api.wire import encode
from zai_images.jobs import BadLine, PromptFile, read_requests
from zai_images.jobs._input.intake import Intake
from zai_images.jobs._input.keys import Keys, canonical, id_text


def key(prompt="a fox", **fields):
    request = ImageRequest(prompt, **fields)
    return Keys().key(request, encode(request))


def extra(text):
    """Make fields that go out as they stand in a JSON text."""
    return {"extra": json.loads(text)}


ONE = {
    "an id as a number and as text": ({"id": 1}, {"id": "1"}),
    "an id below nothing": ({"id": -4}, {"id": "-4"}),
    "an id with blanks around": ({"id": "x 1"}, {"id": " x 1\t"}),
    "an id in another form of Unicode": ({"id": "é"}, {"id": "e\u0301"}),
    "no id and an empty one": ({}, {"id": ""}),
    "no id and a blank one": ({}, {"id": " "}),
    "a whole number as a fraction": (extra('{"g": 1}'), extra('{"g": 1.0}')),
    "a whole number with an exponent": (extra('{"g": 100}'), extra('{"g": 1e2}')),
    "a number beyond 2^53": (extra('{"g": 1' + "0" * 23 + "}"), extra('{"g": 1e23}')),
    "a number of 300 digits": (extra(f'{{"g": {10**300}}}'), extra('{"g": 1e300}')),
    "nothing and nothing below": (extra('{"g": 0}'), extra('{"g": -0.0}')),
    "a fraction with more digits": (extra('{"g": 0.5}'), extra('{"g": 5.0e-1}')),
    "a number in a list in an object": (
        extra('{"g": [{"h": [2]}]}'),
        extra('{"g": [{"h": [2.0]}]}'),
    ),
    "the names of extra in another order": (
        extra('{"a": 1, "b": {"c": 1, "d": 2}}'),
        extra('{"b": {"d": 2, "c": 1}, "a": 1}'),
    ),
    "a name in another form": (
        extra('{"\u00e9": 1, "f": {"\u00e9": 2}}'),
        extra('{"e\u0301": 1, "f": {"e\u0301": 2}}'),
    ),
    "a text of extra": (extra('{"t": ["é"]}'), extra('{"t": [" e\u0301\\n"]}')),
    "a prompt as macOS writes it": (
        {"prompt": "Größe, café, ガ"},
        {"prompt": normalize("NFD", "Größe, café, ガ")},
    ),
    "Hangul in pieces": ({"prompt": "한글"}, {"prompt": normalize("NFD", "한글")}),
    "blanks around the prompt": ({"prompt": "a fox"}, {"prompt": "\u3000a fox \n"}),
    "line ends of Windows": ({"prompt": "a\nb"}, {"prompt": "a\r\nb"}),
    "line ends of an old Mac": ({"prompt": "a\nb"}, {"prompt": "a\rb"}),
    "a model in capitals": ({}, {"model": " cogView-4-250304"}),
    "a quality in capitals": ({"quality": "hd"}, {"quality": "HD"}),
    "the default and its own words": ({}, {"quality": "standard", "size": "1024x1024"}),
    "a size with a multiplication sign": (
        {"size": "768x1344"},
        {"size": " 768 × 1344"},
    ),
    "a size as two numbers": ({"size": Size(768, 1344)}, {"size": (768, 1344)}),
    "a user with blanks around": ({"user_id": "user-1"}, {"user_id": " user-1 "}),
    "an empty size of an unknown model": (
        {"model": "other"},
        {"model": "other", "size": "", "quality": " "},
    ),
}  # fmt: skip

TWO = {
    "another prompt": ({"prompt": "a fox"}, {"prompt": "a Fox"}),
    "blanks inside the prompt": ({"prompt": "a fox"}, {"prompt": "a  fox"}),
    "letters that only look alike": ({"prompt": "ﬁr"}, {"prompt": "fir"}),
    "another id": ({"id": 1}, {"id": "01"}),
    "an id and none": ({"id": "None"}, {}),
    "an id that is null in words": ({"id": "null"}, {}),
    "a number and its text": (extra('{"g": 1}'), extra('{"g": "1"}')),
    "a number and a truth": (extra('{"g": 1}'), extra('{"g": true}')),
    "nothing and a lie": (extra('{"g": 0}'), extra('{"g": false}')),
    "null and absent": (extra('{"g": null}'), extra("{}")),
    "an empty text and absent": (extra('{"g": ""}'), extra("{}")),
    "neighbours beyond 2^53": (
        extra('{"g": 9007199254740992}'),
        extra('{"g": 9007199254740993}'),
    ),
    "a big number and its float": (
        extra('{"g": 9007199254740993}'),
        extra('{"g": 9007199254740992.0}'),
    ),
    "a fraction": (extra('{"g": 1}'), extra('{"g": 1.5}')),
    "a list and its element": (extra('{"g": [1]}'), extra('{"g": 1}')),
    "a list in another order": (extra('{"g": [1, 2]}'), extra('{"g": [2, 1]}')),
    "names that their form tells apart": (
        extra('{"\u00e9": 1, "e\u0301": 2}'),
        extra('{"\u00e9": 2, "e\u0301": 2}'),
    ),
    "names that their form tells apart, and one of them": (
        extra('{"\u00e9": 2, "e\u0301": 2}'),
        extra('{"\u00e9": 2}'),
    ),
    "a name with a blank": (extra('{"g": 1}'), extra('{"g ": 1}')),
    "another user": ({"user_id": "user-1"}, {}),
    "another size": ({"size": "768x1344"}, {}),
    "a size that an unknown model is sent as it is": (
        {"model": "other", "size": "512x512"},
        {"model": "other", "size": "512×512"},
    ),
}


@pytest.mark.tried("two spellings of one request")
@pytest.mark.parametrize("case", ONE)
def test_another_spelling_is_the_same_item(case):
    one, other = ONE[case]

    assert key(**one) == key(**other)


@pytest.mark.tried("two requests that are nearly one")
@pytest.mark.parametrize("case", TWO)
def test_another_request_is_another_item(case):
    one, other = TWO[case]

    assert key(**one) != key(**other)


def test_equal_requests_in_another_spelling_are_separate_pictures():
    intake = Intake()
    first, second = intake.rows([ImageRequest("é"), ImageRequest(" e\u0301")])

    assert first[0] != second[0]
    assert intake.result().duplicates == 1
    assert json.loads(second[2])["prompt"] == " e\u0301"  # it is sent as it was given


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def respelt(value):
    """Write a JSON value in another way that says the same."""
    if isinstance(value, str):
        return f" {normalize('NFD', value)}\n"
    if isinstance(value, list):
        return [respelt(one) for one in value]
    if isinstance(value, dict):
        return {name: respelt(one) for name, one in reversed(value.items())}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value


@given(st.dictionaries(st.text().map("x{}".format), JSON, max_size=3))
def test_any_extra_may_be_spelt_in_another_way(fields):
    assert key(extra=fields) == key(extra=respelt(fields))


@given(st.dictionaries(st.text().map("x{}".format), JSON, max_size=3))
def test_a_canonical_copy_of_a_canonical_copy_is_the_same(fields):
    once = canonical(encode(ImageRequest("a fox", extra=fields)))

    assert canonical(json.dumps(once).encode()) == once


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_what_is_just_not_too_deep_to_be_sent_has_a_key(opening, tmp_path):
    closing = {"[": "]", '{"a":': "}"}[opening]
    path = tmp_path / "p.jsonl"
    depths = range(9, 100, 10)
    path.write_text(
        "".join(
            f'{{"prompt":"a","extra":{{"x":{opening * n}1{closing * n}}}}}\n'
            for n in depths
        )
    )

    rows = list(Intake().rows(read_requests(PromptFile.find(path))))

    assert len({row[0] for row in rows}) == len(depths)


def test_an_id_of_an_enumeration_is_its_value():
    class Word(str):
        __slots__ = ()

        def __str__(self):
            return "Word.X"

    class Number(int):
        __slots__ = ()

        def __str__(self):
            return "Number.X"

    assert (id_text(Word("x")), id_text(Number(5))) == ("x", "5")


def test_a_file_in_another_format_asks_for_the_same_items(tmp_path):
    lines, table = tmp_path / "p.jsonl", tmp_path / "p.csv"
    lines.write_text(
        '{"prompt": "a fox", "id": 1, "extra": {"seed": 7}}\n'
        '{"prompt": "cafe\\u0301", "id": 2}\n"a bear"\n',
    )
    table.write_text(
        'id,extra,prompt\n,,a bear\n1,"{""seed"": 7.0}",a fox\n2,,café\n',
        encoding="utf-8",
    )

    found = [
        [row[0] for row in Intake().rows(read_requests(PromptFile.find(path)))]
        for path in (lines, table)
    ]

    assert sorted(found[0]) == sorted(found[1])


@pytest.mark.parametrize("ids", [("7", "7.0"), ("", ""), (None, "")])
def test_ids_that_are_not_one_may_be_in_one_file(ids, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": "a", "id": one}) + "\n" for one in ids)
    )

    assert not [
        one for one in read_requests(PromptFile.find(path)) if isinstance(one, BadLine)
    ]


@pytest.mark.parametrize("ids", [("7", 7), ("é", "e\u0301"), ("x", " x ")])
def test_ids_that_are_one_may_not(ids, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": "a", "id": one}) + "\n" for one in ids)
    )

    _, bad = read_requests(PromptFile.find(path))

    assert isinstance(bad, BadLine)
    assert "is that of line 1 already" in bad.message
