"""
Prompt files with one fault each: the fault, the file around it, and what is said.

A fault is a line that must not be sent. It is put into files of several layouts, for
a line that is found in the middle of a file may be missed at its end, behind a byte
order mark, or between ends of lines as Windows writes them.
"""

import itertools
import json

import attrs


@attrs.frozen(kw_only=True)
class BadFile:
    """
    Hold a file that has one bad line.

    Attributes:
        case: The fault and the layout; no other case has both.
        name: What the file is called.
        content: Its bytes.
        line: Where the fault is.
        words: What the message says of it.
        good: The prompts of the lines that can be used.
    """

    case: str
    name: str
    content: bytes
    line: int
    words: str
    good: tuple[str, ...]


def of(**fields):
    return json.dumps({"prompt": "a"} | fields)


def openai(body, **fields):
    line = {"custom_id": "c", "method": "POST", "url": "/v1/images/generations"}
    return json.dumps(line | {"body": body} | fields)


# What goes wrong with bytes, whatever they stand for.
BYTES = {
    "a NUL": (b"a\0b", "NUL"),
    "a NUL at the beginning": (b"\0a", "NUL"),
    "a letter of Latin-1": (b"caf\xe9", "byte 0xE9"),
    "a quote of Windows-1252": (b"\x93so\x94", "byte 0x93"),
    "half of a letter": (b"caf\xc3", "byte 0xC3"),
    "an overlong letter": (b"\xc0\x80", "byte 0xC0"),
    "half of a surrogate pair in UTF-8": (b"a\xed\xa0\x80", "byte 0xED"),
    "a letter beyond Unicode": (b"\xf5\x80\x80\x80", "byte 0xF5"),
    "a byte that is in no text": (b"\xff", "byte 0xFF"),
    "a line of a mebibyte": (b"x" * 2**20, "longer than 1,048,576"),
    "a line of three mebibytes": (b"x" * (3 * 2**20), "longer than 1,048,576"),
}

TORN = {
    "cut off in the prompt": '{"prompt": "a',
    "cut off before the value": '{"prompt": ',
    "cut off after the name": '{"prompt"',
    "cut off at the beginning": "{",
    "cut off before the brace": '{"prompt": "a"',
    "cut off after a comma": '{"prompt": "a",',
    "a brace too many": '{"prompt": "a"}}',
    "two objects in a line": '{"prompt": "a"} {"prompt": "b"}',
    "a comma behind the object": '{"prompt": "a"},',
    "quotes of Python": "{'prompt': 'a'}",
    "names without quotes": '{prompt: "a"}',
    "a comma before the brace": '{"prompt": "a",}',
    "no comma between fields": '{"prompt": "a" "size": "512x512"}',
    "a word cut off": '{"prompt": tru',
    "a tab in a string": '{"prompt": "a\tb"}',
    "an escape that is none": '{"prompt": "a\\x41"}',
    "an escape cut off": '{"prompt": "\\u12"}',
    "a comment of C": "// a fox",
    "a comment of Python": "# a fox",
    "a plain prompt": "a fox in the snow",
    "YAML": "prompt: a fox",
    "a string cut off": '"a fox',
    "an array cut off": "[",
    "a word of JavaScript": "undefined",
}

OTHER_JSON = {
    "an array of objects": ('[{"prompt": "a"}]', "is a JSON list"),
    "an empty array": ("[]", "is a JSON list"),
    "a null": ("null", "is a JSON NoneType"),
    "a truth": ("true", "is a JSON bool"),
    "a number": ("7", "is a JSON int"),
    "a fraction": ("1.5", "is a JSON float"),
    "not a number": ("NaN", "is a JSON float"),
    "an empty string": ('""', "prompt: is empty"),
    "a blank string": ('" "', "prompt: is empty"),
    "a number of 5,000 digits": ("9" * 5000, "absurd size"),
    "100,000 brackets": ("[" * 100_000, "absurd size"),
    "100,000 objects": ('{"a":' * 100_000, "absurd size"),
}

PROMPTS = {
    "no field": ("{}", "prompt: is missing"),
    "another field only": ('{"size": "512x512"}', "prompt: is missing"),
    "a misspelt prompt": ('{"promt": "a"}', "unknown field 'promt'"),
    "a capital prompt": ('{"Prompt": "a"}', "unknown field 'Prompt'"),
    "a text": ('{"text": "a"}', "unknown field 'text'"),
    "an empty prompt": (of(prompt=""), "prompt: is empty"),
    "a blank prompt": (of(prompt=" \t\n"), "prompt: is empty"),
    "a null prompt": (of(prompt=None), "prompt: must be a string"),
    "a number as prompt": (of(prompt=7), "prompt: must be a string"),
    "a truth as prompt": (of(prompt=True), "prompt: must be a string"),
    "an array as prompt": (of(prompt=["a"]), "prompt: must be a string"),
    "an object as prompt": (of(prompt={"text": "a"}), "prompt: must be a string"),
    "an escaped NUL": (of(prompt="a\0b"), "NUL"),
    "the first half of a pair": ('{"prompt": "a\\ud83d"}', "surrogate"),
    "the second half of a pair": ('{"prompt": "\\udd8aa"}', "surrogate"),
    "a pair the wrong way round": ('{"prompt": "\\udd8a\\ud83d"}', "surrogate"),
    "half a pair in a string": ('"a\\ud800"', "surrogate"),
}

FIELDS = {
    "an unknown field": (of(colour="red"), "unknown field 'colour'"),
    "an unknown field that is not set": (of(n=2, seed=None), "unknown field 'n'"),
    "a field of another API": (of(response_format="url"), "'response_format'"),
    "an empty name": (of(**{"": 1}), "unknown field ''"),
    "a model that is a number": (of(model=5), "model: must be a string"),
    "an empty model": (of(model=""), "model: is empty"),
    "a blank model": (of(model=" "), "model: is empty"),
    "a model that is an array": (of(model=["x"]), "model: must be a string"),
    "half a pair in the model": ('{"prompt":"a","model":"\\ud800"}', "surrogate"),
    "an unknown quality": (of(quality="best"), "quality"),
    "an empty quality": (of(quality=""), "quality"),
    "a quality that is a number": (of(quality=1), "quality"),
    "a quality that is a truth": (of(quality=True), "quality"),
    "a quality that is an array": (of(quality=["hd"]), "quality"),
    "a size off the grid": (of(size="1000x1000"), "nearest legal size"),
    "a size too small": (of(size="256x256"), "nearest legal size"),
    "a size too large": (of(size="4096x4096"), "nearest legal size"),
    "too many pixels": (of(size="2048x2048"), "pixels are more than"),
    "a size of nothing": (of(size="0x0"), "size"),
    "a size below nothing": (of(size="-512x512"), "size"),
    "a size of one side": (of(size="1024"), "size"),
    "half a size": (of(size="1024x"), "size"),
    "the other half": (of(size="x1024"), "size"),
    "a size of three sides": (of(size="512x512x512"), "size"),
    "a size in words": (of(size="big"), "size"),
    "a size with an exponent": (of(size="1e3x512"), "size"),
    "an empty size": (of(size=""), "size"),
    "a size that is a number": (of(size=1024), "size"),
    "a size that is a truth": (of(size=True), "size"),
    "a size of one number": (of(size=[1024]), "size"),
    "a size of three numbers": (of(size=[512, 512, 512]), "size"),
    "a size of fractions": (of(size=[512.5, 512]), "size"),
    "a size of texts": (of(size=["a", "b"]), "size"),
    "a size that is an object": (of(size={"w": 512}), "size"),
    "a size of 5,000 digits": (of(size="9" * 5000 + "x512"), "size"),
    "a user id too short": (of(user_id="me"), "user_id: has 2 characters"),
    "a user id too long": (of(user_id="u" * 129), "user_id: has 129 characters"),
    "an empty user id": (of(user_id=""), "user_id: has 0 characters"),
    "a user id that is a number": (of(user_id=1234567), "user_id: must be"),
    "half a pair in the user id": (
        '{"prompt":"a","user_id":"abcdef\\ud800"}',
        "surrogate",
    ),
    "half a pair in the id": ('{"prompt":"a","id":"\\ud800"}', "surrogate"),
    "an id that is a fraction": (of(id=1.5), "id: must be"),
    "an id that is a truth": (of(id=False), "id: must be"),
    "an id that is an array": (of(id=[1]), "id: must be"),
    "an id that is an object": (of(id={"a": 1}), "id: must be"),
    "extra that is an array": (of(extra=[1]), "extra"),
    "extra that is a text": (of(extra="x"), "extra"),
    "extra that is a number": (of(extra=5), "extra"),
    "a size in extra": (of(extra={"size": "512x512"}), "extra: 'size'"),
    "a prompt in extra": (of(extra={"prompt": "b"}), "extra: 'prompt'"),
    "a model in extra": (of(extra={"model": "b"}), "extra: 'model'"),
    "no number in extra": ('{"prompt":"a","extra":{"x":NaN}}', "extra"),
    "half a pair in extra": ('{"prompt":"a","extra":{"x":"\\ud800"}}', "extra"),
}

OPENAI = {
    "a body that is an array": (openai([]), "body: is not a JSON object"),
    "a body that is a text": (openai("a"), "body: is not a JSON object"),
    "no body": (openai(None), "body: is not a JSON object"),
    "an empty body": (openai({}), "prompt: is missing"),
    "a body of another endpoint": (openai({"messages": []}), "prompt: is missing"),
    "a body with an id": (openai({"prompt": "a", "id": 1}), "custom_id is the id"),
    "a bad size in the body": (openai({"prompt": "a", "size": "1x1"}), "size"),
    "an empty prompt in the body": (openai({"prompt": ""}), "prompt: is empty"),
    "a null prompt in the body": (openai({"prompt": None}), "must be a string"),
    "two pictures in a line": (openai({"prompt": "a", "n": 2}), "n: "),
    "no picture in a line": (openai({"prompt": "a", "n": 0}), "n: "),
    "a fraction as custom_id": (openai({"prompt": "a"}, custom_id=1.5), "id: must be"),
    "a line without custom_id": (
        '{"method":"POST","url":"/v1","body":{"prompt":"a"}}',
        "unknown field 'method'",
    ),
}

# The lines before must not be seen as faults themselves.
IDS = {
    "the same text": ('{"prompt": "a", "id": "good-1"}', "that of line"),
    "the same as custom_id": (openai({"prompt": "a"}, custom_id="good-1"), "of line"),
}

CSV = {
    "a cell too many": (b"a fox,hd,512x512,x,1", "cells under 4 columns"),
    "a prompt with a comma": (b"a fox, a bear, a cat, two dogs, hens", "cells under"),
    "a letter behind a quote": (b'"a fox" red,hd,,x', "not a row of CSV"),
    "no prompt": (b",hd,,x", "prompt: is empty"),
    "a blank prompt": (b'" ",hd,,x', "prompt: is empty"),
    "an unknown quality": (b"a fox,best,,x", "quality"),
    "a size off the grid": (b"a fox,,1000x1000,x", "nearest legal size"),
    "a size in words": (b"a fox,,big,x", "size"),
    "an id given twice": (b"a fox,,,good-1", "that of line"),
    "a NUL": (b"a\0fox,,,x", "NUL"),
    "a NUL in quotes": (b'"a\0fox",,,x', "NUL"),
    "a letter of Latin-1": (b"caf\xe9,,,x", "byte 0xE9"),
    "a letter of Latin-1 in a column that counts": (b"a,\xe9,,x", "byte 0xE9"),
    "half of a letter": (b"caf\xc3,,,x", "byte 0xC3"),
}
AT_THE_END = {"a quote that is never closed": (b'"a fox,hd', "not a row of CSV")}

TSV = {
    "a cell too many": (b"a fox\thd\t\tx\t1", "cells under 4 columns"),
    "a quote that is not closed": (b'"a fox\thd\t\tx', "opens a quote"),
    "no prompt": (b"\thd\t\tx", "prompt: is empty"),
    "quotes around nothing": (b'""\thd\t\tx', "prompt: is empty"),
    "an unknown quality": (b"a fox\tbest\t\tx", "quality"),
    "a size off the grid": (b"a fox\t\t1000x1000\tx", "nearest legal size"),
    "an id given twice": (b"a fox\t\t\tgood-1", "that of line"),
    "a NUL": (b"a\0fox\t\t\tx", "NUL"),
    "a letter of Latin-1": (b"caf\xe9\t\t\tx", "byte 0xE9"),
}

_LAYOUTS = ("in the middle", "last, without an end", "behind a BOM, with CRLF")


def _file(*, kind, fault, bad, words, layout):
    """Put a bad line into a file with good ones around it."""
    good = {
        "txt": [b"one", b"two"],
        "jsonl": [b'{"prompt":"one","id":"good-1"}', b'"two"'],
        "csv": [b"one,,,good-1", b'"two",,,'],
        "tsv": [b"one\t\t\tgood-1", b"two\t\t\t"],
    }[kind]
    head = {
        "csv": [b"prompt,quality,size,id"],
        "tsv": [b"prompt\tquality\tsize\tid"],
    }.get(kind, [])
    before, after = [*head, good[0], b""], [b"", good[1]]
    if layout == "last, without an end":
        before, after = [*head, *good], []
    lines = [*before, bad, *after]
    end = b"\r\n" if "CRLF" in layout else b"\n"
    content = end.join(lines) + (end if after else b"")
    if "BOM" in layout:
        content = b"\xef\xbb\xbf" + content
    return BadFile(
        case=f"{kind}: {fault}, {layout}",
        name=f"prompts.{kind}",
        content=content,
        line=len(before) + 1,
        words=words,
        good=("one", "two"),
    )


def _texts(faults):
    return {k: (v[0].encode(), v[1]) for k, v in faults.items()}


def _all():
    torn = {k: (v, "is not JSON") for k, v in TORN.items()}
    of_json = {**torn, **OTHER_JSON, **PROMPTS, **FIELDS, **OPENAI, **IDS}
    faults = {
        "txt": BYTES,
        "jsonl": {**_texts(of_json), **BYTES},
        "csv": CSV,
        "tsv": TSV,
    }
    turn = itertools.cycle(_LAYOUTS)
    for kind, of_kind in faults.items():
        for fault, (bad, words) in of_kind.items():
            # Each in two of the three, so that each layout meets two thirds of all.
            for layout in (next(turn), next(turn)):
                yield _file(kind=kind, fault=fault, bad=bad, words=words, layout=layout)
    for fault, (bad, words) in AT_THE_END.items():
        for layout in _LAYOUTS[1:2]:
            yield _file(kind="csv", fault=fault, bad=bad, words=words, layout=layout)


BAD_FILES = tuple(_all())

# Files that cannot be read as a whole; the message names the file.
HOPELESS = {
    "nothing in it": ("a.txt", b"", "holds no prompt"),
    "blank lines only": ("a.txt", b"\n \n\t\r\n", "holds no prompt"),
    "a BOM only": ("a.jsonl", b"\xef\xbb\xbf", "holds no prompt"),
    "a header only": ("a.csv", b"prompt,size\n", "holds no prompt"),
    "a header of tabs only": ("a.tsv", b"prompt\tsize", "holds no prompt"),
    "UTF-16 of Windows": ("a.txt", "a fox".encode("utf-16"), "UTF-16"),
    "UTF-16 the other way": ("a.txt", b"\xfe\xff\0a", "UTF-16"),
    "UTF-16 in a table": ("a.csv", "prompt\na\n".encode("utf-16"), "UTF-16"),
    "UTF-16 in JSON lines": ("a.jsonl", '"a"'.encode("utf-16"), "UTF-16"),
    "UTF-16 without a suffix": ("a", "a fox".encode("utf-16"), "UTF-16"),
    "no prompt column": ("a.csv", b"text,size\na,\n", "no column is called"),
    "no prompt column of tabs": ("a.tsv", b"text\tsize\na\t\n", "no column is called"),
    "no header at all": ("a.csv", b"a fox in the snow\n", "no column is called"),
    "semicolons": ("a.csv", b"prompt;size\na;\n", "no column is called"),
    "two prompt columns": ("a.csv", b"prompt,Prompt\na,b\n", "two columns"),
    "two size columns": ("a.tsv", b"prompt\tsize\tSIZE\n", "two columns"),
    "a torn header": ("a.csv", b'"prompt"x,size\na,b\n', "line 1: is not a row"),
    "a header with a NUL": ("a.csv", b"prompt\0,size\na,b\n", "line 1"),
    "a header in Latin-1": ("a.tsv", b"prompt\tgr\xf6\xdfe\na\tb\n", "line 1"),
    "a spreadsheet": ("a.xlsx", b"PK\x03\x04", "known are .txt"),
    "a JSON file": ("a.json", b'[{"prompt":"a"}]', "known are .txt"),
    "a picture": ("a.png", b"\x89PNG\r\n\x1a\n\0", "known are .txt"),
}
