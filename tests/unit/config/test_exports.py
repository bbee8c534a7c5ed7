from __future__ import annotations

import pytest

BASE = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (BASE, f"{BASE}/v1/metrics"),
        (f"{BASE}/", f"{BASE}/v1/metrics"),
        (f"{BASE}/otlp", f"{BASE}/otlp/v1/metrics"),
        (f"{BASE}/otlp/", f"{BASE}/otlp/v1/metrics"),
        (f"{BASE}/otlp/v1/metrics", f"{BASE}/otlp/v1/metrics"),
    ],
)
def test_the_general_endpoint_is_a_base_with_exactly_one_slash(read, endpoint, url):
    from_variable = read(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint).config
    from_file = read(f"otel_metrics_export: {{endpoint: '{endpoint}'}}").config
    assert url == from_variable.otel_metrics_export.url.reveal()
    assert url == from_file.otel_metrics_export.url.reveal()
    traces = from_variable.otel_traces_export.url.reveal()
    assert traces.endswith("/v1/traces")


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (f"{BASE}/custom", f"{BASE}/custom"),
        (f"{BASE}/v1/metrics", f"{BASE}/v1/metrics"),
        (BASE, f"{BASE}/"),
        (f"{BASE}/otlp/", f"{BASE}/otlp/"),
    ],
)
def test_the_signals_own_endpoint_is_used_as_it_is_and_wins(read, endpoint, url):
    config = read(
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_ENDPOINT="http://other"
    ).config
    assert url == config.otel_metrics_export.url.reveal()
    assert config.otel_traces_export.url.reveal() == "http://other/v1/traces"


@pytest.mark.parametrize("name", ["http/json", "http", "grcp"])
def test_an_unknown_protocol_is_an_error_that_names_the_variable(faults, name):
    (line,) = faults(
        "ebpf: {open_port: 80}\nnoop: true\n", OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=name
    )
    assert line.startswith("variable OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: ")


def test_an_endpoint_without_scheme_is_an_error_that_names_the_variable(faults):
    (line,) = faults("ebpf: {open_port: 80}\n", OTEL_EXPORTER_OTLP_ENDPOINT="127.0.0.1:4318")
    assert line.startswith("variable OTEL_EXPORTER_OTLP_ENDPOINT: ")
    assert "no scheme" in line


def test_port_4317_without_a_protocol_means_grpc_and_grpc_has_no_path(read):
    export = read(OTEL_EXPORTER_OTLP_ENDPOINT="http://localhost:4317/x").config.otel_metrics_export
    assert (export.resolved_protocol, str(export.url)) == ("grpc", "http://localhost:4317")


def test_the_signals_own_variables_win_over_the_general_ones(read):
    config = read(
        OTEL_EXPORTER_OTLP_ENDPOINT=BASE,
        OTEL_EXPORTER_OTLP_HEADERS="a=general,b=general",
        OTEL_EXPORTER_OTLP_METRICS_HEADERS="a=own",
        OTEL_EXPORTER_OTLP_TIMEOUT="1000",
        OTEL_EXPORTER_OTLP_METRICS_TIMEOUT="2000",
    ).config
    metrics, traces = config.otel_metrics_export, config.otel_traces_export
    assert [(name, value.reveal()) for name, value in metrics.headers] == [("a", "own")]
    assert [name for name, _ in traces.headers] == ["a", "b"]
    assert (metrics.timeout_seconds, traces.timeout_seconds) == (2.0, 1.0)


def test_the_temporality_follows_the_standard_variable(read):
    assert read().config.otel_metrics_export.temporality == "cumulative"
    config = read(OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="Delta").config
    assert config.otel_metrics_export.temporality == "delta"


def test_nothing_is_sent_unless_an_endpoint_is_given(read):
    config = read().config
    assert (config.otel_metrics_export.enabled, config.otel_metrics_export.url) == (False, None)
    assert not config.otel_traces_export.enabled
