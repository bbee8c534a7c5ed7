"""Snapshots that the exporters' tests share, written in a few words."""

from __future__ import annotations

from otelauto.metrics import catalog
from otelauto.model import (
    HistogramPoint,
    MetricFamily,
    ResourceMetrics,
    Snapshot,
    sorted_attributes,
)

START = 1_700_000_000_000_000_000
NOW = START + 60_000_000_000
BOUNDS = (0.0, 0.005, 0.01, 0.1, 1.0)


def histogram(counts=(0, 3, 2, 1, 0, 1), *, total=2.5, start=START, bounds=BOUNDS, **attributes):
    """A point; attribute names are written with "_" for "."."""
    return HistogramPoint(
        attributes=named(attributes),
        start_unix_nano=start,
        sum=total,
        bounds=bounds,
        counts=tuple(counts),
    )


def named(attributes):
    names = {
        "method": "http.request.method",
        "status": "http.response.status_code",
        "route": "http.route",
        "port": "server.port",
        "outcome": "otelauto.outcome",
    }
    return sorted_attributes((names.get(key, key), value) for key, value in attributes.items())


def resource(name="shop", *, namespace="prod", instance="host-1/shop.service", **more):
    fields = {
        "service.name": name,
        "service.namespace": namespace,
        "service.instance.id": instance,
        "host.name": "host-1",
        **more,
    }
    return sorted_attributes((key, value) for key, value in fields.items() if value != "")


def service(*points, metric=catalog.HTTP_SERVER_DURATION, **identity):
    return ResourceMetrics(resource(**identity), (MetricFamily(metric, tuple(points)),))


def snapshot(*resources, at=NOW):
    return Snapshot(at, tuple(resources))
