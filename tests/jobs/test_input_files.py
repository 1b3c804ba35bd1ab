"""Reading prompt files: every format, every kind of bad line."""

import json
from pathlib import Path

import pytest

from zai_images import ImageRequest, InvalidRequestError
from zai_images.jobs import BadLine, PromptFile, check_requests, read_requests


@pytest.fixture
def read(tmp_path):
    def read(content, name="prompts.txt", **defaults):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_requests(PromptFile.find(path, defaults=defaults)))

    return read


def prompts(found):
    return [one.prompt for one in found]


def the_fault(found):
    (bad,) = [one for one in found if isinstance(one, BadLine)]
    return bad.line, bad.message


def test_a_text_file_has_one_prompt_a_line_and_blank_lines_do_not_count(read):
    found = read("a fox\r\n\n  \n a harbour, at dawn \nthe last, without an end")
    assert prompts(found) == ["a fox", "a harbour, at dawn", "the last, without an end"]


def test_a_byte_order_mark_is_no_part_of_the_first_prompt(read):
    assert prompts(read(b"\xef\xbb\xbfa fox\n")) == ["a fox"]


def test_half_a_byte_order_mark_is_no_text_and_is_not_passed_over(read):
    assert "byte 0xEF" in the_fault(read(b"\xef\xbb"))[1]


def test_a_line_separator_of_unicode_does_not_end_a_prompt(read):
    assert prompts(read("one\u2028prompt\n")) == ["one\u2028prompt"]


def test_a_quote_in_a_text_file_is_a_letter(read):
    assert prompts(read('"so", it says\n')) == ['"so", it says']


@pytest.mark.parametrize(
    ("line", "words"),
    [(b"caf\xe9", "byte 0xE9 at character 4"), (b"a\0b", "NUL")],
)
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.tsv"])
def test_what_is_no_text_is_named_by_its_line(read, name, line, words):
    found = read(b"prompt\n" * name.endswith("sv") + b"\n" + line + b"\n", name)
    number, message = the_fault(found)
    assert number == (3 if name.endswith("sv") else 2)
    assert words in message


def test_a_line_without_end_is_not_read_into_memory(read):
    found = read(b"a fox\n" + b"x" * (2**21 + 5) + b"\na bear\n")
    assert "longer than" in the_fault(found)[1]
    assert [found[0].prompt, found[2].prompt] == ["a fox", "a bear"]


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a"])
def test_utf_16_is_refused_in_one_sentence(read, name):
    with pytest.raises(InvalidRequestError, match="UTF-16; save it as UTF-8"):
        read("prompt\na fox\n".encode("utf-16"), name)


def test_json_lines_carry_every_field_of_a_request(read):
    line = {
        "prompt": "a fox",
        "model": "cogview-4-250304",
        "quality": "hd",
        "size": "720x1440",
        "user_id": "user-7",
        "extra": {"watermark": False},
        "id": 12,
    }
    (found,) = read(json.dumps(line), "a.jsonl")
    assert found == ImageRequest(**line)
    assert found.id == 12


def test_a_json_string_is_a_prompt_and_a_null_is_not_set(read):
    found = read('"a fox"\n\n{"prompt": "a bear", "size": null}\n', "a.ndjson")
    assert found == [ImageRequest("a fox"), ImageRequest("a bear")]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{prompt: 1}", "is not JSON"),
        ("[1, 2]", "is a JSON list"),
        ("7", "is a JSON int"),
        ('{"prompt": "a", "colour": "red"}', "unknown field 'colour'"),
        ('{"promt": "a"}', "unknown field 'promt'"),
        ('{"size": "512x512"}', "prompt: is missing"),
        ('{"prompt": null}', "prompt: must be a string"),
        ('{"prompt": " "}', "prompt: is empty"),
        ('{"prompt": "a\\u0000b"}', "NUL"),
        ('{"prompt": "a\\ud800"}', "surrogate"),
        ('{"prompt": "a", "size": "500x500"}', "nearest legal size"),
        ('{"prompt": "a", "quality": "best"}', "quality"),
        ('{"prompt": "a", "user_id": "me"}', "user_id"),
        ('{"prompt": "a", "id": 1.5}', "id: must be"),
        ('{"prompt": "a", "extra": {"size": "x"}}', "extra"),
        ("9" * 5000, "absurd size"),
        ("[" * 100_000, "absurd size"),
    ],
)
def test_a_bad_json_line_says_what_is_wrong(read, line, words):
    found = read('"a fox"\n\n' + line + "\n", "a.jsonl")
    number, message = the_fault(found)
    assert number == 3
    assert words in message


def test_an_id_given_twice_names_both_lines(read):
    found = read(
        '{"prompt":"a","id":"7"}\n{"prompt":"b","id":"8"}\n{"prompt":"c","id":7}\n',
        "a.jsonl",
    )
    assert the_fault(found) == (3, "id: 7 is that of line 1 already")


def test_a_csv_is_read_by_its_rules(read):
    found = read(
        'Size,PROMPT ,note,id\n512x512,"a ""fox"", red\nand old",x,1\n,,,\n'
        ",a bear,,2\n512x512,a cat\n",
        "a.csv",
    )
    assert found == [
        ImageRequest('a "fox", red\nand old', size="512x512", id="1"),
        ImageRequest("a bear", id="2"),
        ImageRequest("a cat", size="512x512"),
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a fox, red, old", "must be quoted"),
        ('"a fox" red,x', "not a row of CSV"),
        ('"a fox', "not a row of CSV"),
        (",hd", "prompt: is empty"),
        ("a fox,best", "quality"),
    ],
)
def test_a_bad_row_of_csv_is_named_where_it_begins(read, row, words):
    number, message = the_fault(read(f'prompt,quality\n"x\ny",\n{row}\n', "a.csv"))
    assert number == 4
    assert words in message


def test_quotes_in_plain_tsv_are_letters_and_those_of_a_spreadsheet_are_not(read):
    found = read(
        'prompt\tid\n"G I G G L E" in red\t1\n"a ""fox"", red"\t2\nsize 5" wide\t3\n',
        "a.tsv",
    )
    assert prompts(found) == ['"G I G G L E" in red', 'a "fox", red', 'size 5" wide']


def test_a_cell_of_tsv_that_breaks_off_is_not_paid_for(read):
    assert "opens a quote" in the_fault(read('prompt\n"half\na fox\n', "a.tsv"))[1]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("text,size", "no column is called 'prompt'; the first row has 'text', 'size'"),
        ("prompt,Prompt", "two columns are called 'prompt'"),
        ('"x"y', "line 1: is not a row"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused_as_a_whole(read, header, words):
    with pytest.raises(InvalidRequestError, match=words):
        read(f"{header}\na,b\n", "a.csv")


def test_defaults_hold_for_the_lines_that_do_not_set_them(read):
    found = read('{"prompt":"a","size":"512x512"}\n"b"\n', "a.jsonl", size="720x1440")
    assert [str(one.size) for one in found] == ["512x512", "720x1440"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [("\n {}", "jsonl"), ("a {", "txt"), ("", "txt"), (b"\0", "txt")],
)
def test_a_file_without_a_suffix_is_told_by_its_first_line(tmp_path, content, kind):
    path = tmp_path / "prompts"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert PromptFile.find(path).format == kind


def test_an_unknown_suffix_is_refused_with_those_that_are_known(tmp_path):
    with pytest.raises(InvalidRequestError, match=r"'.xlsx' .* known are .txt, .jsonl"):
        PromptFile.find(tmp_path / "a.xlsx")


def test_a_check_counts_everything_and_keeps_the_first_faults(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("prompt,Colour,\n" + "a fox,red\n" * 3 + ",red\n" * 70)
    found = check_requests(PromptFile.find(path))
    assert (found.requests, found.bad_lines, len(found.bad)) == (3, 70, 50)
    assert found.ignored == ("colour",)
    assert found.bad[0].line == 5


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.tsv"])
def test_an_empty_file_holds_nothing(tmp_path, name):
    path = Path(tmp_path / name)
    path.write_text("\n")
    found = check_requests(PromptFile.find(path))
    assert (found.requests, found.bad_lines) == (0, 0)


def test_an_export_without_its_keys_is_refused_before_it_is_paid_for_again(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("number,state,prompt,sha256\n1,saved,'=1,ab\n")

    with pytest.raises(InvalidRequestError, match=r"'key' is gone.*paid for.*back"):
        list(read_requests(PromptFile.find(path)))
