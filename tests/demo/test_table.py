"""The table of the demonstration shows what lies between two moments."""

from __future__ import annotations

import math

from tests.demo.table import BASE, quantile, render, rows
from tests.servers.agent import Sample


def page(status, count, *, error="", buckets=()):
    labels = {"job": "shop/web", "http_request_method": "GET", "http_route": "/products/{id}"}
    if status:
        labels["http_response_status_code"] = status
    if error:
        labels["error_type"] = error
    samples = [Sample(f"{BASE}_count", labels, count)]
    return samples + [Sample(f"{BASE}_bucket", {**labels, "le": le}, v) for le, v in buckets]


def test_only_the_difference_counts():
    before = page("200", 10, buckets=[("0.1", 10), ("+Inf", 10)])
    after = page("200", 40, buckets=[("0.1", 40), ("+Inf", 40)])
    (row,) = rows(before, after)
    assert ("web", "GET /products/{id}", "2xx", 30) == (
        row.service, row.route, row.status, row.requests
    )  # fmt: skip
    assert {0.1: 30, math.inf: 30} == row.buckets


def test_statuses_fall_into_classes_and_errors_are_a_share():
    after = page("503", 5, error="503") + page("500", 5, error="500") + page("404", 10)
    classes = {row.status: (row.requests, row.errors) for row in rows([], after)}
    assert {"5xx": (10, 10), "4xx": (10, 0)} == classes


def test_an_exchange_without_a_response_has_no_class():
    (row,) = rows([], page("", 2, error="connection_closed"))
    assert ("none", 2) == (row.status, row.errors)


def test_what_did_not_happen_is_not_shown():
    assert [] == rows(page("200", 10), page("200", 10))


def test_quantiles_interpolate_as_prometheus_does():
    buckets = {0.1: 50, 0.2: 100, math.inf: 100}
    assert math.isclose(0.1, quantile(buckets, 0.5))
    assert math.isclose(0.15, quantile(buckets, 0.75))
    assert math.isclose(0.2, quantile({0.2: 0, math.inf: 5}, 0.99)), "the last finite bound"
    assert math.isnan(quantile({}, 0.5))


def test_the_table_has_a_line_for_each_row_with_rates_per_second():
    text = render(rows([], page("200", 30, buckets=[("0.1", 30), ("+Inf", 30)])), 10)
    head, _, line = text.splitlines()
    assert ["service", "route", "status", "req/s"] == head.split()[:4]
    assert ["web", "GET", "/products/{id}", "2xx", "3.0", "0.0", "50.0"] == line.split()[:7]
