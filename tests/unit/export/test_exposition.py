"""The page, read by the official parsers, by promtool and by Prometheus itself."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from tests.receivers import OtlpHttpReceiver
from tests.unit.export.otlp_rig import exporter
from tests.unit.export.prometheus_rig import (
    OPENMETRICS,
    PARSERS,
    Endpoint,
    expected_of_rich,
    samples,
)
from tests.unit.export.samples import START, histogram, resource, service, snapshot

from otelauto.export.prometheus import PrometheusExporter
from otelauto.export.settings import PrometheusSettings
from otelauto.metrics import catalog
from otelauto.model import MetricFamily, NumberPoint, ResourceMetrics


@pytest.mark.parametrize("accept", PARSERS, ids=["plain", "openmetrics"])
def test_the_page_is_exactly_the_snapshot(rich, accept):
    with Endpoint(lambda: rich) as endpoint:
        page = endpoint.page(accept)
        assert expected_of_rich() == samples(page, PARSERS[accept])
        assert page == endpoint.page(accept), "kept label sets change nothing"


def test_types_help_and_units_come_from_the_catalogue(rich):
    with Endpoint(lambda: rich) as endpoint:
        found = {one.name: one for one in openmetrics(endpoint.page(OPENMETRICS))}
    duration = found["http_server_request_duration_seconds"]
    assert ("histogram", "seconds", catalog.HTTP_SERVER_DURATION.description) == (
        duration.type,
        duration.unit,
        duration.documentation,
    )
    assert (
        found["otelauto_cpu_time_seconds"].type,
        found["otelauto_cpu_time_seconds"].unit,
    ) == ("counter", "seconds")
    assert {"gauge"} == {found[name].type for name in ("otelauto_targets", "otelauto_build_info")}
    assert found["target"].type == "info"


EVIL = 'x"} 1\nevil_metric 42\n#'


@pytest.mark.parametrize("accept", PARSERS, ids=["plain", "openmetrics"])
@pytest.mark.parametrize(
    ("name", "seen"),
    [
        (EVIL, EVIL),
        ("back\\slash\\n", "back\\slash\\n"),
        ("caf\udce9", "caf�"),
        ("tab\tcr\rsep\u2028", "tab\tcr\rsep\u2028"),
        ("日本語", "日本語"),
        ("ä" * 5000, "ä" * 512),
        ("a" + "ä" * 5000, "a" + "ä" * 511),
    ],
)
def test_hostile_names_neither_break_nor_forge_the_page(accept, name, seen):
    page = snapshot(service(histogram(method="GET", route=name), name=name))
    with Endpoint(lambda: page) as endpoint:
        found = samples(endpoint.page(accept), PARSERS[accept])
    ours = [dict(labels) for name_, labels in found if name_ != "target_info"]
    assert {(seen, seen)} == {(one["service_name"], one["http_route"]) for one in ours}
    assert {"target_info"} == {name_ for name_, _ in found if not name_.startswith("http_server")}


def test_series_that_become_equal_are_added_up_and_target_info_stands_once():
    """Two processes of one identity; two attributes of one label; values equal after the cut."""
    long = "r" * 2000
    page = snapshot(
        service(histogram(method="GET"), pid=1),
        service(histogram(method="GET"), pid=2),
        service(histogram(route=long + "a"), histogram(route=long + "b"), name="cut"),
        ResourceMetrics(
            resource(name="mix"),
            (
                MetricFamily(
                    catalog.EXCHANGES,
                    (NumberPoint((("a.b", "1"), ("a_b", "2"), ("job", "mine")), START, 4),),
                ),
            ),
        ),
    )
    with Endpoint(lambda: page) as endpoint:
        found = samples(endpoint.page())
    counts = {
        dict(labels)["service_name"]: value
        for (name, labels), value in found.items()
        if name.endswith("_count")
    }
    assert counts == {"shop": 14, "cut": 14}
    (mixed,) = [dict(labels) for (name, labels) in found if name == "otelauto_exchanges_total"]
    assert (mixed["a_b"], mixed["attribute_job"], mixed["job"]) == ("1;2", "mine", "prod/mix")
    infos = [dict(labels)["job"] for (name, labels) in found if name == "target_info"]
    assert sorted(infos) == ["prod/cut", "prod/mix", "prod/shop"]


def test_promtool_finds_the_page_valid(rich):
    hostile = service(
        histogram(method="GET", route=EVIL),
        histogram(method="GET", route="/nul\0byte"),
        name="caf\udce9",
        instance="x",
    )
    page = replace(rich, resources=(*rich.resources, hostile))
    with Endpoint(lambda: page) as endpoint:
        done = subprocess.run(
            ["promtool", "check", "metrics"],
            input=endpoint.page().encode(),
            capture_output=True,
            check=False,
            timeout=30,
        )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_an_empty_snapshot_is_a_valid_page():
    with Endpoint(snapshot) as endpoint:
        assert endpoint.page() == ""
        assert endpoint.page(OPENMETRICS) == "# EOF\n"


def test_the_kept_label_sets_follow_the_series(rich):
    """A series that is gone takes its labels with it: memory follows what is alive."""
    pages = iter([rich, snapshot(service(histogram(method="PUT")))])
    with Endpoint(lambda: next(pages)) as endpoint:
        endpoint.page()
        assert len(samples(endpoint.page())) == 9
        page = endpoint.exporter._servers[0]._pages["/metrics"]._page
    assert len(page._labels) == 1


def test_counts_above_a_million_stay_exact():
    page = snapshot(service(histogram((0, 123_456_789, 0, 0, 0, 0), x="y")))
    with Endpoint(lambda: page) as endpoint:
        assert " 123456789\n" in endpoint.page()


CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
- job_name: otelauto
  honor_labels: true
  basic_auth: {{username: prom, password: s3cret}}
  static_configs: [{{targets: ['127.0.0.1:{port}']}}]
"""


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
