"""What the benchmarks share in what they say: options, a table, JSON, a plot."""

import argparse
import json
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import attrs

Figures = Mapping[str, Mapping[str, float]]


@attrs.frozen(kw_only=True)
class Line:
    """
    Hold one claim: what was found beside its bar.

    Attributes:
        claim: In words, with the unit.
        found: The figure; None where a peer is not installed.
        most: The bar, where less is better.
        least: The bar, where more is better.
    """

    claim: str
    found: float | None
    most: float | None = None
    least: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the bar is met; None where there is no figure or no bar."""
        if self.found is None or (self.most is None and self.least is None):
            return None
        low = float("-inf") if self.least is None else self.least
        high = float("inf") if self.most is None else self.most
        return low <= self.found <= high

    def text(self, *, judged: bool) -> str:
        """Write it as a row of the table."""
        found = "-" if self.found is None else f"{self.found:.3g}"
        if self.found is not None and abs(self.found) >= 1000:
            found = f"{self.found:.0f}"
        bar = f"<= {self.most:g}" if self.most is not None else ""
        bar = f">= {self.least:g}" if self.least is not None else bar
        holds = self.holds if judged else None
        verdict = {True: "holds", False: "MISSED", None: ""}[holds]
        return f"{self.claim:64} {found:>8} {bar:>8} {verdict}".rstrip()


def options(description: str | None) -> argparse.ArgumentParser:
    """Make the parser every benchmark starts from."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="only whether it works, in seconds"
    )
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--svg", type=Path, help="draw the first figures here")
    return parser


def report(
    asked: argparse.Namespace, lines: Sequence[Line], figures: Figures, unit: str
) -> int:
    """
    Print the ratios, then what they were made of; returns the exit status.

    A quick run measures nothing worth a verdict, so it misses no bar.
    """
    print(f"{'claim':64} {'found':>8} {'bar':>8}")
    for line in lines:
        print(line.text(judged=not asked.quick))
    print()
    for name, values in figures.items():
        told = ", ".join(f"{what} {value:.4g}" for what, value in values.items())
        print(f"  {name:40} {told}")
    if asked.json:
        claims = [attrs.asdict(line) | {"holds": line.holds} for line in lines]
        found = {"claims": claims, "figures": figures, "quick": asked.quick}
        asked.json.write_text(json.dumps(found, indent=1))
    if asked.svg:
        shown = {name: next(iter(values.values())) for name, values in figures.items()}
        asked.svg.write_text(bars(shown, unit))
    return 0 if asked.quick else int(any(line.holds is False for line in lines))


def bars(values: Mapping[str, float], unit: str) -> str:
    """Draw one horizontal bar for each value."""
    row, left, width = 26, 250, 430
    most = max(values.values(), default=1.0) or 1.0
    size = f'width="{left + width + 90}" height="{row * (len(values) + 1)}"'
    font = 'font-family="sans-serif" font-size="13"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>',
        f'<text x="{left}" y="17">{escape(unit)}</text>',
    ]
    for index, (name, value) in enumerate(values.items(), start=1):
        top, long = row * index, width * value / most
        bar = f'width="{long:.1f}" height="18" fill="#4a7ab0"'
        at = f'x="{left - 8}" y="{top + 15}" text-anchor="end"'
        parts += [
            f"<text {at}>{escape(name)}</text>",
            f'<rect x="{left}" y="{top + 2}" {bar}/>',
            f'<text x="{left + long + 6:.1f}" y="{top + 15}">{value:.3g}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def pairs(values: Mapping[str, tuple[float, float]], told: str) -> str:
    """Draw two thin bars for each name, ours above; both are shares of 1."""
    row, left, width = 30, 250, 430
    size = f'width="{left + width + 90}" height="{row * (len(values) + 1)}"'
    font = 'font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>',
        f'<text x="{left}" y="17">{escape(told)}</text>',
    ]
    for index, (name, both) in enumerate(values.items(), start=1):
        top = row * index
        at = f'x="{left - 8}" y="{top + 16}" text-anchor="end"'
        parts.append(f"<text {at}>{escape(name)}</text>")
        for value, down, colour in zip(
            both, (2, 13), ("#4a7ab0", "#c9a14a"), strict=True
        ):
            long = width * value
            bar = f'width="{long:.1f}" height="10" fill="{colour}"'
            parts += [
                f'<rect x="{left}" y="{top + down}" {bar}/>',
                f'<text x="{left + long + 6:.1f}" y="{top + down + 9}">',
                f"{value:.2f}</text>",
            ]
    return "\n".join([*parts, "</svg>", ""])


def raise_open_files() -> int:
    """Raise the soft limit on open files to the hard one; returns what it is then."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 2**20
