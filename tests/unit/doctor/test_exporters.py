"""The exporters' ports and other ends pass where all is well, and else say what to do."""

from __future__ import annotations

import http.server
import socket
import threading

import pytest

from otelauto.config.load import loads
from otelauto.doctor import exporters
from otelauto.export._page_server import PageServer

SELECTED = "open_port: 80\n"


def config(text):
    return loads(SELECTED + text, file="o.yml", environ={}).config


@pytest.fixture
def collector():
    """An HTTP server that answers `status` and notes what it was sent."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.seen.append((self.path, dict(self.headers)))
            self.send_response(self.server.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def exporting(collector):
    url = f"http://127.0.0.1:{collector.server_port}"
    text = f"otel_metrics_export:\n  endpoint: {url}\n  headers: {{authorization: Basic abc}}\n"
    return config(text).otel_metrics_export


def test_an_endpoint_that_takes_an_empty_export_with_the_credentials_passes(collector):
    assert "pass" == exporters.endpoint("otel_metrics_export", exporting(collector)).state
    [(path, headers)] = collector.seen
    assert "/v1/metrics" == path
    assert "Basic abc" == headers["authorization"]
    assert "application/x-protobuf" == headers["Content-Type"]


@pytest.mark.parametrize(
    ("status", "state", "word"),
    [(401, "fail", "credentials"), (403, "fail", "credentials"), (404, "fail", "path"),
     (503, "warn", "takes no export now")],
)  # fmt: skip
def test_what_an_endpoint_answers_is_told_with_its_remedy(collector, status, state, word):
    collector.status = status
    found = exporters.endpoint("otel_metrics_export", exporting(collector))
    assert (state, True) == (found.state, word in found.remedy)
    assert str(status) in found.why
    assert "abc" not in found.why + found.remedy


def test_an_endpoint_that_is_not_there_fails_with_the_exporters_exit_code():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        export = config(f"otel_metrics_export:\n  endpoint: {url}\n").otel_metrics_export
        found = exporters.endpoint("otel_metrics_export", export)
    assert ("fail", 4) == (found.state, found.code)
    assert "refused" in found.why


def test_a_port_that_another_program_has_fails_and_a_free_one_passes(collector):
    port = collector.server_port  # answers GET with 501
    busy = exporters.scrape_port("prometheus_export", "127.0.0.1", port)
    assert ("fail", 4, True) == (busy.state, busy.code, "in use" in busy.why)
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        port = once.getsockname()[1]
    assert "pass" == exporters.scrape_port("prometheus_export", "127.0.0.1", port).state


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", ""])
def test_a_port_that_an_agent_has_passes(host):
    server = PageServer(host, 0, pages={})
    server.start()
    try:
        found = exporters.scrape_port("prometheus_export", host, server.port)
    finally:
        server.stop()
    assert ("pass", True) == (found.state, "running agent" in found.why)


def test_every_exporter_that_is_on_is_looked_at(collector):
    collector.status = 401
    url = f"http://127.0.0.1:{collector.server_port}"
    found = exporters.exporters(
        config(
            f"otel_metrics_export: {{endpoint: {url}}}\n"
            f"otel_traces_export: {{endpoint: {url}}}\n"
            f"prometheus_export: {{port: {collector.server_port}}}\n"
            "internal_metrics: {prometheus: {port: 1}}\n"
        )
    )
    names = [each.name for each in found]
    assert [
        "otel_metrics_export", "otel_traces_export", "prometheus_export",
        "internal_metrics.prometheus",
    ] == names  # fmt: skip
    assert ["/v1/metrics", "/v1/traces"] == [path for path, _ in collector.seen]


def test_exporters_that_are_off_are_not_looked_at():
    assert [] == list(exporters.exporters(config("noop: true\n")))
