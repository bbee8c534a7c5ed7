"""Snapshots made fit for the wire: valid text, and no set of attributes twice.

Pure functions on model values only. Every wire format breaks as a whole on one bad point (a lone
surrogate is not UTF-8, a duplicate series fails the scrape, the encoder keeps the last of two
equal resources), so this is done once, before any of them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from otelauto.model import (
    Attributes,
    AttributeValue,
    HistogramPoint,
    Metric,
    MetricFamily,
    NumberPoint,
    ResourceMetrics,
    Snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Point", "added", "batches", "family", "merged", "valid_text"]

Point: TypeAlias = "HistogramPoint | NumberPoint"

_SURROGATE = re.compile("[\ud800-\udfff]")


def valid_text(text: str) -> str:
    """The text with each lone surrogate (an undecodable byte) as U+FFFD, so that it is UTF-8."""
    return text if text.isascii() else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def family(metric: Metric, points: Iterable[Point]) -> MetricFamily:
    """A family of points that all have the type which the metric's kind asks for."""
    # The union of two tuple types is for the readers; a list of points is checked by merged().
    return MetricFamily(metric, tuple(points))  # type: ignore[arg-type]


def merged(snapshot: Snapshot) -> Snapshot:
    """The same observations with valid text, each resource, metric and attribute set once.

    Points with equal attributes are added up, except a gauge's, of which the last one counts. A
    point of a type that its metric cannot hold is left out: it cannot be exported in any format.
    """
    resources: dict[tuple[Attributes, bool], dict[Metric, dict[Attributes, Point]]] = {}
    for resource in snapshot.resources:
        metrics = resources.setdefault((_valid(resource.resource), resource.internal), {})
        for one in resource.families:
            expected = HistogramPoint if one.metric.kind == "histogram" else NumberPoint
            points = metrics.setdefault(one.metric, {})
            for point in one.points:
                if not isinstance(point, expected):
                    continue
                attributes = _valid(point.attributes)
                if attributes is not point.attributes:
                    point = replace(point, attributes=attributes)  # noqa: PLW2901
                known = points.get(attributes)
                if known is not None and one.metric.kind != "gauge":
                    point = added(known, point)  # noqa: PLW2901
                points[attributes] = point
    return Snapshot(
        snapshot.time_unix_nano,
        tuple(
            ResourceMetrics(
                attributes,
                tuple(family(metric, points.values()) for metric, points in metrics.items()),
                internal,
            )
            for (attributes, internal), metrics in resources.items()
        ),
    )


def added(one: Point, other: Point) -> Point:
    """The sum of two points, with the attributes of the first and the earlier start.

    Histograms with different bounds are added over the bounds that both have, which is exact.
    """
    start = min(one.start_unix_nano, other.start_unix_nano)
    if isinstance(one, HistogramPoint) and isinstance(other, HistogramPoint):
        bounds = one.bounds
        if bounds != other.bounds:
            bounds = tuple(sorted(set(one.bounds) & set(other.bounds)))
        counts = zip(_rebinned(one, bounds), _rebinned(other, bounds), strict=True)
        return HistogramPoint(
            attributes=one.attributes,
            start_unix_nano=start,
            sum=one.sum + other.sum,
            bounds=bounds,
            counts=tuple(a + b for a, b in counts),
            fine=_fine_added(one.fine, other.fine),
        )
    if isinstance(one, NumberPoint) and isinstance(other, NumberPoint):
        return NumberPoint(one.attributes, start, one.value + other.value)
    raise TypeError("a histogram and a number cannot be added")


def batches(snapshot: Snapshot, points: int) -> Iterator[Snapshot]:
    """The snapshot in order, cut into snapshots of at most so many points; none if it is empty."""
    resources: list[ResourceMetrics] = []
    room = points
    for resource in snapshot.resources:
        families: list[MetricFamily] = []
        for one in resource.families:
            rest = one.points
            while rest:
                families.append(family(one.metric, rest[:room]))
                taken = min(room, len(rest))
                rest = rest[taken:]
                room -= taken
                if room == 0:
                    resources.append(replace(resource, families=tuple(families)))
                    yield Snapshot(snapshot.time_unix_nano, tuple(resources))
                    resources, families, room = [], [], points
        if families:
            resources.append(replace(resource, families=tuple(families)))
    if resources:
        yield Snapshot(snapshot.time_unix_nano, tuple(resources))


def _valid(attributes: Attributes) -> Attributes:
    for name, value in attributes:
        if not name.isascii() or (isinstance(value, str) and not value.isascii()):
            unique: dict[str, AttributeValue] = {}
            for key, item in attributes:
                unique[valid_text(key)] = valid_text(item) if isinstance(item, str) else item
            cleaned = tuple(sorted(unique.items()))
            return attributes if cleaned == attributes else cleaned
    return attributes


def _rebinned(point: HistogramPoint, bounds: tuple[float, ...]) -> tuple[int, ...]:
    if bounds == point.bounds:
        return point.counts
    counts = [0] * (len(bounds) + 1)
    index = 0
    for position, count in enumerate(point.counts):
        upper = point.bounds[position] if position < len(point.bounds) else float("inf")
        while index < len(bounds) and bounds[index] < upper:
            index += 1
        counts[index] += count
    return tuple(counts)


def _fine_added(
    one: tuple[tuple[float, int], ...], other: tuple[tuple[float, int], ...]
) -> tuple[tuple[float, int], ...]:
    if not one or not other:
        # Half of the observations cannot stand for all of them.
        return ()
    counts = dict(one)
    for bound, count in other:
        counts[bound] = counts.get(bound, 0) + count
    return tuple(sorted(counts.items()))
