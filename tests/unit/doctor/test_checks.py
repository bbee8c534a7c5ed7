"""Each check passes where all is well and says what to do where it is not."""

from __future__ import annotations

import http.server
import socket
import threading
from dataclasses import replace

import pytest

from otelauto.config.load import loads
from otelauto.doctor import checks
from otelauto.kernel.features import probe

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
    assert "pass" == checks.endpoint(exporting(collector)).state
    [(path, headers)] = collector.seen
    assert "/v1/metrics" == path
    assert "Basic abc" == headers["authorization"]
    assert "application/x-protobuf" == headers["Content-Type"]


@pytest.mark.parametrize(
    ("status", "state", "word"),
    [(401, "fail", "credentials"), (403, "fail", "credentials"), (404, "fail", "path"),
     (503, "warn", "takes no metrics now")],
)  # fmt: skip
def test_what_an_endpoint_answers_is_told_with_its_remedy(collector, status, state, word):
    collector.status = status
    found = checks.endpoint(exporting(collector))
    assert (state, True) == (found.state, word in found.remedy)
    assert str(status) in found.why
    assert "abc" not in found.why + found.remedy


def test_an_endpoint_that_is_not_there_fails_with_the_exporters_exit_code():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        export = config(f"otel_metrics_export:\n  endpoint: {url}\n").otel_metrics_export
        found = checks.endpoint(export)
    assert ("fail", 4) == (found.state, found.code)
    assert "refused" in found.why


def test_a_busy_scrape_port_is_a_warning_and_a_free_one_passes():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        busy = checks.scrape_port(config(f"prometheus_export: {{port: {port}}}\n"))
    assert ("warn", True) == (busy.state, "in use" in busy.why)
    assert "pass" == checks.scrape_port(config(f"prometheus_export: {{port: {port}}}\n")).state


def test_the_hooks_are_those_that_the_kernel_allows():
    has = replace(
        probe(), ring_buffer=True, namespace_pid=True, sock_length=True, task_registers=True
    )
    assert "at the socket" in checks.hooks(has).why
    older = replace(has, sock_length=False, sys_exit=True)
    assert "at the end of system calls" in checks.hooks(older).why
    assert "fail" == checks.hooks(replace(older, sys_exit=False)).state
    without = replace(has, ring_buffer=False, errors={"ring_buffer": 22})
    assert "the kernel lacks ring_buffer (EINVAL)" == checks.hooks(without).why


def test_a_container_is_told(tmp_path):
    assert "pass" == checks.container(tmp_path).state
    (tmp_path / "run/systemd").mkdir(parents=True)
    (tmp_path / "run/systemd/container").write_text("systemd-nspawn\n")
    assert "systemd-nspawn" in checks.container(tmp_path).why


def test_another_agent_that_counts_the_same_is_told(tmp_path):
    for pid, name in ((7, "nginx"), (8, "beyla")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")
    found = checks.agents(tmp_path)
    assert ("warn", True) == (found.state, found.why.startswith("beyla runs"))
    (tmp_path / "8/comm").unlink()
    assert "pass" == checks.agents(tmp_path).state


def test_the_disk_is_that_of_the_nearest_folder_that_is_there(tmp_path):
    assert checks.disk(tmp_path / "not" / "yet").why.endswith(f"at {tmp_path}")


def test_a_low_disk_is_a_warning(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage)
    assert "warn" == checks.disk(tmp_path).state


def test_the_clock_is_asked_and_changes_nothing():
    assert checks.clock().state in {"pass", "warn"}


def test_the_reason_of_a_missing_bcc_is_kept():
    version, reason = checks.toolchain(("/nonexistent/python3",))
    assert ("", True) == (version, reason.startswith("/nonexistent/python3"))
