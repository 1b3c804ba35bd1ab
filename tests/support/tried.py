"""
Count what a corpus tried and how much of it escaped, for one table at the end.

A test marked `@pytest.mark.tried("hostile links")` counts as one case, or as many as
it says with `record_property("cases", n)`; a failed one has let its case escape.
`--tried FILE` keeps the counts, and

    python tests/support/tried.py FILE...

adds up those of several runs in one table; it fails where anything has escaped.
"""

import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tried",
        type=Path,
        default=os.environ.get("PYTEST_TRIED"),
        help="keep the counts in this file (or PYTEST_TRIED)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "tried(what): count this case under this name")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if (mark := item.get_closest_marker("tried")) is not None:
            item.user_properties.append(("tried", mark.args[0]))


def _counts(report: pytest.TestReport) -> tuple[str, int, int] | None:
    said = dict(report.user_properties)
    if "tried" not in said or (report.when != "call" and report.passed):
        return None
    cases = 0 if report.skipped else int(str(said.get("cases", 1)))
    return str(said["tried"]), cases, int(report.failed)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    counts: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            found = isinstance(report, pytest.TestReport) and _counts(report)
            if found:
                what, cases, escaped = found
                counts.setdefault(what, Counter()).update(tried=cases, escaped=escaped)
    file = config.getoption("--tried")
    if file is not None:
        Path(file).write_text(json.dumps(counts))
    if counts:
        terminalreporter.section("what was tried")
    for line in table(counts):
        terminalreporter.line(line)


def table(counts: dict[str, Counter[str]]) -> list[str]:
    """Write what was tried, how much of it, and what escaped."""
    lines = []
    for what in sorted(counts):
        tried, escaped = counts[what]["tried"], counts[what]["escaped"]
        lines.append(f"{what:56} {tried:>7} tried {escaped:>4} escaped")
    return lines


def main(files: list[str]) -> int:
    """Add up several runs; returns the exit code."""
    counts: dict[str, Counter[str]] = {}
    for file in files:
        for what, numbers in json.loads(Path(file).read_text()).items():
            counts.setdefault(what, Counter()).update(numbers)
    total: Counter[str] = sum(counts.values(), Counter())
    lines = [*table(counts), *table({"ALL": total})]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if total["escaped"] or not total["tried"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
