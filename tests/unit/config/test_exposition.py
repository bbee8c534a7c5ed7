from __future__ import annotations

from otelauto.config.exposition import Buckets, PrometheusExport


def test_the_endpoint_is_off_by_default_and_listens_on_this_host_only():
    export = PrometheusExport()
    assert (export.enabled, export.listen_address, export.path) == (False, "127.0.0.1", "/metrics")


def test_the_default_buckets_are_those_of_the_semantic_conventions_and_fit_the_kernel():
    buckets = Buckets()
    assert (buckets.duration_histogram_seconds) == (
        0,
        0.005,
        0.01,
        0.025,
        0.05,
        0.075,
        0.1,
        0.25,
        0.5,
        0.75,
        1,
        2.5,
        5,
        7.5,
        10,
    )
    assert len(buckets.request_size_histogram_bytes) <= 15


def test_the_limits_of_buckets_are_those_of_the_kernel(faults):
    text = "ebpf: {open_port: 80}\nnoop: true\nbuckets:\n"
    durations = ",".join(str(n) for n in range(24))
    sizes = ",".join(str(n) for n in range(16))
    lines = faults(
        f"{text}  duration_histogram: [{durations}]\n  request_size_histogram: [{sizes}]"
    )
    assert ["at most 23" in lines[0], "at most 15" in lines[1]] == [True, True]


def test_the_variables_of_the_first_versions_and_of_the_specification_set_the_endpoint(read):
    config = read(PROMETHEUS_PORT="9400", PROMETHEUS_PATH="/m").config.prometheus_export
    assert (config.port, config.path) == (9400, "/m")
    config = read(
        OTEL_EXPORTER_PROMETHEUS_PORT="9464", OTEL_EXPORTER_PROMETHEUS_HOST="::1"
    ).config.prometheus_export
    assert (config.port, config.listen_address) == (9464, "::1")


def test_the_own_metrics_may_have_their_own_endpoint_under_both_spellings(read):
    for text in (
        "internal_metrics: {prometheus: {port: 1, path: /i}}",
        "internal_metrics: {port: 1, path: /i}",
    ):
        found = read(text).config.internal_metrics.prometheus
        assert (found.port, found.path) == (1, "/i")
