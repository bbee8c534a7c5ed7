"""OpenTelemetry names in Prometheus' spelling, by the compatibility specification."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.export._prometheus_names import (
    LABEL_VALUE_MAX_BYTES,
    identity_labels,
    information_labels,
    label_value,
    labels,
    metric_name,
    unit_name,
)
from otelauto.metrics import catalog
from otelauto.model import Metric, sorted_attributes


def metric(name, kind="gauge", unit="1"):
    return Metric(name, kind, unit, "Help.")


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (catalog.HTTP_SERVER_DURATION, "http_server_request_duration_seconds"),
        (catalog.HTTP_CLIENT_RESPONSE_SIZE, "http_client_response_body_size_bytes"),
        (catalog.BUILD_INFO, "otelauto_build_info"),
        (catalog.TARGETS, "otelauto_targets"),
        (catalog.EXPORT_LAST_SUCCESS, "otelauto_export_last_success_timestamp_seconds"),
        (catalog.CPU_TIME, "otelauto_cpu_time_seconds"),
        (metric("cpu.use"), "cpu_use_ratio"),
        (metric("requests", "counter"), "requests"),
        (metric("requests.total", "counter"), "requests"),
        (metric("io", unit="By/s"), "io_bytes_per_second"),
        (metric("time.seconds", unit="s"), "time_seconds"),
        (metric("2xx", unit="{x}"), "_2xx"),
        (metric("a--b..c", unit="{x}"), "a_b_c"),
        (metric("odd", unit="widgets"), "odd_widgets"),
    ],
    ids=lambda one: one.name if isinstance(one, Metric) else one,
)
def test_names(one, name):
    assert metric_name(one) == name


def test_names_in_the_catalogue_are_legal_and_distinct():
    names = [metric_name(entry.metric) for entry in catalog.CATALOG]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z_][a-z0-9_]*[a-z0-9]", name) for name in names)
    assert unit_name(catalog.TARGETS) == ""


@given(st.text(), st.text())
def test_any_name_becomes_a_legal_label_with_a_bounded_value(name, value):
    for label, text in labels(((name, value),)).items():
        assert re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", label)
        assert len(text.encode()) <= LABEL_VALUE_MAX_BYTES
        assert "\0" not in text


@given(st.text(min_size=1, max_size=1), st.integers(0, 2000))
def test_values_are_cut_at_the_end_of_a_character(character, length):
    text = label_value(character * length)
    assert set(text) <= {character, "\N{REPLACEMENT CHARACTER}"}


def test_values_of_every_type():
    assert [label_value(one) for one in (True, False, 3, 0.5, "x")] == [
        "true",
        "false",
        "3",
        "0.5",
        "x",
    ]


def test_job_instance_and_target_info_of_a_resource():
    entity = sorted_attributes(
        {
            "service.name": "shop",
            "service.namespace": "prod",
            "service.instance.id": "h/shop",
            "host.name": "h",
            "team": "",
        }.items()
    )
    assert identity_labels(entity) == {
        "job": "prod/shop",
        "instance": "h/shop",
        "service_name": "shop",
        "service_namespace": "prod",
    }
    assert information_labels(entity) == {
        "host_name": "h",
        "job": "prod/shop",
        "instance": "h/shop",
    }
    assert identity_labels((("service.name", "x"),)) == {"job": "x", "service_name": "x"}
    assert identity_labels(()) == {}
