"""The judge's own books: a ledger and a status that do not agree are noticed."""

import json
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter

import attrs
import pytest
from support.judge import verdicts
from support.judge.client import TESTS
from support.judge.evidence import NOTHING, cells, links_of
from support.judge.oracle import Books
from support.judge.paid_service import content
from support.processes import unmeasured


def entry(verdict="make", prompt="a", **more):
    links = verdicts.links(verdict)
    return {
        "prompt": prompt,
        "verdict": verdict,
        "billed": verdicts.bills(verdict),
        "answered": verdicts.brings_link(verdict),
        "contents": [f"picture {n}" for n in range(links)],
        "fetched": 0,
        **more,
    }


def told(billed, maybe=0, more=0):
    return {"billed": billed, "maybe_billed": maybe, "more_maybe_billed": more}


def journal(entries, *numbers):
    """Let a journal have the links of some requests."""
    found = [link for n in numbers for link, _ in links_of(entries[n], n)]
    return attrs.evolve(NOTHING, journal=" ".join(found))


def books(entries, *, died=False, asked=(), wanted="ab"):
    found = Books(Counter(wanted))
    found.add(entries, died=died, asked=Counter(asked))
    return found


def test_a_status_that_is_the_ledger_is_right():
    entries = [entry(), entry("lose", "b")]

    books(entries).check_status(told(1, 1), entries, journal(entries, 0), None)


@pytest.mark.parametrize("wrong", [told(0, 2), told(2, 0), told(1, 0), told(1, 1, 1)])
def test_a_status_that_is_off_by_one_is_noticed(wrong):
    entries = [entry(), entry("page 504 html", "b")]

    with pytest.raises(AssertionError, match="billed"):
        books(entries).check_status(wrong, entries, journal(entries, 0), None)


def test_a_life_that_died_may_have_one_more_intent_and_no_more():
    entries = [entry(), entry("refuse", "b")]
    kept = journal(entries, 0)

    books(entries, died=True).check_status(told(1, 3), entries, kept, None)
    with pytest.raises(AssertionError, match=r"not 1\.\.4"):
        books(entries, died=True).check_status(told(1, 4), entries, kept, None)


def test_what_was_found_after_a_death_is_fixed_from_then_on():
    entries = [entry()]
    found, kept = books(entries, died=True), journal(entries, 0)
    found.check_status(told(1, 1), entries, kept, {"a": (1, 0), "b": (0, 1)})

    with pytest.raises(AssertionError, match="maybe"):
        found.check_status(told(1, 0), entries, kept, {"a": (1, 0), "b": (0, 0)})


@pytest.mark.parametrize(
    "before", ["make", "lose", "half", "page 408 empty", "beside 1302", "links two"]
)
def test_what_may_be_paid_and_is_sent_again_unasked_is_noticed(before):
    with pytest.raises(AssertionError, match="unasked"):
        books([entry(before), entry("refuse")])


def test_what_a_person_asks_for_is_sent_again_once():
    books([entry("lose"), entry("refuse"), entry("make")], asked="a")
    with pytest.raises(AssertionError, match="unasked"):
        books([entry("lose"), entry("make"), entry("make"), entry("make")], asked="a")


def test_a_failure_that_the_service_owns_up_to_is_sent_again_once():
    books([entry("server"), entry("make")])
    books([entry("server"), entry("refuse"), entry("refuse"), entry("make")])
    with pytest.raises(AssertionError, match="unasked"):
        books([entry("server"), entry("server"), entry("make")])


def test_each_link_of_an_answer_must_be_in_the_journal():
    entries = [entry("links two")]
    (one, _), (other, _) = links_of(entries[0], 0)

    books(entries).check_kept(entries, journal(entries, 0))
    with pytest.raises(AssertionError, match="lost"):
        books(entries).check_kept(entries, attrs.evolve(NOTHING, journal=one))
    with pytest.raises(AssertionError, match="not recorded"):
        found = attrs.evolve(NOTHING, journal=one, beside=other)
        books(entries).check_kept(entries, found)


@pytest.mark.parametrize("place", ["journal", "beside", "elsewhere", "told"])
def test_after_a_death_what_had_been_fetched_has_a_trace_somewhere(place):
    entries = [entry(), entry(prompt="b", fetched=1)]
    link, picture = links_of(entries[1], 1)[0]
    found = attrs.evolve(NOTHING, **{place: f"keep it: {link}"})

    books(entries, died=True).check_kept(entries, found)
    found = attrs.evolve(NOTHING, pictures=frozenset([picture]))
    books(entries, died=True).check_kept(entries, found)
    with pytest.raises(AssertionError, match="lost"):
        books(entries, died=True).check_kept(entries, NOTHING)


def test_what_lies_beside_the_journal_must_be_in_it_by_the_end():
    entries = [entry()]
    link = links_of(entries[0], 0)[0][0]
    books(entries).check_taken_in(entries, journal(entries, 0))

    with pytest.raises(AssertionError, match="taken in"):
        books(entries).check_taken_in(entries, attrs.evolve(NOTHING, beside=link))


def test_the_sum_of_the_rows_is_what_status_says():
    entries = [entry(), entry("lose", "b")]
    rows = {"a": (0, 1), "b": (0, 1)}

    with pytest.raises(AssertionError, match="'a' is billed 0, not 1"):
        books(entries).check_status(told(1, 1), entries, journal(entries, 0), rows)


def test_every_cell_of_a_journal_is_read(tmp_path):
    with sqlite3.connect(tmp_path / "job.sqlite") as connection:
        connection.execute("CREATE TABLE one (a TEXT, b BLOB, c)")
        connection.execute("INSERT INTO one VALUES ('text', x'6869', 3)")
    connection.close()

    assert list(cells(tmp_path)) == ["text", "hi"]


# What the service and the shim do.


def post(case, prompt):
    request = urllib.request.Request(  # noqa: S310 - loopback
        case.base_url + "/images/generations", json.dumps({"prompt": prompt}).encode()
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - same
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("verdict", verdicts.PAGES)
def test_a_gateway_bills_and_says_nothing_in_the_service_s_words(verdict, paid_service):
    case = paid_service.case(plan={"a": [verdict]}, delay=(0, 0))

    status, body = post(case, "a")

    assert str(status) == verdict.split(" ")[1]
    assert b'"code": "1' not in body
    assert case.bill().billed == Counter(a=1)


@pytest.mark.parametrize("verdict", [*verdicts.BESIDE, *verdicts.SEVERAL])
def test_each_link_of_an_answer_leads_to_a_picture_of_its_own(verdict, paid_service):
    case = paid_service.case(plan={"a": [verdict]}, delay=(0, 0))

    status, body = post(case, "a")

    found = [one["url"] for one in json.loads(body)["data"] if one["url"]]
    pictures = set()
    for url in found:
        with urllib.request.urlopen(url) as answer:  # noqa: S310 - loopback
            pictures.add(content(answer.read()))
    assert status == 200
    assert pictures == case.bill().contents("a")
    assert len(pictures) == verdicts.links(verdict)


@pytest.mark.parametrize("host", ["403", "410", "500", "html"])
def test_a_picture_host_is_ill_for_a_while_and_well_again(host, paid_service):
    case = paid_service.case(delay=(0, 0), host=host)
    url = json.loads(post(case, "a")[1])["data"][0]["url"]

    def fetched():
        try:
            with urllib.request.urlopen(url) as answer:  # noqa: S310 - loopback
                return content(answer.read())
        except urllib.error.HTTPError as error:
            error.close()
            return str(error.code)

    assert fetched() == ("damaged" if host == "html" else host)
    case.tell(host=None)
    assert {fetched()} == case.bill().contents("a")
    assert case.bill().entries[0]["fetched"] == 1


def test_a_free_check_is_in_no_ledger(paid_service):
    case = paid_service.case()

    assert post(case, "")[0] == 400
    assert (case.bill().entries, case.bill().checks) == ((), 1)


CLOCK = """
import time
from datetime import datetime, UTC
from support.judge.shim import jump_clock
wall, steady = time.time(), time.monotonic()
jump_clock([(0.0, 3600), (0.2, -7200)])
found = [time.time() - wall, datetime.now(UTC).timestamp() - wall]
time.sleep(0.25)
found.append(time.time() - wall)
assert time.monotonic() - steady < 60
print(*(round(one / 60) for one in found))
"""


def test_the_clock_on_the_wall_jumps_and_the_other_does_not(shim):
    ran = subprocess.run(
        [sys.executable, "-c", CLOCK],
        env=unmeasured() | {"LD_PRELOAD": str(shim), "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.stdout.split() == ["60", "60", "-120"], ran.stderr
