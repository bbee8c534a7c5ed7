"""Cumulative snapshots turned into what a receiver has not accepted yet.

Only this arithmetic lives here. The rule: an observation is offered again and again until a
request that holds it is accepted, then never more. Whatever interrupts (a refused request, a
restart of the service, a series that ends while the receiver is away), the sum of the accepted
deltas is the cumulative value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from otelauto.export._merge import Point, added, family
from otelauto.model import (
    Attributes,
    HistogramPoint,
    Metric,
    MetricFamily,
    NumberPoint,
    ResourceMetrics,
    Snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Delta"]

_Key: TypeAlias = "tuple[Attributes, bool, Metric, Attributes]"

#: Series that ended before their last observations were accepted; the oldest are given up first.
_ENDED_MAX = 20_000


@dataclass(slots=True)
class _Series:
    """One series: its last cumulative point, and how much of it was accepted."""

    now: Point
    since_unix_nano: int
    accepted: Point | None = None
    carried: Point | None = None  # owed by earlier lives of the series, before it was reset

    def owed(self) -> Point:
        point = self.now if self.accepted is None else _difference(self.now, self.accepted)
        if self.carried is not None:
            point = added(point, self.carried)
        return replace(point, start_unix_nano=self.since_unix_nano)


class Delta:
    """The state between a cumulative source and one receiver of deltas.

    Args:
        kinds: the kinds of metric ("counter", "histogram") that become deltas; the others pass
            through unchanged.
        ended_max: how many ended series may wait for a receiver that is away.
    """

    def __init__(self, kinds: frozenset[str], *, ended_max: int = _ENDED_MAX) -> None:
        self._kinds = kinds
        self._ended_max = ended_max
        self._series: dict[_Key, _Series] = {}
        self._live: set[_Key] = set()
        #: Points given up because too many series ended while the receiver was away.
        self.dropped_points = 0

    def take(self, snapshot: Snapshot) -> Snapshot:
        """What is owed at this snapshot; points without any observation are left out."""
        self._live = set()
        for resource in snapshot.resources:
            for one in resource.families:
                if one.metric.kind in self._kinds:
                    for point in one.points:
                        self._update(_key(resource, one, point), point)
        self._forget_ended()
        groups: dict[tuple[Attributes, bool], dict[Metric, list[Point]]] = {}
        for resource in snapshot.resources:
            metrics = groups.setdefault((resource.resource, resource.internal), {})
            for one in resource.families:
                if one.metric.kind not in self._kinds:
                    metrics.setdefault(one.metric, []).extend(one.points)
        for (attributes, internal, metric, _), series in self._series.items():
            owed = series.owed()
            if _holds(owed):
                groups.setdefault((attributes, internal), {}).setdefault(metric, []).append(owed)
        return Snapshot(
            snapshot.time_unix_nano,
            tuple(
                ResourceMetrics(
                    attributes,
                    tuple(family(metric, points) for metric, points in metrics.items() if points),
                    internal,
                )
                for (attributes, internal), metrics in groups.items()
            ),
        )

    def accept(self, batch: Snapshot) -> None:
        """The receiver has these points of the last take()."""
        for key in self._keys(batch):
            series = self._series.get(key)
            if series is None:
                continue
            if key not in self._live:
                del self._series[key]
                continue
            series.accepted = series.now
            series.carried = None
            series.since_unix_nano = batch.time_unix_nano

    def _keys(self, batch: Snapshot) -> Iterator[_Key]:
        for resource in batch.resources:
            for one in resource.families:
                if one.metric.kind in self._kinds:
                    for point in one.points:
                        yield _key(resource, one, point)

    def _update(self, key: _Key, point: Point) -> None:
        self._live.add(key)
        series = self._series.get(key)
        if series is None:
            self._series[key] = _Series(point, point.start_unix_nano)
            return
        if _restarted(series.now, point):
            owed = series.owed()
            series.carried = owed if _holds(owed) else None
            series.accepted = None
            if series.carried is None:
                series.since_unix_nano = point.start_unix_nano
        series.now = point

    def _forget_ended(self) -> None:
        ended = [key for key in self._series if key not in self._live]
        owing = [key for key in ended if _holds(self._series[key].owed())]
        surplus = owing[: max(0, len(owing) - self._ended_max)]
        self.dropped_points += len(surplus)
        for key in {*ended} - {*owing} | {*surplus}:
            del self._series[key]


def _key(resource: ResourceMetrics, one: MetricFamily, point: Point) -> _Key:
    return (resource.resource, resource.internal, one.metric, point.attributes)


def _restarted(before: Point, now: Point) -> bool:
    if before.start_unix_nano != now.start_unix_nano:
        return True
    if isinstance(before, HistogramPoint) and isinstance(now, HistogramPoint):
        return before.bounds != now.bounds or any(
            a > b for a, b in zip(before.counts, now.counts, strict=True)
        )
    if isinstance(before, NumberPoint) and isinstance(now, NumberPoint):
        return before.value > now.value
    return True


def _difference(now: Point, accepted: Point) -> Point:
    if isinstance(now, HistogramPoint) and isinstance(accepted, HistogramPoint):
        counts = zip(now.counts, accepted.counts, strict=True)
        return replace(
            now,
            sum=now.sum - accepted.sum,
            counts=tuple(a - b for a, b in counts),
            fine=(),
        )
    if isinstance(now, NumberPoint) and isinstance(accepted, NumberPoint):
        return replace(now, value=now.value - accepted.value)
    raise TypeError("a histogram and a number cannot be subtracted")


def _holds(point: Point) -> bool:
    return any(point.counts) if isinstance(point, HistogramPoint) else bool(point.value)
