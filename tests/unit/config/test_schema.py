from __future__ import annotations

import pytest

from otelauto.config.load import loads
from otelauto.config.paths import leaves
from otelauto.config.schema import Config

#: Every key of the first version with its variable: its files and environments keep working.
FIRST_VERSION = {
    "log_level": ("LOG_LEVEL", "WARN"),
    "print_traces": ("PRINT_TRACES", "true"),
    "noop": ("NOOP_TRACES", "true"),
    "channel_buffer_len": ("CHANNEL_BUFFER_LEN", "20"),
    "profile_port": ("PROFILE_PORT", "6060"),
    "ebpf.executable_name": ("EXECUTABLE_NAME", "nginx"),
    "ebpf.open_port": ("OPEN_PORT", "443"),
    "ebpf.system_wide": ("SYSTEM_WIDE", "true"),
    "ebpf.log_level": ("LOG_LEVEL", "WARN"),
    "ebpf.bfp_debug": ("BPF_DEBUG", "true"),
    "ebpf.wakeup_len": ("BPF_WAKEUP_LEN", "10"),
    "ebpf.batch_length": ("BPF_BATCH_LENGTH", "10"),
    "ebpf.batch_timeout": ("BPF_BATCH_TIMEOUT", "2s"),
    "ebpf.bpf_fs_base_dir": ("BPF_FS_BASE_DIR", "/run/x"),
    "routes.patterns": ("", "/a/:id"),
    "routes.unmatch": ("", "path"),
    "otel_metrics_export.endpoint": ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
    "otel_metrics_export.service_name": ("OTEL_SERVICE_NAME", "x"),
    "otel_metrics_export.service_namespace": ("SERVICE_NAMESPACE", "x"),
    "otel_metrics_export.interval": ("METRICS_INTERVAL", "10s"),
    "otel_metrics_export.insecure_skip_verify": ("OTEL_INSECURE_SKIP_VERIFY", "true"),
    "otel_metrics_export.report_target": ("METRICS_REPORT_TARGET", "true"),
    "otel_metrics_export.report_peer": ("METRICS_REPORT_PEER", "true"),
    "otel_traces_export.endpoint": ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
    "otel_traces_export.service_name": ("OTEL_SERVICE_NAME", "x"),
    "otel_traces_export.service_namespace": ("SERVICE_NAMESPACE", "x"),
    "otel_traces_export.insecure_skip_verify": ("OTEL_INSECURE_SKIP_VERIFY", "true"),
    "otel_traces_export.max_export_batch_size": ("OTLP_TRACES_MAX_EXPORT_BATCH_SIZE", "100"),
    "otel_traces_export.max_queue_size": ("", "5000"),
    "otel_traces_export.batch_timeout": ("", "1s"),
    "otel_traces_export.export_timeout": ("", "1s"),
    "prometheus_export.port": ("PROMETHEUS_PORT", "9400"),
    "prometheus_export.path": ("PROMETHEUS_PATH", "/m"),
    "prometheus_export.service_name": ("PROMETHEUS_SERVICE_NAME", "x"),
    "prometheus_export.service_namespace": ("SERVICE_NAMESPACE", "x"),
    "prometheus_export.report_target": ("METRICS_REPORT_TARGET", "true"),
    "prometheus_export.report_peer": ("METRICS_REPORT_PEER", "true"),
    "internal_metrics.prometheus.port": ("INTERNAL_METRICS_PROMETHEUS_PORT", "9401"),
    "internal_metrics.prometheus.path": ("INTERNAL_METRICS_PROMETHEUS_PATH", "/i"),
}


#: Enough for a valid configuration, without any option of FIRST_VERSION.
BASE = {"BEYLA_EXECUTABLE_NAME": "x"}
REST = "trace_printer: counter\n"


@pytest.mark.parametrize("path", sorted(FIRST_VERSION))
def test_every_key_of_the_first_version_works(path):
    *sections, key = path.split(".")
    text = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(sections))
    text += f"{'  ' * len(sections)}{key}: {FIRST_VERSION[path][1]}\n"
    environ = {} if path == "ebpf.system_wide" else BASE
    found = loads(REST + text, file="o.yml", environ=environ)
    line = 2 + len(sections)
    assert line in {origin.line for origin in found.origins.values()}
    assert found.config != loads(REST, file="o.yml", environ=BASE).config


@pytest.mark.parametrize("path", sorted(path for path, (name, _) in FIRST_VERSION.items() if name))
def test_every_variable_of_the_first_version_works(path):
    name, value = FIRST_VERSION[path]
    environ = {} if path == "ebpf.system_wide" else BASE
    found = loads(REST, file="o.yml", environ={**environ, name: value})
    assert name in {origin.variable for origin in found.origins.values()}
    assert found.config != loads(REST, file="o.yml", environ=BASE).config


@pytest.mark.parametrize("leaf", leaves(), ids=lambda leaf: leaf.path)
def test_every_option_says_what_it_means_in_a_sentence(leaf):
    text = leaf.option.help
    assert text[0].isupper()
    assert text.endswith(".")
    assert len(text) > 10


def test_the_printer_joins_the_former_options():
    assert Config().printer == "disabled"
    assert Config(print_traces=True).printer == "text"
    assert Config(noop=True).printer == "counter"
    assert Config(print_traces=True, trace_printer="json").printer == "json"
