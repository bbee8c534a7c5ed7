"""What happened between two snapshots, as a table for people or as JSON lines for programs.

Rows are values (``rows``), their text is a pure function (``table``, ``json_lines``), and
LinePrinter is the loop that writes it, for ``print_traces``, ``trace_printer`` and the
demonstration.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, TextIO

from otelauto.export._merge import added, merged, valid_text
from otelauto.metrics import catalog
from otelauto.metrics.quantiles import buckets_of, quantile
from otelauto.model import HistogramPoint

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Mapping, Sequence

    from otelauto.model import Attributes, AttributeValue, Collect, Snapshot

__all__ = [
    "LinePrinter", "Row", "columns", "duration_text", "json_lines", "rows", "status_class",
    "table",
]  # fmt: skip

_SIDES = {catalog.HTTP_SERVER_DURATION.name: "in", catalog.HTTP_CLIENT_DURATION.name: "out"}
_HEADINGS = (
    "SERVICE", "DIR", "METHOD", "ROUTE", "STATUS", "REQ/S", "ERR%", "P50", "P95", "P99"
)  # fmt: skip
_FLEXIBLE_MIN_CHARACTERS = 12
_RIGHT = frozenset({"REQ/S", "ERR%", "P50", "P95", "P99"})


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        side: "in" for requests served, "out" for requests made.
        status: class of the status, such as "2xx"; else the error type.
        requests: in the time between the snapshots.
        rate: requests per second.
        error_share: 0 to 1, of all requests of the same service, side, method and route. Errors
            are those of the semantic conventions: 5xx, for clients also 4xx, and no answer.
        p50_seconds: None without requests, as the others.
    """

    service: str
    side: str
    method: str
    route: str
    status: str
    requests: int
    rate: float
    error_share: float
    p50_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None


@dataclass(slots=True)
class _Route:
    """What the rows of one route share."""

    requests: int = 0
    errors: int = 0
    groups: dict[str, HistogramPoint] = field(default_factory=dict)


def rows(before: Snapshot | None, after: Snapshot) -> tuple[Row, ...]:
    """The rows with requests between two snapshots, the busiest first.

    Args:
        before: None: everything since the series began.
        after: the later one.
    """
    old = {} if before is None else _points(before)
    routes: dict[tuple[str, str, str, str], _Route] = {}
    starts: list[int] = []
    for (resource, side, attributes), now in _points(after).items():
        point = _since(old.get((resource, side, attributes)), now)
        if not point.count:
            continue
        starts.append(now.start_unix_nano)
        fields = dict(attributes)
        status, failed = status_class(fields, side)
        key = (
            _service(resource),
            side,
            str(fields.get("http.request.method", "")),
            _where(fields),
        )
        route = routes.setdefault(key, _Route())
        route.requests += point.count
        route.errors += point.count if failed else 0
        known = route.groups.get(status)
        if known is None:
            route.groups[status] = point
        else:
            total = added(known, point)
            assert isinstance(total, HistogramPoint)  # noqa: S101 - both are
            route.groups[status] = total
    begin = before.time_unix_nano if before is not None else min(starts, default=0)
    seconds = max((after.time_unix_nano - begin) / 1e9, 1e-9)
    found = [
        _row(key, status, point, route=route, seconds=seconds)
        for key, route in routes.items()
        for status, point in route.groups.items()
    ]
    return tuple(sorted(found, key=lambda row: (-row.requests, row.service, row.route)))


def table(found: Sequence[Row], *, width: int = 0, limit: int = 0) -> str:
    """The rows as lines of plain text, the headings first.

    Text from the wire is stripped of whatever a terminal would obey.

    Args:
        found: the rows, in the order to print.
        width: cut routes so that lines fit; 0: do not.
        limit: at most so many rows, and a line that says how many there are more; 0: all.
    """
    shown = found[:limit] if limit else found
    lines = columns(
        [_HEADINGS, *(_cells(row) for row in shown)], right=_RIGHT, flexible="ROUTE", width=width
    )
    if not shown:
        lines.append("(no requests yet)")
    if len(found) > len(shown):
        lines.append(f"... and {len(found) - len(shown)} more")
    return "\n".join(lines) + "\n"


def columns(
    lines: Sequence[Sequence[str]], *, right: Collection[str], flexible: str, width: int = 0
) -> list[str]:
    """Lines of text with their cells below each other, fit for a terminal.

    Args:
        lines: the headings first.
        right: headings of the columns that are flush right.
        flexible: heading of the column that is cut so that lines fit.
        width: characters of a line; 0: do not cut.
    """
    cells = [[_printable(one) for one in line] for line in lines]
    headings = cells[0]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    if width:
        surplus = sum(widths) + 2 * (len(widths) - 1) - width
        place = headings.index(flexible)
        widths[place] = max(_FLEXIBLE_MIN_CHARACTERS, widths[place] - max(0, surplus))
    return [
        "  ".join(
            _cut(cell, room).rjust(room) if heading in right else _cut(cell, room).ljust(room)
            for cell, room, heading in zip(line, widths, headings, strict=True)
        ).rstrip()
        for line in cells
    ]


def json_lines(found: Sequence[Row], *, time_unix_nano: int) -> str:
    """Each row as a JSON object on a line of its own, with the end of its interval."""
    moment = time_unix_nano / 1e9
    return "".join(
        json.dumps({"time_unix_seconds": moment, **asdict(row)}) + "\n" for row in found
    )


class LinePrinter:
    """Writes what happened again and again.

    Args:
        collect: gives the snapshots.
        stream: where to; a terminal is cleared before each table.
        interval_seconds: between two tables.
        limit: rows at most; 0: all, or as many as the terminal has lines.
        as_json: JSON lines instead of tables, with all rows.
    """

    def __init__(
        self,
        collect: Collect,
        stream: TextIO,
        *,
        interval_seconds: float = 2.0,
        limit: int = 0,
        as_json: bool = False,
    ) -> None:
        self._collect = collect
        self._stream = stream
        self._interval_seconds = interval_seconds
        self._limit = limit
        self._as_json = as_json
        self._before: Snapshot | None = None

    def print_once(self) -> None:
        """What happened since the last time, or since the series began."""
        self._write(self._text())

    def run(
        self, stop: threading.Event, failed: Callable[[Exception], None] | None = None
    ) -> bool:
        """Print at each interval, and a last time when stop is set, so that nothing is left out.

        Args:
            stop: set by whoever wants the end.
            failed: told of a collection that failed; the next may not.

        Returns:
            False if it ended because nothing more can be written: nobody reads, or a disk is full.
        """
        stopped = False
        while not stopped:
            stopped = stop.wait(self._interval_seconds)
            try:
                text = self._text()
            except Exception as error:  # noqa: BLE001 - the thread must outlive a failed collect
                if failed is not None:
                    failed(error)
                continue
            try:
                self._write(text)
            except (OSError, ValueError):  # closed at the other end, or at this one
                return False
        return True

    def _text(self) -> str:
        after = merged(self._collect())
        found, self._before = rows(self._before, after), after
        if self._as_json:
            return json_lines(found, time_unix_nano=after.time_unix_nano)
        return self._table(found)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _table(self, found: Sequence[Row]) -> str:
        terminal = self._stream.isatty()
        size = shutil.get_terminal_size() if terminal else None
        limit = self._limit or (max(3, size.lines - 4) if size else 0)
        text = table(found, width=size.columns if size else 0, limit=limit)
        return f"\x1b[H\x1b[J{text}" if terminal else f"{text}\n"


def _points(
    snapshot: Snapshot,
) -> dict[tuple[Attributes, str, Attributes], HistogramPoint]:
    return {
        (resource.resource, side, point.attributes): point
        for resource in snapshot.resources
        for one in resource.families
        if (side := _SIDES.get(one.metric.name)) is not None
        for point in one.points
        if isinstance(point, HistogramPoint)
    }


def _since(before: HistogramPoint | None, now: HistogramPoint) -> HistogramPoint:
    if (
        before is None
        or before.start_unix_nano != now.start_unix_nano
        or before.bounds != now.bounds
        or before.count > now.count
    ):
        return now
    fine = dict(before.fine)
    return replace(
        now,
        sum=now.sum - before.sum,
        counts=tuple(b - a for a, b in zip(before.counts, now.counts, strict=True)),
        fine=tuple((bound, count - fine.get(bound, 0)) for bound, count in now.fine),
    )


def status_class(fields: Mapping[str, AttributeValue], side: str) -> tuple[str, bool]:
    """Class of the status, such as "2xx", else the error type; and whether it is an error."""
    code = fields.get("http.response.status_code")
    failure = fields.get("error.type")
    if not isinstance(code, int) or code <= 0:
        return (str(failure) if failure else "none"), True
    broken = failure is not None and str(failure) != str(code)
    return f"{code // 100}xx", broken or code >= (500 if side == "in" else 400)


def _service(resource: Attributes) -> str:
    fields = dict(resource)
    namespace, name = fields.get("service.namespace"), fields.get("service.name", "")
    return f"{namespace}/{name}" if namespace else str(name)


def _where(fields: dict[str, AttributeValue]) -> str:
    address, port = fields.get("server.address"), fields.get("server.port")
    peer = "" if address is None else f"{address}:{port}" if port is not None else str(address)
    return f"{peer}{fields.get('http.route', '' if peer else '-')}"


def _row(
    key: tuple[str, str, str, str],
    status: str,
    point: HistogramPoint,
    *,
    route: _Route,
    seconds: float,
) -> Row:
    service, side, method, where = key
    buckets = buckets_of(point)
    return Row(
        service=service,
        side=side,
        method=method,
        route=where,
        status=status,
        requests=point.count,
        rate=point.count / seconds,
        error_share=route.errors / route.requests,
        p50_seconds=quantile(buckets, 0.5),
        p95_seconds=quantile(buckets, 0.95),
        p99_seconds=quantile(buckets, 0.99),
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.service,
        row.side,
        row.method,
        row.route,
        row.status,
        f"{row.rate:.1f}",
        f"{100 * row.error_share:.1f}",
        duration_text(row.p50_seconds),
        duration_text(row.p95_seconds),
        duration_text(row.p99_seconds),
    )


def duration_text(seconds: float | None) -> str:
    """With three digits and its unit; "-" for None."""
    if seconds is None:
        return "-"
    for unit, factor in (("us", 1e6), ("ms", 1e3)):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in valid_text(text))


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}~"
