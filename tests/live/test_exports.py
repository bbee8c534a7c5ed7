"""What leaves the agent: every exporter tells the same, exactly, and no more than it should."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from tests.load.generator import Load, Target, run_exact
from tests.receivers import OtlpGrpcReceiver, OtlpHttpReceiver
from tests.servers import nginx, runtimes
from tests.servers.agent import start_agent, until
from tests.servers.raw import exchange

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

DURATION = "http.server.request.duration"
TARGETS = (Target("/ok"), Target("/users/{n}"), Target("/missing", 404), Target("/error", 500))
ROUTES = 'routes:\n  patterns: ["/ok", "/users/{id}", "/missing", "/error"]\n'


def selected(*ports):
    return f'discovery:\n  instrument:\n    - open_ports: "{",".join(map(str, ports))}"\n'


@pytest.fixture
def web(need, supervisor, tmp_path, port):
    need("nginx")
    return nginx.start(supervisor, tmp_path, nginx.Site(port=port, workers=2))


class Prometheus:
    """A real server that scrapes one page each half second."""

    def __init__(self, supervisor, folder, *, port, page):
        self.port = port
        folder.mkdir()
        config = folder / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 500ms, scrape_timeout: 400ms}\nscrape_configs:\n"
            f"- job_name: otelauto\n  honor_labels: true\n"
            f"  static_configs: [{{targets: ['127.0.0.1:{page}']}}]\n"
        )
        argv = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data"]
        argv += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        supervisor.start("prometheus", argv, ports=(port,))

    def query(self, text):
        """An instant vector: each series' labels and its value."""
        url = f"http://127.0.0.1:{self.port}/api/v1/query?query={urllib.parse.quote(text)}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=5) as response:
            found = json.loads(response.read())["data"]["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def requests(self, *labels):
        found = Counter()
        for metric, value in self.query("http_server_request_duration_seconds_count"):
            found[tuple(metric.get(label, "") for label in labels)] += int(value)
        return dict(found)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_otlp_prometheus_and_the_load_generator_agree(
    protocol, web, need, supervisor, tmp_path, ports, loadgen
):
    """Counts, routes, statuses, buckets and sums are the same numbers everywhere."""
    need("prometheus")
    page = ports()
    receiver = OtlpGrpcReceiver() if protocol == "grpc" else OtlpHttpReceiver()
    with receiver:
        config = (
            f"otel_metrics_export:\n  endpoint: http://127.0.0.1:{receiver.port}\n"
            f"  protocol: {protocol}\n  interval: 300ms\n  compression: gzip\n"
        )
        agent = start_agent(
            supervisor, tmp_path, config + ROUTES + selected(web.port), metrics_port=page
        )
        prometheus = Prometheus(supervisor, tmp_path / "prometheus", port=ports(), page=page)
        report = run_exact(loadgen, Load(port=web.port, targets=TARGETS, requests=20_000))
        route = {"/users/{n}": "/users/{id}"}
        sent = {
            (route.get(t["path"], t["path"]), t["status"]): t["responses"]
            for t in report["targets"]
        }
        as_text = {(path, str(status)): number for (path, status), number in sent.items()}
        labels = ("http_route", "http_response_status_code")
        receiver.wait(lambda _: receiver.counts("http.route", "http.response.status_code") == sent)
        assert until(lambda: prometheus.requests(*labels) == as_text, timeout_seconds=10)
        assert as_text == agent.requests(*labels)
        points = {point.attributes["http.route"]: point for point in receiver.metrics(DURATION)}
        sums = "http_server_request_duration_seconds_sum"
        assert {path: point.value for path, point in points.items()} == {
            metric["http_route"]: pytest.approx(value, rel=1e-9)
            for metric, value in prometheus.query(sums)
        }
        for path, point in points.items():
            running, expected = 0, {}
            for bound, number in zip((*point.bounds, "+Inf"), point.counts, strict=True):
                running += number
                expected[bound if bound == "+Inf" else f"{bound:.6g}"] = running
            name = "http_server_request_duration_seconds_bucket"
            found = {
                metric["le"] if metric["le"] == "+Inf" else f"{float(metric['le']):.6g}": value
                for metric, value in prometheus.query(f'{name}{{http_route="{path}"}}')
            }
            assert expected == found
        kinds = {(point.temporality, point.start_unix_nano) for point in points.values()}
        assert 1 == len(kinds), "one start time: nothing was reset"
        begin = min(point.start_unix_nano for point in points.values()) / 1e9
        assert 0 < time.time() - begin < 60
        supervisor.stop(agent.running)


def test_delta_adds_up_to_the_load(web, supervisor, tmp_path, ports, loadgen):
    """Intervals follow one another without a gap, and each request is in one of them."""
    with OtlpHttpReceiver() as receiver:
        config = (
            f"otel_metrics_export:\n  endpoint: {receiver.url}\n  interval: 200ms\n"
            "  temporality: delta\n"
        )
        agent = start_agent(
            supervisor, tmp_path, config + selected(web.port), metrics_port=ports()
        )
        run_exact(loadgen, Load(port=web.port, seconds=2, rate_per_second=2000))
        total = sum(agent.requests().values())

        def received():
            return [point for point in receiver.all_points() if point.name == DURATION]

        receiver.wait(lambda _: sum(point.count for point in received()) >= total)
        assert total == sum(point.count for point in received())
        assert {"delta"} == {point.temporality for point in received()}
        times = [(point.start_unix_nano, point.time_unix_nano) for point in received()]
        assert all(start < end for start, end in times)
        assert [end for _, end in times[:-1]] == [start for start, _ in times[1:]]
        supervisor.stop(agent.running)


def test_the_resource_is_what_was_configured(web, supervisor, tmp_path, ports, loadgen):
    """Host overrides, attributes of the configuration, namespace, runtime; on both exporters."""
    with OtlpHttpReceiver() as receiver:
        config = (
            f"otel_metrics_export: {{endpoint: '{receiver.url}', interval: 200ms}}\n"
            "attributes:\n  instance_id: {override_hostname: web-7}\n"
            "  host_id: {override: machine-7}\nservice_namespace: shop\n"
            "resource_attributes: {deployment.environment.name: test, host.name: wrong}\n"
        )
        agent = start_agent(
            supervisor, tmp_path, config + selected(web.port), metrics_port=ports()
        )
        run_exact(loadgen, Load(port=web.port, requests=10))
        receiver.wait(lambda _: receiver.counts() == {(): 10})
        resource = receiver.metrics(DURATION)[0].resource
        expected = {
            "deployment.environment.name": "test",
            "host.id": "machine-7",
            "host.name": "web-7",
            "os.type": "linux",
            "service.name": "nginx",
            "service.namespace": "shop",
            "telemetry.distro.name": "otelauto",
        }
        assert expected == {name: resource[name] for name in expected}
        infos = [s.labels for s in agent.samples() if s.name == "target_info"]
        web_info = next(labels for labels in infos if labels["job"] == "shop/nginx")
        names = {name.replace(".", "_"): value for name, value in expected.items()}
        assert {name: value for name, value in names.items() if "service" not in name} == {
            name: web_info[name] for name in names if "service" not in name
        }
        supervisor.stop(agent.running)


@pytest.mark.parametrize("choice", ["all", "prometheus", "otel", "disabled"])
def test_the_agents_own_metrics_go_where_they_are_wanted(
    choice, web, supervisor, tmp_path, ports, loadgen
):
    page, own = ports(), ports()
    separate = choice == "prometheus"
    with OtlpHttpReceiver() as receiver:
        config = (
            f"otel_metrics_export: {{endpoint: '{receiver.url}', interval: 200ms}}\n"
            f"internal_metrics:\n  exporter: {choice}\n"
        ) + (f"  prometheus: {{port: {own}, path: /own}}\n" if separate else "")
        agent = start_agent(supervisor, tmp_path, config + selected(web.port), metrics_port=page)
        run_exact(loadgen, Load(port=web.port, requests=10))
        receiver.wait(lambda _: receiver.counts() == {(): 10})
        pushed = bool(receiver.metrics("otelauto.build.info"))
        assert (choice in {"all", "otel"}) == pushed
        assert (choice == "all") == ("otelauto_build_info" in agent.page())
        assert {(): 10} == agent.requests()
        if separate:
            with urllib.request.urlopen(f"http://127.0.0.1:{own}/own", timeout=5) as response:
                text = response.read().decode()
            assert "otelauto_build_info" in text
            assert "http_server_request_duration_seconds" not in text
        supervisor.stop(agent.running)


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_seen_is_printed(form, web, supervisor, tmp_path, ports, loadgen):
    """On the standard output, whole to the last request; the log is apart from it."""
    more = f"trace_printer: {form}\nlog_format: text\n" + ROUTES
    agent = start_agent(supervisor, tmp_path, more + selected(web.port), metrics_port=ports())
    run_exact(loadgen, Load(port=web.port, targets=TARGETS, requests=400))
    supervisor.stop(agent.running)
    lines = agent.running.log_text(1 << 22).splitlines()
    assert any(line.endswith("stopping") or "stopping" in line for line in lines)
    if form == "text":
        head = next(line for line in lines if line.startswith("SERVICE"))
        assert ["SERVICE", "DIR", "METHOD", "ROUTE", "STATUS", "REQ/S"] == head.split()[:6]
        rows = [line.split() for line in lines if line.startswith("nginx ")]
        assert {
            ("/ok", "2xx"),
            ("/users/{id}", "2xx"),
            ("/missing", "4xx"),
            ("/error", "5xx"),
        } == {(row[3], row[4]) for row in rows}
        return
    found = [json.loads(line) for line in lines if line.startswith("{")]
    spans = [one for one in found if "trace_id" in one]
    assert {"GET /ok", "GET /users/{id}", "GET /missing", "GET /error"} == {
        one["name"] for one in spans
    }
    assert 400 >= len({one["span_id"] for one in spans}) == len(spans)
    rows = [one for one in found if "requests" in one]
    total = Counter()
    for row in rows:
        total[row["service"], row["method"], row["route"], row["status"]] += row["requests"]
    expected = {
        ("nginx", "GET", "/ok", "2xx"): 100,
        ("nginx", "GET", "/users/{id}", "2xx"): 100,
        ("nginx", "GET", "/missing", "4xx"): 100,
        ("nginx", "GET", "/error", "5xx"): 100,
    }
    assert expected == dict(total)


def test_routes_stay_what_they_were_over_a_restart(supervisor, tmp_path, ports, loadgen):
    """G1: what was learned is kept; ids are one placeholder, which can be chosen."""
    number = ports()
    runtimes.start_threaded(supervisor, port=number)
    paths = (Target("/users/{n}"), Target("/ok"))
    found = []
    for _ in range(2):
        agent = start_agent(
            supervisor,
            tmp_path,
            "routes:\n  placeholder: '{id}'\n" + selected(number),
            metrics_port=ports(),
        )
        run_exact(loadgen, Load(port=number, targets=paths, requests=200))
        until(lambda agent=agent: sum(agent.requests().values()) == 200, timeout_seconds=3)
        found.append(agent.requests("http_route"))
        supervisor.stop(agent.running)
    assert [{("/users/{id}",): 100, ("/ok",): 100}] * 2 == found
    kept = list((tmp_path / "state" / "routes").iterdir())
    assert kept
    assert {0} == {path.stat().st_mode & 0o007 for path in kept}, "nobody else reads them"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("all", {("/ok",): 10}), ("traces", {("/ok",): 10, ("/users/:id",): 10})],
)
def test_ignored_routes_are_ignored_for_the_signals_that_are_named(
    mode, expected, web, supervisor, tmp_path, ports, loadgen
):
    config = (
        "routes:\n  patterns: ['/ok', '/users/:id']\n  ignored_patterns: ['/users/:id']\n"
        f"  ignore_mode: {mode}\n"
    )
    agent = start_agent(supervisor, tmp_path, config + selected(web.port), metrics_port=ports())
    paths = (Target("/ok"), Target("/users/{n}"))
    run_exact(loadgen, Load(port=web.port, targets=paths, requests=20))
    until(lambda: agent.requests("http_route") == expected, timeout_seconds=3)
    assert expected == agent.requests("http_route")


SECRETS = ("abc123", "XYZ789", "Zm9vYmFy", "hunter2", "c%26d", "tok3n", "s3ss10n", "b0dys3cret")
SECRET_HEAD = (
    b"Host: h\r\nReferer: http://h/?t=tok3n\r\nAuthorization: Bearer hunter2\r\n"
    b"Cookie: sid=s3ss10n\r\nContent-Length: 24\r\nConnection: close\r\n\r\n"
    b'{"password":"b0dys3cret"'
)


def test_no_secret_of_a_request_or_of_the_exporter_leaves_in_any_way(
    supervisor, tmp_path, ports, port
):
    """O1, O4: queries, user information, headers and bodies; our own credentials."""
    runtimes.start_threaded(supervisor, port=port)
    with OtlpHttpReceiver() as receiver:
        endpoint = receiver.url.replace("http://", "http://user:hunter2@")
        config = (
            f"otel_metrics_export:\n  endpoint: {endpoint}\n  interval: 200ms\n"
            "  headers: {x-api-key: hunter2}\nlog_level: DEBUG\n"
        )
        agent = start_agent(supervisor, tmp_path, config + selected(port), metrics_port=ports())
        query = "code=abc123&sig=XYZ789&X-Amz-Signature=Zm9vYmFy&token=a:b,c%26d&q=1"
        for target in (f"/ok?{query}", f"http://u:hunter2@h/ok?{query}"):
            exchange(port, [(0, b"GET " + target.encode() + b" HTTP/1.1\r\n" + SECRET_HEAD)])
        exchange(port, [(0, b"POST /upload?code=abc123 HTTP/1.1\r\n" + SECRET_HEAD)])
        receiver.wait(lambda _: sum(receiver.counts().values()) == 3)
        assert 3 == sum(agent.requests().values())
        page = agent.page()
        supervisor.stop(agent.running)
        pushed = "\n".join(str(request.message) for request in receiver.requests)
        told = {"page": page, "OTLP": pushed, "log": agent.running.log_text(1 << 22)}
        leaks = {(where, secret) for where, text in told.items() for secret in SECRETS
                 if secret in text}  # fmt: skip
        assert set() == leaks
        assert receiver.requests[0].headers["authorization"].startswith("Basic ")


def test_hostile_names_and_paths_forge_no_series(need, supervisor, tmp_path, ports, port):
    """O5: quotes, line ends, backslashes and bytes that are no text."""
    need("promtool")
    name = 'x"} 1\nevil_metric 42\n#\\'
    argv = [sys.executable, str(runtimes.HERE / "threaded_app.py"), str(port)]
    attributes = "no\nte=a%0Ab%22%5C,evil{x=1,ok=%FF%FE," + "k" * 300 + "=" + "v" * 5000
    env = {"OTEL_SERVICE_NAME": name, "OTEL_RESOURCE_ATTRIBUTES": attributes}
    supervisor.start("app", argv, ports=(port,), env=env)
    with OtlpHttpReceiver() as receiver:
        config = (
            f"otel_metrics_export: {{endpoint: '{receiver.url}', interval: 200ms}}\n"
            "routes: {unmatched: path}\n"
        )
        agent = start_agent(supervisor, tmp_path, config + selected(port), metrics_port=ports())
        paths = [b'/a"b\\c', b"/\xff\xfe", b"/a}b{c", b"/x\x01\x7fy", b"/" + b"p" * 4000]
        close = b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        for path in paths:
            exchange(port, [(0, b"GET " + path + close)])
        receiver.wait(lambda _: sum(receiver.counts().values()) >= len(paths) - 1)
        page = agent.page()
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=page.encode(), capture_output=True, check=False
        )
        assert (0, b"") == (done.returncode, done.stderr)
        assert not [line for line in page.splitlines() if line.startswith("evil")]
        jobs = {job for (job,) in agent.requests("job")}
        services = {point.resource["service.name"] for point in receiver.metrics(DURATION)}
        assert jobs == services
        assert 1 == len(jobs)
        assert all(each.isprintable() and len(each) <= 128 for each in jobs)
        routes = {route for (route,) in agent.requests("http_route")}
        assert max(map(len, routes)) < 300
        supervisor.stop(agent.running)


def test_the_page_is_local_and_nothing_but_a_page(web, supervisor, tmp_path, ports, loadgen):
    """O6: 127.0.0.1, /metrics and /healthz, GET and HEAD: no more; idle clients harm nobody."""
    page = ports()
    agent = start_agent(supervisor, tmp_path, selected(web.port), metrics_port=page)
    local = [
        line.split()[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{page:04X}")
    ]
    assert [f"0100007F:{page:04X}"] == local
    answers = {
        "GET /metrics": 200,
        "HEAD /metrics": 200,
        "GET /healthz": 200,
        "GET /config": 404,
        "GET /-/config": 404,
        "GET /debug/pprof": 404,
        "GET //metrics": 404,
        "GET /metrics/../config": 404,
        "POST /metrics": 405,
        "TRACE /metrics": 405,
    }
    head = " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    found = {
        asked: int(exchange(page, [(0, (asked + head).encode())]).split()[1]) for asked in answers
    }
    assert answers == found
    idle = [socket.create_connection(("127.0.0.1", page)) for _ in range(200)]
    try:
        run_exact(loadgen, Load(port=web.port, requests=100))
        until(lambda: agent.requests() == {(): 100}, timeout_seconds=5)
        assert {(): 100} == agent.requests()
    finally:
        for each in idle:
            each.close()
