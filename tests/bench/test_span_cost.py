"""The benchmark of spans exports what it charges for."""

from __future__ import annotations

from tests.bench.span_cost import span_cost_microseconds


def test_every_span_arrives_and_costs_something():
    assert span_cost_microseconds(3000) > 0
