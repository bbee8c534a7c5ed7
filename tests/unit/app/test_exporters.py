"""Which exporters there are, and that a reload changes all of them or none."""

from __future__ import annotations

import http.client
import json
import time
from typing import ClassVar

import pytest
from tests.receivers import OtlpHttpReceiver
from tests.receivers._decoded import points
from tests.servers.process import free_port
from tests.unit.app.doubles import Log
from tests.unit.export import samples

from otelauto.app import exporters as module
from otelauto.app.exporters import Exporters, otlp_settings, prometheus_settings
from otelauto.errors import ExportError
from otelauto.export.otlp import OtlpStatus
from otelauto.export.settings import OtlpSettings, PrometheusSettings
from otelauto.metrics.selfstats import ExporterFacts
from otelauto.model import ResourceMetrics, Snapshot

OTLP = "otel_metrics_export: {{endpoint: 'http://127.0.0.1:{}', interval: 100ms}}\n"
PROMETHEUS = "prometheus_export: {{port: {}}}\n"


def both(otlp, port, more=""):
    return OTLP.format(otlp) + PROMETHEUS.format(port) + more


# --- settings ------------------------------------------------------------------------------------


def test_without_an_endpoint_there_is_no_exporter(config):
    assert (None, None) == (otlp_settings(config()), prometheus_settings(config()))


def test_the_otlp_exporter_is_told_what_the_configuration_says(config):
    text = """
otel_metrics_export:
  endpoint: http://collector:4318
  headers: {authorization: Basic c2VjcmV0}
  interval: 7s
  timeout: 3s
  compression: gzip
  temporality: delta
"""
    found = otlp_settings(config(text))
    expected = OtlpSettings(
        endpoint="http://collector:4318/v1/metrics",
        headers=(("authorization", "Basic c2VjcmV0"),),
        timeout_seconds=3.0,
        compression="gzip",
        temporality="delta",
        interval_seconds=7.0,
    )
    assert expected == found


def test_the_protocol_follows_the_port_unless_it_is_given(config):
    endpoints = ("http://c:4317", "http://c:4318")
    found = [
        otlp_settings(config(f"otel_metrics_export: {{endpoint: '{endpoint}'}}\n")).protocol
        for endpoint in endpoints
    ]
    assert ["grpc", "http/protobuf"] == found


def test_the_prometheus_endpoint_is_told_what_the_configuration_says(config):
    text = """
prometheus_export:
  port: 9400
  path: /stats
  listen_address: 0.0.0.0
  basic_auth: {username: scraper, password: s3cret}
"""
    expected = PrometheusSettings(
        port=9400,
        path="/stats",
        listen_address="0.0.0.0",
        username="scraper",
        password="s3cret",
    )
    assert expected == prometheus_settings(config(text))


@pytest.mark.parametrize(
    ("exporter", "expected"), [("all", 9401), ("prometheus", 9401), ("otel", None)]
)
def test_the_agents_own_metrics_may_have_a_port_of_their_own(config, exporter, expected):
    text = f"internal_metrics: {{exporter: {exporter}, prometheus: {{port: 9401}}}}\n"
    found = prometheus_settings(config(text + PROMETHEUS.format(9400)))
    assert (9400, expected) == (found.port, found.internal_port)


def test_a_port_for_the_agents_own_metrics_alone_is_an_endpoint(config):
    found = prometheus_settings(config("internal_metrics: {prometheus: {port: 9401}}\n"))
    assert (None, 9401) == (found.port, found.internal_port)


# --- wiring, on stand-ins ------------------------------------------------------------------------


class FakeOtlp:
    refuse = False

    def __init__(self, settings, collect, *, version, log):
        self.settings, self.collect = settings, collect
        self.said = []
        self.status = OtlpStatus()
        self.accepts = True

    def start(self):
        self.said.append("start")

    def shutdown(self, timeout_seconds=3.0):
        self.said.append(("shutdown", timeout_seconds))
        return self.accepts

    def reconfigure(self, settings):
        if FakeOtlp.refuse:
            raise ExportError("the certificate cannot be read")
        self.said.append("reconfigure")
        self.settings = settings


class FakePrometheus:
    busy = frozenset()
    serving: ClassVar[list] = []

    def __init__(self, settings, collect, *, log):
        self.settings, self.collect = settings, collect
        self.scrapes = {}

    def start(self):
        if self.settings.port in FakePrometheus.busy | {
            one.settings.port for one in FakePrometheus.serving
        }:
            raise ExportError(f"port {self.settings.port} is busy")
        FakePrometheus.serving.append(self)

    def stop(self, timeout_seconds=2.0):
        FakePrometheus.serving.remove(self)


@pytest.fixture
def fakes(monkeypatch):
    monkeypatch.setattr("otelauto.export.otlp.OtlpExporter", FakeOtlp)
    monkeypatch.setattr("otelauto.export.prometheus.PrometheusExporter", FakePrometheus)
    monkeypatch.setattr(FakeOtlp, "refuse", False)
    monkeypatch.setattr(FakePrometheus, "busy", frozenset())
    monkeypatch.setattr(FakePrometheus, "serving", [])


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def started(fakes, config, log):
    """Running exporters on stand-ins, of a text."""

    made = []

    def start(text):
        found = Exporters(config(text), lambda: Snapshot(1, ()), log)
        found.start()
        made.append(found)
        return found

    yield start
    for one in made:
        one._printing.set()
        if one._printer is not None:
            one._printer.join(5.0)


def ports():
    return [one.settings.port for one in FakePrometheus.serving]


def test_a_change_of_the_otlp_settings_owes_nothing_and_restarts_nothing(started, config):
    running = started(both(4318, 9400))
    exporter = running._otlp
    running.reload(config(both(4319, 9400)))
    assert ["start", "reconfigure"] == exporter.said
    assert "http://127.0.0.1:4319/v1/metrics" == exporter.settings.endpoint


def test_a_reload_without_a_change_leaves_everything_alone(started, config):
    running = started(both(4318, 9400))
    before = running._otlp, running._prometheus
    running.reload(config(both(4318, 9400)))
    assert before == (running._otlp, running._prometheus)
    assert ["start"] == running._otlp.said


def test_exporters_can_be_switched_off_and_on(started, config):
    running = started(both(4318, 9400))
    old = running._otlp
    running.reload(config())
    assert ["start", ("shutdown", 1.0)] == old.said
    assert (None, []) == (running._otlp, ports())
    running.reload(config(both(4318, 9400)))
    assert (["start"], [9400]) == (running._otlp.said, ports())


def test_another_port_is_served_before_the_old_one_is_closed(started, config, monkeypatch):
    running = started(PROMETHEUS.format(9400))
    seen = []
    monkeypatch.setattr(
        FakePrometheus, "stop", lambda one, *_: (seen.append(ports()), one.serving.remove(one))
    )
    running.reload(config(PROMETHEUS.format(9401)))
    assert [[9400, 9401]] == seen
    assert [9401] == ports()


def test_other_settings_on_the_same_port_close_it_only_in_between(started, config):
    running = started(PROMETHEUS.format(9400))
    running.reload(config("prometheus_export: {port: 9400, path: /stats}\n"))
    assert [9400] == ports()
    assert "/stats" == running._prometheus.settings.path


def test_a_busy_port_is_refused_and_the_old_one_goes_on(started, config, monkeypatch):
    running = started(both(4318, 9400))
    monkeypatch.setattr(FakePrometheus, "busy", frozenset({9401}))
    with pytest.raises(ExportError, match="9401 is busy"):
        running.reload(config(both(4319, 9401)))
    assert [9400] == ports()
    assert ["start"] == running._otlp.said
    running.reload(config(both(4318, 9402)))
    assert [9402] == ports()


def test_what_cannot_be_pushed_takes_the_other_changes_back(started, config, monkeypatch):
    running = started(both(4318, 9400))
    monkeypatch.setattr(FakeOtlp, "refuse", True)
    with pytest.raises(ExportError, match="certificate"):
        running.reload(config(both(4319, 9401)))
    assert [9400] == ports()
    assert "http://127.0.0.1:4318/v1/metrics" == running._otlp.settings.endpoint
    monkeypatch.setattr(FakeOtlp, "refuse", False)
    running.reload(config(both(4319, 9401)))
    assert [9401] == ports()


def test_requests_that_were_answered_are_counted_over_all_reloads(started, config):
    running = started(PROMETHEUS.format(9400))
    running._prometheus.scrapes = {200: 3, 404: 1}
    running.reload(config(PROMETHEUS.format(9401)))
    running._prometheus.scrapes = {200: 4}
    assert {200: 7, 404: 1} == dict(running.scrapes)
    running.reload(config())
    assert {200: 7, 404: 1} == dict(running.scrapes)


def test_what_was_pushed_is_counted_over_all_reloads(started, config):
    running = started(OTLP.format(4318))
    running._otlp.status = OtlpStatus(5, {"timeout": 2}, 1, {"rejected": 3}, 100)
    running.reload(config())
    first = ExporterFacts("otlp_metrics", 5, {"timeout": 2}, 1, {"rejected": 3}, 100)
    assert (first,) == running.facts
    running.reload(config(OTLP.format(4318)))
    running._otlp.status = OtlpStatus(1, {"timeout": 1, "503": 1}, 1, {}, 50)
    expected = ExporterFacts("otlp_metrics", 6, {"timeout": 3, "503": 1}, 2, {"rejected": 3}, 100)
    assert (expected,) == running.facts


def test_without_exporters_there_are_no_facts(started):
    running = started("")
    assert ((), {}) == (running.facts, dict(running.scrapes))


def test_at_the_end_the_last_export_comes_first_and_has_most_of_the_time(started, log):
    running = started(both(4318, 9400))
    running._otlp.accepts = False
    running.stop(4.0)
    assert ("shutdown", pytest.approx(3.2)) == running._otlp.said[-1]
    assert [] == ports()
    assert ["the last export was not accepted"] == log.events("warning")


@pytest.mark.parametrize(
    ("exporter", "expected"),
    [
        ("all", {"otel": 2, "prometheus": 2}),
        ("otel", {"otel": 2, "prometheus": 1}),
        ("prometheus", {"otel": 1, "prometheus": 2}),
        ("disabled", {"otel": 1, "prometheus": 1}),
    ],
)
def test_the_agents_own_metrics_go_where_the_configuration_says(
    fakes, config, log, exporter, expected
):
    both_kinds = Snapshot(1, (ResourceMetrics((), ()), ResourceMetrics((), (), internal=True)))
    text = both(4318, 9400, f"internal_metrics: {{exporter: {exporter}}}\n")
    running = Exporters(config(text), lambda: both_kinds, log)
    found = {
        "otel": len(running._otlp.collect().resources),
        "prometheus": len(running._prometheus.collect().resources),
    }
    assert expected == found


def test_a_reload_changes_at_once_where_the_agents_own_metrics_go(started, config, monkeypatch):
    own = Snapshot(1, (ResourceMetrics((), (), internal=True),))
    running = started(OTLP.format(4318))
    running._collect = lambda: own
    collect = running._for("otel")
    assert own == collect()
    running.reload(config(OTLP.format(4318) + "internal_metrics: {exporter: disabled}\n"))
    assert () == collect().resources


# --- the real ones -------------------------------------------------------------------------------


def scrape(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_both_real_exporters_report_the_same_collection(config, log):
    snapshot = samples.snapshot(samples.service(samples.histogram(method="GET")))
    port = free_port()
    with OtlpHttpReceiver() as receiver:
        running = Exporters(config(both(receiver.port, port)), lambda: snapshot, log)
        running.start()
        try:
            page = scrape(port)
            assert {200: 1} == dict(running.scrapes)
        finally:
            running.stop(3.0)
        pushed = [point.count for one in receiver.requests for point in points(one.message)]
    assert 'http_server_request_duration_seconds_count{http_request_method="GET"' in page
    assert {7} == set(pushed)
    assert 1 <= running.facts[0].successes
    assert [] == log.events("warning")


def test_a_busy_port_is_an_error_at_the_start(config, log):
    port = free_port()
    first = Exporters(config(PROMETHEUS.format(port)), lambda: Snapshot(1, ()), log)
    first.start()
    try:
        second = Exporters(config(PROMETHEUS.format(port)), lambda: Snapshot(1, ()), log)
        with pytest.raises(ExportError, match=str(port)):
            second.start()
    finally:
        first.stop(1.0)


def test_lines_are_printed_until_the_end(config, log, capsys, monkeypatch):
    monkeypatch.setattr(module, "_PRINT_SECONDS", 0.02)
    counts = iter(range(1, 10_000))

    def collect():
        point = samples.histogram((0, next(counts), 0, 0, 0, 0), method="GET")
        return samples.snapshot(samples.service(point), at=samples.NOW + time.monotonic_ns())

    running = Exporters(config("trace_printer: json\n"), collect, log)
    running.start()
    deadline = time.monotonic() + 5
    lines = []
    while not lines and time.monotonic() < deadline:
        time.sleep(0.02)
        lines += [line for line in capsys.readouterr().out.splitlines() if line]
    running.stop(2.0)
    assert not running._printer.is_alive()
    assert "shop" in json.dumps(json.loads(lines[0]))
