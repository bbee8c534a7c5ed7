"""A snapshot as the data classes of the OpenTelemetry SDK.

Only this translation lives here. It expects a merged snapshot: the encoder behind it keeps only
the last of two equal resources.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otelauto.model import HistogramPoint, NumberPoint

if TYPE_CHECKING:
    from otelauto.model import MetricFamily, Snapshot

__all__ = ["metrics_data"]

_SCOPE = "otelauto"
_INT64_MAX = 2**63 - 1


def metrics_data(snapshot: Snapshot, *, delta_kinds: frozenset[str], version: str) -> MetricsData:
    """The snapshot for an OTLP exporter.

    Args:
        snapshot: merged; of the kinds in delta_kinds it holds deltas.
        delta_kinds: kinds of metric whose temporality is delta.
        version: of the instrumentation scope.
    """
    scope = InstrumentationScope(_SCOPE, version)
    return MetricsData(
        [
            ResourceMetrics(
                resource=Resource(dict(resource.resource)),
                scope_metrics=[
                    ScopeMetrics(
                        scope=scope,
                        metrics=[
                            _metric(one, snapshot.time_unix_nano, delta_kinds)
                            for one in resource.families
                        ],
                        schema_url="",
                    )
                ],
                schema_url="",
            )
            for resource in snapshot.resources
        ]
    )


def _metric(one: MetricFamily, time_unix_nano: int, delta_kinds: frozenset[str]) -> Metric:
    kind = one.metric.kind
    temporality = (
        AggregationTemporality.DELTA if kind in delta_kinds else AggregationTemporality.CUMULATIVE
    )
    data: Histogram | Sum | Gauge
    if kind == "histogram":
        data = Histogram(
            [_histogram(p, time_unix_nano) for p in one.points if isinstance(p, HistogramPoint)],
            temporality,
        )
    else:
        points = [_number(p, time_unix_nano) for p in one.points if isinstance(p, NumberPoint)]
        data = Gauge(points) if kind == "gauge" else Sum(points, temporality, kind == "counter")
    return Metric(one.metric.name, one.metric.description, one.metric.unit, data)


def _histogram(point: HistogramPoint, time_unix_nano: int) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=dict(point.attributes),
        start_time_unix_nano=point.start_unix_nano,
        time_unix_nano=time_unix_nano,
        count=point.count,
        sum=point.sum,
        bucket_counts=point.counts,
        explicit_bounds=point.bounds,
        # The kernel keeps no extremes; the encoder leaves absent ones out.
        min=cast("Any", None),
        max=cast("Any", None),
    )


def _number(point: NumberPoint, time_unix_nano: int) -> NumberDataPoint:
    value = point.value
    if isinstance(value, int) and not -_INT64_MAX - 1 <= value <= _INT64_MAX:
        value = float(value)  # an OTLP integer has 64 bits; a larger one would end the batch
    return NumberDataPoint(
        attributes=dict(point.attributes),
        start_time_unix_nano=point.start_unix_nano,
        time_unix_nano=time_unix_nano,
        value=value,
    )
