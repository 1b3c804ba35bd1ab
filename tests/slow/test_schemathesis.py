"""
The sandbox against schemathesis, which knows of it the OpenAPI document alone.

Its own command runs every phase but the stateful one, for there is one operation and
no state. The strategies then show that what keeps the document is made, and that what
breaks it is refused with the service's envelope and never with a crash. Last, the
same checks find each of a number of sandboxes that were broken on purpose.
"""

import json
import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from support.picture_sizes import sizes
from support.threads import in_thread

from zai_images.sandbox import Sandbox, _endpoint as _service, _validation as _rules

FILE = files("zai_images.sandbox").joinpath("openapi.json")
DOCUMENT = json.loads(FILE.read_text("utf-8"))
PATH = "/paas/v4/images/generations"
CASES = 400


def operation():
    # Without its scheme of keys, or half of what is generated is a wrong key.
    body_only = {**DOCUMENT, "security": []}
    return schemathesis.openapi.from_dict(body_only)[PATH]["POST"]


POSITIVE = operation().as_strategy(generation_mode=GenerationMode.POSITIVE)
NEGATIVE = operation().as_strategy(generation_mode=GenerationMode.NEGATIVE)


@pytest.fixture
def sandbox():
    with in_thread(Sandbox(speed=1e6, pictures="plain")) as running:
        yield running


def check(sandbox, cases, status, *, most=CASES, judged=True):
    """Send so many cases; each must be answered so, and `judged` by the document."""
    sent = []

    @given(case=cases)
    @settings(
        max_examples=most,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    def send(case):
        response = case.call(
            base_url=sandbox.base_url.removesuffix("/paas/v4"),
            headers={"Authorization": f"Bearer {sandbox.api_key}"},
        )
        sent.append(response)
        if judged:
            case.validate_response(response)
        assert response.status_code == status, response.text

    send()
    assert len(sent) == sandbox.requests
    return len(sent)


def test_the_document_is_sound():
    validate(DOCUMENT)


@pytest.mark.tried("the sandbox: requests by the document")
def test_what_keeps_the_document_is_made(sandbox, record_property):
    record_property("cases", check(sandbox, POSITIVE, 200))
    assert sandbox.bill.total == sandbox.requests >= CASES


@pytest.mark.tried("the sandbox: requests against the document")
def test_what_breaks_the_document_is_refused_and_costs_nothing(
    sandbox, record_property
):
    record_property("cases", check(sandbox, NEGATIVE, 400))
    assert sandbox.bill.rejected == sandbox.requests >= CASES


@pytest.mark.tried("the sandbox: schemathesis' own run")
def test_the_command_finds_nothing(sandbox, record_property, tmp_path):
    """Keys, methods, headers and the edges of each field are in this run alone."""
    origin = sandbox.base_url.removesuffix("/api/paas/v4")
    ran = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            *["run", f"{origin}/openapi.json", "--no-color"],
            *["--header", f"Authorization: Bearer {sandbox.api_key}"],
            *["--phases", "examples,coverage,fuzzing", "--checks", "all"],
            *["--max-examples", str(CASES), "--generation-deterministic"],
            "--continue-on-failure",
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "SCHEMATHESIS_HOOKS": "support.picture_sizes",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"(\d+) generated, (\d+) passed", ran.stdout)
    assert ran.returncode == 0, ran.stdout
    assert found
    assert found[1] == found[2]
    record_property("cases", int(found[1]))


def off_by_one(way):
    """Make sizes that look right and break the rule in exactly one way."""
    grid = st.integers(512 // 16, 2048 // 16).map(lambda sixteens: 16 * sixteens)
    side = {
        "short": st.integers(6, 31).map(lambda sixteens: 16 * sixteens),
        "long": st.integers(129, 600).map(lambda sixteens: 16 * sixteens),
        "crooked": st.integers(512, 2048).filter(lambda length: length % 16),
        "many": grid,
    }[way]
    pairs = st.tuples(side, grid) | st.tuples(grid, side)
    if way == "many":
        pairs = pairs.filter(lambda pair: pair[0] * pair[1] > 2**21)
    elif way != "long":
        pairs = pairs.filter(lambda pair: pair[0] * pair[1] <= 2**21)
    return pairs.map(lambda pair: f"{pair[0]}x{pair[1]}")


@pytest.mark.tried("the sandbox: sizes that break one rule")
@pytest.mark.parametrize("way", ["short", "long", "crooked", "many"])
def test_a_size_that_breaks_the_rule_in_one_way_is_refused(
    sandbox, record_property, way
):
    """The document's format says this, and no generator can negate a format."""

    @st.composite
    def wrong(draw):
        case = draw(POSITIVE)
        case.body = {**case.body, "size": draw(off_by_one(way))}
        return case

    # To a validator, which does not know the format, each of these is legal.
    count = check(sandbox, wrong(), 400, most=50, judged=False)
    record_property("cases", count)


BROKEN = {
    "user_id of any length": (_rules, "_USER_ID_LENGTHS", range(10**9), NEGATIVE),
    "any quality": (_rules, "_check_quality", lambda _: None, NEGATIVE),
    "any size": (_rules, "_check_size", lambda _: None, NEGATIVE),
    "numbers for text": (_rules, "_text", lambda _, value: str(value), NEGATIVE),
    "a crash": (_rules, "_required", lambda body, name: str(body[name]), NEGATIVE),
    "pixels one too few": (_rules, "_MOST_PIXELS", 2**20 - 1, POSITIVE),
    "user_id one too long": (_rules, "_USER_ID_LENGTHS", range(7, 129), POSITIVE),
    "another envelope": (_service, "error_body", lambda *_: b'{"code":1}', NEGATIVE),
    "no picture": (_service.Service, "_data", lambda *_: [], POSITIVE),
    "another type": (_service, "_JSON", "text/plain", POSITIVE),
}


@pytest.mark.tried("control: broken sandboxes, found by schemathesis")
@pytest.mark.parametrize("fault", BROKEN)
def test_a_sandbox_that_breaks_the_document_is_found_out(sandbox, monkeypatch, fault):
    owner, name, broken, cases = BROKEN[fault]
    monkeypatch.setattr(owner, name, broken)

    with pytest.raises((AssertionError, FailureGroup)):
        check(sandbox, cases, 200 if cases is POSITIVE else 400)


@given(sizes())
def test_the_sizes_of_the_format_keep_the_page(size):
    width, height = map(int, size.split("x"))
    assert 512 <= width <= 2048 >= height >= 512
    assert width % 16 == height % 16 == 0
    assert width * height <= 2**21
