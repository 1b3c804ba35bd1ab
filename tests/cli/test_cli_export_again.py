"""An export that is an input again asks for nothing new, whatever is in it."""

import asyncio
import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from support.command_line import lines
from support.hostile_texts import TEXTS

from zai_images import ImageRequest
from zai_images._api.wire import encode
from zai_images.cli._export_lines import csv_header, csv_row, full_line, openai_line
from zai_images.jobs import (
    BadLine,
    ImageJob,
    JobRecord,
    PromptFile,
    State,
    read_requests,
)
from zai_images.jobs._input.formats import COLUMNS, EXPORTED_COLUMNS
from zai_images.jobs._input.keys import Keys

SUFFIXES = {"jsonl": ".jsonl", "csv": ".csv", "openai": ".jsonl"}
each_format = pytest.mark.parametrize("kind", SUFFIXES)
HARD = [
    *(
        "=1+1",
        "+1",
        "-1",
        "@home",
        "\t=1",
        "\r=1",
        "\n=1",
        "'=1",
        "''=1",
        "'",
        "'quoted'",
    ),
    *("'-'", '"', '"=1"', '"a fox"', 'a "fox", red', "a, b", "a;b\tc", "two\nlines"),
    *(
        "two\r\nlines",
        "  blanks around  ",
        " =1",
        "\\t",
        "\\u001b[31m",
        "C:\\new\\table",
    ),
    *("\\frac{1}{2}", '"\\u0041"', "null", "true", "1", "1e5", "{}", '{"prompt": "a"}'),
    *(
        "[1]",
        "# a comment",
        "key,prompt",
        "prompt",
        "cafe\u0301",
        "\u00e9",
        "한글",
        "\ufeffa",
    ),
    *(
        "a 👨\u200d👩\u200d👧 family",
        "🏴\U000e0067\U000e007f",
        "a\u2028b",
        "\u202egnorw",
    ),
    *("a\u00a0b", "\u3000狐狸", "a\x0bb", "x" * 20_000),
]
PROMPTS = [*HARD, *(text for _, text in TEXTS if text.strip() and "\0" not in text)]


def items(prompts):
    """Make lines of every kind of field, no two of them alike."""
    plain = [{"prompt": one} for one in dict.fromkeys(prompts)]
    fox = {"prompt": "a fox"}
    ids = [1, "one", "-4", "=1", "0012", " x ", "", "a,b", 'a"b', "\x1b[31m", "'=1"]
    return [
        *plain,
        *({"prompt": f"fox {n}", "id": one} for n, one in enumerate(ids)),
        fox | {"quality": "hd"},
        fox | {"size": "768x1344"},
        fox | {"model": "cogView-4-250304", "size": "512x512"},
        fox | {"model": "glm-image"},
        fox | {"model": "other"},
        fox | {"model": "other", "size": "12 x 13", "quality": "-best"},
        fox | {"model": "-other", "size": "", "quality": " "},
        fox | {"user_id": "user-1"},
        fox | {"user_id": "   abc"},
        fox | {"user_id": "=1+2+3"},
        fox | {"user_id": '"\x1b[31m"'},
        fox | {"extra": {"seed": 7, "n": 1}},
        fox | {"extra": {"guidance": 7.5, "big": 2**64 + 1, "deep": [{"a": None}]}},
        fox | {"extra": {"id": 5, "key": "k", "body": {}, "state": "x", "extra": 1}},
        fox | {"extra": {"text": '=1,"x"\n\x1b\u200d', "é": "e\u0301", "": ""}},
    ]


@pytest.fixture
def exported(cli):
    """Export the job in `out` into a file."""

    async def exported(kind, suffix=None):
        ran = await cli("export", "out", "--format", kind)
        assert ran.code == 0
        path = Path("all" + (SUFFIXES[kind] if suffix is None else suffix))
        path.write_bytes(ran.out.encode())
        return path

    return exported


@pytest.fixture
def asks_for_nothing(cli, service):
    """Check that an input asks for nothing, by its plan and by its batch."""

    async def asks_for_nothing(path, many, *options):
        sent = service.bill.requests
        plan = await cli("plan", path, "--out", "out", "--json", *options)
        assert plan.code == 0, plan.out + plan.err
        told = json.loads(plan.out)
        assert (told["requests"], told["states"]["pending"]) == (many, 0)
        ran = await cli("batch", path, "--out", "out", *options)
        assert service.bill.requests == sent, ran.err
        assert " 0 made" in ran.err
        return ran

    return asks_for_nothing


@pytest.mark.tried("kinds of items in an export that is an input again")
async def test_an_export_of_a_finished_job_asks_for_nothing(
    cli, service, jsonl, exported, asks_for_nothing
):
    wanted = items(PROMPTS)
    jsonl(*wanted)
    await cli("batch", "p.jsonl", "--out", "out", "--limit", "50")
    assert service.bill.total >= 100

    for kind in SUFFIXES:
        told = await asks_for_nothing(await exported(kind), len(wanted))
        assert "not used" not in told.err


@each_format
async def test_a_repeated_and_a_duplicate_line_are_there_as_often(
    kind, cli, jsonl, exported, asks_for_nothing
):
    fox = {"prompt": "a fox"}
    jsonl(fox, fox, {"prompt": "=1", "id": 7}, {"prompt": "b", "size": "512x512"})
    await cli("batch", "p.jsonl", "--out", "out", "--repeat", "3", "--limit", "9")

    await asks_for_nothing(await exported(kind), 12)


@each_format
async def test_options_for_lines_that_do_not_say_change_no_line_of_an_export(
    kind, batch, exported, asks_for_nothing
):
    await batch(prompts=["a fox", "a bear"])

    await asks_for_nothing(
        await exported(kind), 2, "--quality", "hd", "--size", "512x512"
    )


@each_format
@pytest.mark.parametrize("suffix", ["", ".txt"])
async def test_an_export_is_no_list_of_prompts_whatever_it_is_called(
    kind, suffix, batch, exported, asks_for_nothing
):
    await batch(prompts=["=1", "'=1", "a fox"])

    await asks_for_nothing(await exported(kind, suffix), 3)


@each_format
async def test_what_failed_or_is_unknown_is_not_sent_again_by_an_export(
    kind, cli, service, jsonl, exported
):
    jsonl(*({"prompt": one, "id": one} for one in ("=good", "=unsafe", "=lost")))
    service.fail("=unsafe", code="1301")
    service.next(prompt="=lost", action="truncate")
    await cli("batch", "p.jsonl", "--out", "out", "--limit", "1")
    sent = service.bill.requests

    await cli("batch", await exported(kind), "--out", "out")

    assert service.bill.requests == sent
    states = [one["state"] for one in lines(await cli("export", "out"))]
    assert states == ["saved", "refused", "unknown"]


async def test_a_table_that_a_person_changed_asks_for_what_is_new_alone(
    cli, service, batch, exported
):
    """Rows moved and taken out, columns too, one of their own, one row, one edit."""
    await batch(prompts=["=1", "'=1", "  a fox", "a bear", "-2"])
    path = await exported("csv")
    rows = list(csv.DictReader(io.StringIO(path.read_text(), newline="")))
    kept = [rows[4], rows[1], rows[0], rows[2] | {"prompt": "a red fox"}]
    columns = ["prompt", "note", "key", "quality"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(kept)
        writer.writerow({"prompt": "'=3", "note": "of my own"})

    ran = await cli("batch", path, "--out", "out")

    assert ran.code == 0
    assert "not used: note" in ran.err
    assert [one.prompt for one in service.bill.entries][5:] == ["a red fox", "'=3"]


async def test_a_row_that_a_person_added_may_not_have_the_id_of_another(
    cli, service, jsonl, exported
):
    jsonl({"prompt": "a fox", "id": 7})
    await cli("batch", "p.jsonl", "--out", "out")
    path = await exported("csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    with path.open("a", newline="") as file:
        csv.DictWriter(file, rows[0]).writerow({"id": "7", "prompt": "a bear"})

    ran = await cli("batch", path, "--out", "out")

    assert ran.code == 2
    assert "is that of line 2 already" in ran.err


def records(requests):
    """Make the records that a journal has of requests."""
    keys = Keys()
    for number, one in enumerate(requests, 1):
        body = encode(one)
        yield JobRecord(
            number=number,
            key=keys.key(one, body).hex(),
            state=State.SAVED,
            id=one.id,
            body=json.loads(body),
            attempts=1,
            error='an "error"\x1b',
            answer={"data": [{"url": "https://example.com"}]},
        )


def written(kind, found):
    """Write records as `export` does."""
    if kind == "csv":
        return "\n".join([csv_header(), *map(csv_row, found)])
    write = {"jsonl": full_line, "openai": openai_line}[kind]
    return "\n".join(map(write, found))


def keys_of_file(path):
    keys = Keys()
    for one in read_requests(PromptFile.find(path)):
        assert not isinstance(one, BadLine), one
        yield keys.key(one, encode(one)).hex()


@each_format
def test_every_kind_of_item_is_found_by_its_line(kind, tmp_path):
    found = list(records(ImageRequest(**one) for one in items(PROMPTS)))
    path = tmp_path / ("all" + SUFFIXES[kind])
    path.write_text(written(kind, found), newline="")

    assert list(keys_of_file(path)) == [one.key for one in found]


TEXT = st.text(max_size=12) | st.text("'\"=+-@\t\r\n\\ u0041,;\x1b\u200d", max_size=8)
PROMPT = TEXT.filter(str.strip)
EXTRA = st.dictionaries(
    TEXT.map("x{}".format),
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT | st.floats(-1e9, 1e9),
        lambda inner: st.lists(inner, max_size=2),
        max_leaves=3,
    ),
    max_size=2,
)
REQUESTS = st.lists(
    st.builds(
        ImageRequest,
        PROMPT,
        model=st.sampled_from(["cogview-4-250304", "glm-image"]) | PROMPT,
        user_id=st.none() | TEXT.map("{0:>6}".format),
        id=st.none() | st.integers() | st.text(st.characters(), max_size=5) | TEXT,
        extra=EXTRA,
    ),
    min_size=1,
    max_size=4,
)


@each_format
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=REQUESTS)
def test_any_item_is_found_by_its_line(kind, tmp_path, requests):
    found = list(records(requests))
    path = tmp_path / ("all" + SUFFIXES[kind])
    text = written(kind, found)
    # As the command writes it: what no UTF-8 can hold is told by its number.
    path.write_bytes(text.encode(errors="backslashreplace"))

    assert list(keys_of_file(path)) == [one.key for one in found]


@given(TEXT)
def test_no_cell_is_a_formula_and_none_is_obeyed(text):
    (record,) = records([ImageRequest("a fox", id=text)])
    record = attrs.evolve(record, error=text)
    row = csv_row(record)
    cells = next(csv.reader(io.StringIO(row, newline="")))

    assert not [cell for cell in cells if cell[:1] in {*"=+-@\t\r\n"}]
    assert not {*row} & {*"\x1b\u200d\t\r"}


def test_the_columns_of_a_table_are_known_to_its_reader():
    assert {*csv_header().split(",")} == {*COLUMNS, *EXPORTED_COLUMNS}


@each_format
async def test_what_python_alone_may_ask_for_is_an_input_again(kind, cli, exported):
    """A NUL and half of a surrogate pair, which no file may ask for."""
    requests = [ImageRequest("a\0b"), ImageRequest("c", id="\ud800"), ImageRequest("d")]
    async with ImageJob.open("out") as job:
        await job.take(requests, repeat=2)
    async with ImageJob.open("out", read_only=True) as job:
        found = [one async for one in job.records()]
    text = written(kind, [attrs.evolve(one, state=State.SAVED) for one in found])
    Path("all" + SUFFIXES[kind]).write_bytes(text.encode(errors="backslashreplace"))

    keys = await asyncio.to_thread(
        lambda: list(keys_of_file(Path("all" + SUFFIXES[kind])))
    )

    assert sorted(keys) == sorted(one.key for one in found)


BROKEN = SimpleNamespace(
    jsonl=[
        ('{"key": "k", "body": []}', "body: is not a JSON object"),
        ('{"key": "k", "body": {"model": "other"}}', "prompt: must be a string"),
        ('{"request": {"key": 1, "body": 5}}', "body: is not a JSON object"),
        ('{"request": 5, "prompt": "a"}', "unknown field 'request'"),
        ('{"key": "k", "prompt": "a"}', "unknown field 'key'"),
    ],
    csv=[
        (f"{'0' * 32},,", "prompt: must be a string"),
        (f"{'0' * 32},a,[", "extra: is not a JSON object"),
        (f"{'0' * 32},a,[]", "extra: must be a mapping"),
        (",a,x", "extra: is not a JSON object"),
        (",a," + "[" * 100_000, "extra: is not a JSON object"),
    ],
)


@pytest.mark.parametrize(
    "case", [*BROKEN.jsonl, *BROKEN.csv], ids=lambda one: one[0][:40]
)
def test_a_line_of_an_export_that_is_broken_says_how(case, tmp_path):
    line, words = case
    kind = "jsonl" if case in BROKEN.jsonl else "csv"
    path = tmp_path / f"all.{kind}"
    path.write_text(("key,prompt,extra\n" if kind == "csv" else "") + line)

    (bad,) = read_requests(PromptFile.find(path))

    assert words in bad.message


@pytest.mark.parametrize("cell", ['"a fox', '"a" fox', '"' + "9" * 5000])
def test_a_cell_that_a_person_began_with_a_quote_is_as_it_is(cell, tmp_path):
    path = tmp_path / "all.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["key", "prompt"], ["0" * 32, cell]])

    (found,) = read_requests(PromptFile.find(path))

    assert found.prompt == cell
