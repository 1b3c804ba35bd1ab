"""The worlds' own options, and the table of the kinds of trouble that they met."""

import json

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("simulated worlds")
    group.addoption("--worlds", type=int, default=100, help="worlds to try")
    group.addoption("--world", type=int, default=None, help="one world, by its seed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    met: dict[str, list[int]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            said = dict(getattr(report, "user_properties", ()))
            if getattr(report, "when", None) != "call" or "met" not in said:
                continue
            for kind, (worlds, escaped) in json.loads(said["met"]).items():
                row = met.setdefault(kind, [0, 0])
                row[0] += worlds
                row[1] += escaped
    if met:
        terminalreporter.section("what the worlds met")
    for kind, (worlds, escaped) in sorted(met.items()):
        terminalreporter.line(f"{kind:56} {worlds:>7} worlds {escaped:>3} escaped")
