"""Debian's Prometheus scrapes the endpoint and agrees with the snapshot and with OTLP."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
from tests.receivers import OtlpHttpReceiver
from tests.unit.export.otlp_rig import exporter
from tests.unit.export.samples import histogram, service, snapshot

from otelauto.export.prometheus import PrometheusExporter
from otelauto.export.settings import PrometheusSettings

CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
- job_name: otelauto
  honor_labels: true
  basic_auth: {{username: prom, password: s3cret}}
  static_configs: [{{targets: ['127.0.0.1:{port}']}}]
"""
EVIL = 'x"} 1\nevil_metric 42\n#'


@pytest.fixture
def prometheus(tmp_path):
    """start(port of the endpoint) -> query function; the server ends with the test."""
    if shutil.which("prometheus") is None:
        pytest.skip("Debian's prometheus is not installed (apt-get install prometheus)")
    running = []

    def start(scraped_port):
        (tmp_path / "prometheus.yml").write_text(CONFIG.format(port=scraped_port))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        log = (tmp_path / "prometheus.log").open("wb")
        running.append((log, subprocess.Popen(
            [
                "prometheus",
                f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )))  # fmt: skip

        def query(path, **parameters):
            url = f"http://127.0.0.1:{port}{path}?{urllib.parse.urlencode(parameters)}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]

        return query

    yield start
    for log, process in running:
        process.terminate()
        process.wait(20)
        log.close()


def eventually(condition, timeout_seconds=45):
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            if found := condition():
                return found
        except OSError:
            pass  # it is still starting
        assert time.monotonic() < deadline, "Prometheus never saw the metrics"
        time.sleep(0.2)


@pytest.mark.slow
def test_prometheus_and_an_otlp_receiver_hold_the_same_numbers(prometheus):
    names = ["plain", EVIL, "caf\udce9", "日本語\\", "nul\0", "tab\tcr\rsep\u2028\x85"]
    page = snapshot(
        *(
            service(
                histogram((n, 1, 2, 3, 4, 5), total=n / 3, method="GET", route=name), name=name
            )
            for n, name in enumerate(names)
        )
    )
    endpoint = PrometheusExporter(
        PrometheusSettings(port=0, username="prom", password="s3cret"), lambda: page
    )
    endpoint.start()
    try:
        query = prometheus(endpoint.ports[0])
        (target,) = eventually(
            lambda: [
                one
                for one in query("/api/v1/targets")["activeTargets"]
                if one["health"] != "unknown"
            ]
        )
        assert (target["health"], target["lastError"]) == ("up", "")
        duration = "http_server_request_duration_seconds"
        found = eventually(lambda: query("/api/v1/query", query=f"{duration}_sum")["result"])
        counts = query("/api/v1/query", query=f"{duration}_count")["result"]
        buckets = query("/api/v1/query", query=f'{duration}_bucket{{le="0.01"}}')["result"]
        known = set(query("/api/v1/label/__name__/values"))
        meta = query("/api/v1/metadata", metric=duration)
    finally:
        endpoint.stop()
    with OtlpHttpReceiver() as receiver:
        assert exporter(receiver, "http/protobuf", lambda: page).export()
        pushed = receiver.all_points()

    def by_service(result):
        return {one["metric"]["service_name"]: float(one["value"][1]) for one in result}

    # NUL is the one character that Prometheus cannot hold; OTLP can.
    assert {p.resource["service.name"].replace("\0", "�"): p.value for p in pushed} == by_service(
        found
    )
    assert {p.resource["service.name"].replace("\0", "�"): p.count for p in pushed} == by_service(
        counts
    )
    assert {3.0 + n for n in range(len(names))} == set(by_service(buckets).values())
    assert "evil_metric" not in known
    assert {one["metric"]["job"] for one in found} == {
        f"prod/{name}".replace("\udce9", "�").replace("\0", "�") for name in names
    }
    assert (
        meta[duration][0]["type"],
        meta[duration][0]["help"],
    ) == ("histogram", "Duration of HTTP server requests.")
