"""The data on the wire is the snapshot, decoded with the official protobufs."""

from __future__ import annotations

import pytest
from tests.receivers import MetricPoint
from tests.unit.export.otlp_rig import RECEIVERS, exporter
from tests.unit.export.samples import START, histogram, resource, service, snapshot

from otelauto.metrics import catalog
from otelauto.model import MetricFamily, NumberPoint, ResourceMetrics


def as_received(one, *, delta=()):
    """The points that a receiver must hold after this snapshot, written without the exporter."""
    expected = []
    for entity in one.resources:
        for family in entity.families:
            metric = family.metric
            temporality = "delta" if metric.kind in delta else "cumulative"
            for point in family.points:
                shared = {
                    "resource": dict(entity.resource),
                    "scope": "otelauto",
                    "name": metric.name,
                    "unit": metric.unit,
                    "description": metric.description,
                    "kind": metric.kind,
                    "temporality": "" if metric.kind == "gauge" else temporality,
                    "attributes": dict(point.attributes),
                    "start_unix_nano": 0 if metric.kind == "gauge" else point.start_unix_nano,
                    "time_unix_nano": one.time_unix_nano,
                }
                if metric.kind == "histogram":
                    expected.append(
                        MetricPoint(
                            **shared,
                            value=point.sum,
                            count=sum(point.counts),
                            counts=point.counts,
                            bounds=point.bounds,
                        )
                    )
                else:
                    expected.append(MetricPoint(**shared, value=point.value))
    return expected


def test_a_receiver_holds_exactly_the_snapshot(protocol, rich):
    with RECEIVERS[protocol]() as receiver:
        assert exporter(receiver, protocol, lambda: rich).export()
        assert as_received(rich) == receiver.all_points()


def test_undecodable_and_huge_values_do_not_cost_the_batch(protocol):
    odd = snapshot(
        service(histogram(method="GET", route='/a"\n\udcff\\'), name="caf\udce9"),
        ResourceMetrics(
            resource(name="agent"),
            (MetricFamily(catalog.RING_EVENTS_LOST, (NumberPoint((), START, 2**64 - 1),)),),
        ),
    )
    with RECEIVERS[protocol]() as receiver:
        assert exporter(receiver, protocol, lambda: odd).export()
        http, counter = receiver.all_points()
    assert (
        http.attributes["http.route"],
        http.resource["service.name"],
    ) == ('/a"\n�\\', "caf�")
    assert counter.value == pytest.approx(2**64)
