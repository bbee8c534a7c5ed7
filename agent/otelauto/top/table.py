"""From tallies to lines: figures, order, choice, text and JSON.

Pure functions.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from otelauto.export.lines import columns, duration_text
from otelauto.top.page import Key, Tally, histogram_quantile, since

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["SORTS", "Line", "as_json", "as_text", "by_service", "chosen", "lines", "sparkline"]

#: What can be sorted by, the largest first (names: from a to z).
SORTS: Final = ("rate", "requests", "errors", "p50", "p95", "p99", "service", "route")
_HEADINGS: Final = (
    "SERVICE", "DIR", "METHOD", "ROUTE", "REQ/S", "ERR%", "P50", "P95", "P99", "RATE"
)  # fmt: skip
_RIGHT: Final = frozenset({"REQ/S", "ERR%", "P50", "P95", "P99"})
_BARS: Final = "▁▂▃▄▅▆▇█"
_BOLD, _RED, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of one route, or of one service.

    Attributes:
        requests: of the time that all figures but the rates are about.
        errors: those of them that failed, by the semantic conventions.
        rate: requests per second.
        rates: earlier ones, the latest last.
        p50_seconds: None without requests, as the others.
    """

    service: str
    side: str
    method: str
    route: str
    requests: int
    errors: int
    rate: float
    p50_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None
    rates: tuple[float, ...] = ()


def by_service(page: Mapping[Key, Tally]) -> dict[Key, Tally]:
    """The same with all routes of a service and side as one."""
    found: dict[Key, Tally] = {}
    for key, tally in page.items():
        whole = found.setdefault(Key(key.service, key.side), Tally())
        whole.requests += tally.requests
        whole.errors += tally.errors
        for bound, count in tally.buckets.items():
            whole.buckets[bound] = whole.buckets.get(bound, 0) + count
    return found


def lines(
    before: Mapping[Key, Tally],
    now: Mapping[Key, Tally],
    *,
    seconds: float,
    whole: bool = False,
    history: Mapping[Key, Sequence[float]] | None = None,
) -> dict[Key, Line]:
    """The figures of each route on the later page.

    Args:
        before: the earlier page.
        now: the later one.
        seconds: between them.
        whole: all figures but the rate are since the series began.
        history: earlier rates.
    """
    found = {}
    for key, total in now.items():
        # A series that is new began after the earlier page.
        recent = since(before.get(key), total)
        tally = total if whole else recent
        rate = recent.requests / seconds
        found[key] = Line(
            key.service,
            key.side,
            key.method,
            key.where,
            tally.requests,
            tally.errors,
            rate,
            histogram_quantile(0.5, tally.buckets),
            histogram_quantile(0.95, tally.buckets),
            histogram_quantile(0.99, tally.buckets),
            (*(history or {}).get(key, ()), rate),
        )
    return found


def chosen(found: Iterable[Line], *, sort: str, wanted: str = "") -> list[Line]:
    """Those with the text in service, method or route, in order."""
    text = wanted.casefold()
    kept = [
        line for line in found if text in f"{line.service} {line.method} {line.route}".casefold()
    ]
    kept.sort(key=lambda line: (line.service, line.side, line.route, line.method))
    if sort == "route":
        kept.sort(key=lambda line: line.route)
    elif sort != "service":
        kept.sort(key=lambda line: _measure(line, sort), reverse=True)
    return kept


def sparkline(rates: Sequence[float]) -> str:
    """A bar for each rate, the largest as high as a line."""
    most = max(rates, default=0)
    return "".join(_BARS[round(rate / most * (len(_BARS) - 1)) if most else 0] for rate in rates)


def as_json(found: Iterable[Line]) -> str:
    """A list with an object for each line."""
    rows = [
        {key: value for key, value in asdict(line).items() if key != "rates"} for line in found
    ]
    return json.dumps(rows, indent=2) + "\n"


def as_text(found: Sequence[Line], *, width: int = 0, limit: int = 0, colour: bool = False) -> str:
    """The lines below their headings; red where there are errors."""
    shown = found[:limit] if limit else found
    head, *rest = columns(
        [_HEADINGS, *(_cells(line) for line in shown)],
        right=_RIGHT,
        flexible="ROUTE",
        width=width,
    )
    if colour:
        head = f"{_BOLD}{head}{_PLAIN}"
        rest = [
            f"{_RED}{text}{_PLAIN}" if line.errors else text
            for text, line in zip(rest, shown, strict=True)
        ]
    if not shown:
        rest.append("(no requests yet)")
    if len(found) > len(shown):
        rest.append(f"... and {len(found) - len(shown)} more")
    return "\n".join([head, *rest]) + "\n"


def _measure(line: Line, sort: str) -> float:
    value: float | None = getattr(line, f"{sort}_seconds" if sort[0] == "p" else sort)
    return -1 if value is None else value


def _cells(line: Line) -> tuple[str, ...]:
    share = 100 * line.errors / line.requests if line.requests else 0
    return (
        line.service,
        line.side,
        line.method,
        line.route,
        f"{line.rate:.1f}",
        f"{share:.1f}",
        duration_text(line.p50_seconds),
        duration_text(line.p95_seconds),
        duration_text(line.p99_seconds),
        sparkline(line.rates),
    )
