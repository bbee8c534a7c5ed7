"""From snapshots of the kernel's aggregate to cumulative series.

The kernel's numbers only grow, modulo 2^32 or 2^64; here they become totals that never wrap, that
outlive the kernel's entry, and of which the shards are added up. Only counting lives here: the
caller reads the maps and knows the routes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import sub
from typing import TYPE_CHECKING, Final

from otelauto.abi import _layout as abi
from otelauto.metrics import catalog
from otelauto.metrics.fine import FINE_BOUNDS_SECONDS
from otelauto.model import HistogramPoint, MetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otelauto.metrics.series import SeriesKey
    from otelauto.model import Metric

__all__ = ["Aggregate", "Bounds"]

_U32: Final = (1 << 32) - 1
_U64: Final = (1 << 64) - 1
_SLICES: Final = abi.RED_VALUE_SLICES
_MEMBERS: Final = _SLICES["fine"].stop
#: Sums come first in struct red_value and are 64 bits wide, counts are 32 bits wide.
_SUMS: Final = _SLICES["duration"].start
_SIDES: Final[Mapping[int, tuple[Metric, Metric, Metric]]] = {
    abi.Role.SERVER: (
        catalog.HTTP_SERVER_DURATION,
        catalog.HTTP_SERVER_REQUEST_SIZE,
        catalog.HTTP_SERVER_RESPONSE_SIZE,
    ),
    abi.Role.CLIENT: (
        catalog.HTTP_CLIENT_DURATION,
        catalog.HTTP_CLIENT_REQUEST_SIZE,
        catalog.HTTP_CLIENT_RESPONSE_SIZE,
    ),
}
#: Member of the sum and of the counts of each of the three metrics.
_PARTS: Final = (
    (_SLICES["duration_sum_ns"].start, _SLICES["duration"]),
    (_SLICES["request_bytes"].start, _SLICES["request_size"]),
    (_SLICES["response_bytes"].start, _SLICES["response_size"]),
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Upper bounds of the three histograms, as the kernel was built with them."""

    duration_seconds: tuple[float, ...]
    request_bytes: tuple[float, ...]
    response_bytes: tuple[float, ...]


@dataclass(slots=True)
class _Series:
    """The totals of one exported series."""

    key: SeriesKey
    start_unix_nano: int
    totals: list[int] = field(default_factory=lambda: [0] * _MEMBERS)
    points: tuple[HistogramPoint, HistogramPoint, HistogramPoint] | None = None


@dataclass(slots=True)
class _Entry:
    """What is known of one entry of the kernel's aggregate."""

    series: _Series | None  # None: its exchanges are not reported
    raw: bytes
    values: tuple[int, ...]
    idle_reads: int = 0


class Aggregate:
    """The series of all services.

    Not safe to use from several threads at a time.

    Args:
        bounds: see Bounds.
        start_unix_nano: when the probes were attached: the start of the series that are there at
            the first read. A series that appears later starts where the read before it ended.
        fine: whether points carry the fine buckets.
    """

    def __init__(self, bounds: Bounds, *, start_unix_nano: int, fine: bool = False) -> None:
        self._bounds = (bounds.duration_seconds, bounds.request_bytes, bounds.response_bytes)
        self._fine = fine
        self._read_unix_nano = start_unix_nano
        self._entries: dict[bytes, _Entry] = {}
        self._series: dict[SeriesKey, _Series] = {}
        self._dropped_exchanges = 0

    def knows(self, key: bytes) -> bool:
        """Whether an entry has been read before."""
        return key in self._entries

    def read(
        self,
        items: Iterable[tuple[bytes, bytes]],
        *,
        now_unix_nano: int,
        place: Callable[[abi.RedKey], SeriesKey | None],
    ) -> None:
        """Takes in the whole aggregate as it is now.

        Args:
            items: keys and values of the map red.
            now_unix_nano: when they were read.
            place: the series of an entry that was not known; None: it is not reported. What an
                entry was given once it keeps.
        """
        for key, raw in items:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._new_entry(key, place)
            if entry.raw == raw:
                entry.idle_reads += 1
                continue
            values = abi.RED_VALUE.unpack(raw)
            if entry.series is not None:
                _add(entry.series, entry.values, values)
            entry.raw, entry.values, entry.idle_reads = raw, values, 0
        self._read_unix_nano = now_unix_nano

    def idle(self, reads: int) -> list[bytes]:
        """Entries of paths without a route that have not changed for so many reads."""
        return [
            key
            for key, entry in self._entries.items()
            if entry.idle_reads >= reads and key[:8] != _NO_PATH
        ]

    def forget(self, keys: Iterable[bytes]) -> None:
        """Forgets entries that were deleted in the kernel; what they counted stays."""
        for key in keys:
            self._entries.pop(key, None)

    def drop_service(self, service: int) -> list[bytes]:
        """Drops the series of a service. Returns its entries, to be deleted in the kernel."""
        for key in [key for key in self._series if key.service == service]:
            self._dropped_exchanges += _exchanges(self._series.pop(key))
        gone = [
            key for key in self._entries if abi.RedKey(*abi.RED_KEY.unpack(key)).service == service
        ]
        self.forget(gone)
        return gone

    @property
    def exchanges(self) -> int:
        """Exchanges counted with their attributes since the start, in dropped series, too."""
        return self._dropped_exchanges + sum(map(_exchanges, self._series.values()))

    @property
    def entries(self) -> int:
        """Entries of the kernel's aggregate that have counted anything."""
        return sum(1 for entry in self._entries.values() if any(entry.values))

    def families(self) -> dict[int, tuple[MetricFamily, ...]]:
        """Everything that has been counted, by service id."""
        found: dict[int, dict[Metric, list[HistogramPoint]]] = {}
        for key, series in self._series.items():
            if series.points is None:
                series.points = self._points(series)
            if not series.points[0].count:
                continue  # an overflow series that nothing had to go into
            service = found.setdefault(key.service, {})
            for metric, point in zip(_SIDES[key.role], series.points, strict=True):
                service.setdefault(metric, []).append(point)
        return {
            service: tuple(
                MetricFamily(metric, tuple(points)) for metric, points in metrics.items()
            )
            for service, metrics in found.items()
        }

    def _new_entry(self, key: bytes, place: Callable[[abi.RedKey], SeriesKey | None]) -> _Entry:
        found = place(abi.RedKey(*abi.RED_KEY.unpack(key)))
        series = None
        if found is not None:
            series = self._series.get(found)
            if series is None:
                series = self._series[found] = _Series(found, self._read_unix_nano)
        entry = self._entries[key] = _Entry(series, b"", _NOTHING)
        return entry

    def _points(self, series: _Series) -> tuple[HistogramPoint, HistogramPoint, HistogramPoint]:
        made = []
        for number, (bounds, (sum_at, counts)) in enumerate(
            zip(self._bounds, _PARTS, strict=True)
        ):
            duration = number == 0
            total = series.totals[sum_at]
            made.append(
                HistogramPoint(
                    attributes=series.key.attributes,
                    start_unix_nano=series.start_unix_nano,
                    sum=total / 1e9 if duration else float(total),
                    bounds=bounds,
                    counts=tuple(series.totals[counts][: len(bounds) + 1]),
                    fine=self._fine_buckets(series) if duration and self._fine else (),
                )
            )
        return made[0], made[1], made[2]

    def _fine_buckets(self, series: _Series) -> tuple[tuple[float, int], ...]:
        return tuple(zip(FINE_BOUNDS_SECONDS, series.totals[_SLICES["fine"]], strict=True))


_NOTHING: Final = (0,) * _MEMBERS
_NO_PATH: Final = bytes(8)


def _exchanges(series: _Series) -> int:
    return 0 if series.key.is_overflow else sum(series.totals[_SLICES["duration"]])


def _add(series: _Series, before: tuple[int, ...], now: tuple[int, ...]) -> None:
    totals = series.totals
    for index, difference in enumerate(map(sub, now, before)):
        if difference:
            totals[index] += difference & (_U64 if index < _SUMS else _U32)
    series.points = None
