"""What runs of the same application in several ways amount to: arithmetic, table, chart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.bench.measure import median

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Row", "Run", "chart", "rows", "table"]

BASE = "bare"
_HEAD = ("way", "requests/s", "CPU us/request", "added us", "PSS MB", "p50 us", "p99 us")
_BAR_WIDTH, _LINE_HEIGHT, _LEFT = 360, 34, 190


@dataclass(frozen=True, slots=True)
class Run:
    """One run under load.

    Attributes:
        cpu_seconds: of the application and what observes it, during the load.
        pss_bytes: of the same processes, after it.
    """

    way: str
    finished: int
    seconds: float
    cpu_seconds: float
    pss_bytes: int
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class Row:
    """The medians of a way's runs; added_us is the CPU per request over the bare application's."""

    way: str
    rate: float
    cpu_us: float
    added_us: float
    pss_mb: float
    p50_us: float
    p99_us: float


def rows(runs: Iterable[Run]) -> list[Row]:
    """One for each way, in the order of appearance.

    Raises:
        ValueError: there is no run of the bare application.
    """
    ways: dict[str, list[Run]] = {}
    for run in runs:
        ways.setdefault(run.way, []).append(run)
    base = _cpu_us(ways.get(BASE, []))
    return [
        Row(
            way=way,
            rate=median(run.finished / run.seconds for run in group),
            cpu_us=_cpu_us(group),
            added_us=_cpu_us(group) - base,
            pss_mb=median(run.pss_bytes for run in group) / 1e6,
            p50_us=median(run.p50_us for run in group),
            p99_us=median(run.p99_us for run in group),
        )
        for way, group in ways.items()
    ]


def _cpu_us(group: list[Run]) -> float:
    return median(run.cpu_seconds / run.finished * 1e6 for run in group)


def table(found: Iterable[Row]) -> str:
    """As Markdown."""
    lines = [_HEAD, ("---", *["---:"] * (len(_HEAD) - 1))]
    for row in found:
        values = (row.rate, row.cpu_us, row.added_us)
        shown = (f"{value:.0f}" for value in values)
        lines.append(
            (row.way, *shown, f"{row.pss_mb:.1f}", f"{row.p50_us:.0f}", f"{row.p99_us:.0f}")
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def chart(found: Iterable[Row]) -> str:
    """The CPU per request as bars, in SVG."""
    bars = list(found)
    longest = max(row.cpu_us for row in bars)
    height = _LINE_HEIGHT * (len(bars) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 {height}" font-size="13">',
        f'<rect width="640" height="{height}" fill="#fff"/>',
        '<text x="8" y="20">CPU per request, microseconds (less is better)</text>',
    ]
    for number, row in enumerate(bars, start=1):
        top, width = number * _LINE_HEIGHT, _BAR_WIDTH * row.cpu_us / longest
        parts += [
            f'<text x="8" y="{top + 16}">{escape(row.way)}</text>',
            f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="22" fill="#4a7ab5"/>',
            f'<text x="{_LEFT + width + 6:.1f}" y="{top + 16}">{row.cpu_us:.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
