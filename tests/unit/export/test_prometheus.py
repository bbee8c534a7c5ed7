"""The Prometheus endpoint, read over real sockets with the official parsers."""

from __future__ import annotations

import base64
import gzip
import http.client
import socket
import ssl
import subprocess
import time
from dataclasses import replace
from itertools import accumulate

import pytest
import structlog.testing
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
from tests.unit.export.samples import START, histogram, resource, service, snapshot

from otelauto.errors import ExportError
from otelauto.export._page_server import Limits
from otelauto.export.prometheus import PrometheusExporter
from otelauto.export.settings import PrometheusSettings
from otelauto.metrics import catalog
from otelauto.model import MetricFamily, NumberPoint, ResourceMetrics

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
PARSERS = {"": plain, OPENMETRICS: openmetrics}


class Endpoint:
    """A running exporter and a client for it."""

    def __init__(self, collect, *, limits=None, log=None, **changes):
        settings = replace(PrometheusSettings(port=0), **changes)
        self.exporter = PrometheusExporter(settings, collect, limits=limits, log=log)

    def __enter__(self):
        self.exporter.start()
        return self

    def __exit__(self, *_):
        self.exporter.stop()

    @property
    def port(self):
        return self.exporter.ports[0]

    def get(self, path="/metrics", *, method="GET", context=None, body=None, **headers):
        kind = http.client.HTTPConnection
        options = {"timeout": 10}
        if context is not None:
            kind, options = http.client.HTTPSConnection, {"timeout": 10, "context": context}
        connection = kind("127.0.0.1", self.port, **options)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body=body, headers=names)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def page(self, accept="", path="/metrics"):
        status, _, body = self.get(path, Accept=accept)
        assert status == 200
        return body.decode()

    def raw(self, data, *, wait_seconds=5):
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_seconds) as one:
            one.sendall(data)
            received = b""
            while piece := one.recv(65536):
                received += piece
            return received


def samples(text, parser=plain):
    """{(name, labels): value} of a page; a duplicate series is an error."""
    found = {}
    for family in parser(text):
        for one in family.samples:
            key = (one.name, tuple(sorted(one.labels.items())))
            assert key not in found, f"twice: {key}"
            found[key] = one.value
    return found


def key(name, **labels):
    return name, tuple(sorted(labels.items()))


SHOP = {
    "job": "prod/shop",
    "instance": "host-1/shop.service",
    "service_name": "shop",
    "service_namespace": "prod",
}
CART = {
    "job": "prod/cart",
    "instance": "host-1/cart.service",
    "service_name": "cart",
    "service_namespace": "prod",
}
AGENT = {"job": "otelauto", "instance": "host-1/otelauto", "service_name": "otelauto"}


def histogram_samples(name, counts, total, **labels):
    limits = ["0.0", "0.005", "0.01", "0.1", "1.0", "+Inf"]
    found = {
        key(f"{name}_bucket", le=limit, **labels): count
        for limit, count in zip(limits, accumulate(counts), strict=True)
    }
    found[key(f"{name}_count", **labels)] = sum(counts)
    found[key(f"{name}_sum", **labels)] = total
    return found


def expected_of_rich():
    duration = "http_server_request_duration_seconds"
    get = {"http_request_method": "GET", "http_response_status_code": "200"}
    post = {"http_request_method": "POST", "http_response_status_code": "500"}
    cart = {"http_request_method": "GET", "http_response_status_code": "204"}
    port = {"server_port": "8080"}
    return {
        **histogram_samples(
            duration, (0, 3, 2, 1, 0, 1), 2.5, http_route="/a/{id}", **get, **port, **SHOP
        ),
        **histogram_samples(duration, (1, 0, 0, 0, 0, 0), 0.0, **post, **port, **SHOP),
        **histogram_samples(duration, (0, 0, 0, 0, 5, 0), 3.25, **cart, **CART),
        key("otelauto_exchanges_total", otelauto_outcome="aggregated", **AGENT): 9,
        key("otelauto_exchanges_total", otelauto_outcome="lost", **AGENT): 0,
        key("otelauto_cpu_time_seconds_total", cpu_mode="user", **AGENT): 0.25,
        key("otelauto_targets", **AGENT): 2,
        key("otelauto_build_info", otelauto_version="1.2.3", **AGENT): 1,
        key("target_info", job="prod/shop", instance="host-1/shop.service", host_name="host-1"): 1,
        key("target_info", job="prod/cart", instance="host-1/cart.service", host_name="host-1"): 1,
        key("target_info", job="otelauto", instance="host-1/otelauto", host_name="host-1"): 1,
    }


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


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_the_format_is_negotiated(rich, accept, content_type):
    with Endpoint(lambda: rich) as endpoint:
        _, headers, body = endpoint.get(**({} if accept is None else {"Accept": accept}))
    assert headers["Content-Type"] == content_type
    assert body.endswith(b"# EOF\n") == content_type.startswith("application")


def test_gzip_is_used_if_the_client_takes_it(rich):
    with Endpoint(lambda: rich) as endpoint:
        _, headers, body = endpoint.get(Accept_Encoding="gzip")
        assert headers["Content-Encoding"] == "gzip"
        assert expected_of_rich() == samples(gzip.decompress(body).decode())
        _, headers, _ = endpoint.get(Accept_Encoding="gzip;q=0, identity")
        assert headers["Content-Encoding"] is None


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


# --- pages ---------------------------------------------------------------------------------------


def test_the_agents_own_metrics_are_on_the_same_page_by_default(rich):
    with Endpoint(lambda: rich) as endpoint:
        assert len(endpoint.exporter.ports) == 1
        assert "otelauto_targets" in endpoint.page()
        assert endpoint.get("/internal/metrics")[0] == 404


def test_the_agents_own_metrics_may_have_a_path_of_their_own(rich):
    with Endpoint(lambda: rich, internal_port=0) as endpoint:
        assert len(endpoint.exporter.ports) == 1
        assert "otelauto_" not in endpoint.page()
        internal = endpoint.page(path="/internal/metrics")
    assert "otelauto_targets" in internal
    assert "http_server" not in internal


def test_the_agents_own_metrics_may_have_a_port_of_their_own(rich):
    port = free_port()
    with Endpoint(lambda: rich, internal_port=port) as endpoint:
        assert endpoint.exporter.ports[1] == port
        assert "otelauto_" not in endpoint.page()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/internal/metrics")
        assert b"otelauto_targets" in connection.getresponse().read()
        connection.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def test_a_busy_port_is_an_error_and_nothing_is_served(rich):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        first = free_port()
        exporter = PrometheusExporter(
            PrometheusSettings(port=first, internal_port=port), lambda: rich
        )
        with pytest.raises(ExportError, match=f"127.0.0.1:{port}"):
            exporter.start()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", first), timeout=1)


def test_by_default_only_this_host_can_connect(rich):
    with Endpoint(lambda: rich) as endpoint:
        (server,) = endpoint.exporter._servers
        assert server._listener.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("address", ["", "::"])
def test_every_interface_on_request(rich, address):
    with Endpoint(lambda: rich, listen_address=address) as endpoint:
        assert endpoint.get("/healthz")[0] == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "metrics"},
        {"path": "/a b"},
        {"path": "/healthz"},
        {"internal_path": "/x?y"},
        {"certificate": "/nowhere.pem"},
        {"key": "/nowhere.pem"},
    ],
    ids=repr,
)
def test_settings_that_cannot_work_are_errors_at_start(changes):
    with pytest.raises(ExportError) as caught:
        PrometheusExporter(replace(PrometheusSettings(port=0), **changes), snapshot)
    assert caught.value.hint


def test_an_address_of_another_host_is_an_error(rich):
    exporter = PrometheusExporter(
        PrometheusSettings(port=0, listen_address="192.0.2.1"), lambda: rich
    )
    with pytest.raises(ExportError, match=r"192\.0\.2\.1"):
        exporter.start()


# --- access --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/config",
        "/-/config",
        "/debug/pprof",
        "//metrics",
        "/metrics/",
        "/metrics/../config",
        "/METRICS",
        "/%6detrics",
    ],
)
def test_nothing_else_is_served(rich, path):
    with Endpoint(lambda: rich) as endpoint:
        assert endpoint.get(path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "OPTIONS", "PATCH", "get"])
@pytest.mark.parametrize("path", ["/metrics", "/healthz"])
def test_other_methods_are_refused(rich, method, path):
    with Endpoint(lambda: rich) as endpoint:
        status, headers, _ = endpoint.get(path, method=method, body=b"x" * 70_000)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_head_has_the_heads_of_get_and_no_body(rich):
    with Endpoint(lambda: rich) as endpoint:
        status, headers, body = endpoint.get(method="HEAD")
        assert (status, body) == (200, b"")
        assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_healthz_says_ok_without_collecting():
    with Endpoint(lambda: 1 / 0) as endpoint:
        assert endpoint.get("/healthz")[::2] == (200, b"ok\n")


def test_basic_authentication(rich):
    def header(pair):
        return "Basic " + base64.b64encode(pair.encode()).decode()

    with Endpoint(lambda: rich, username="prom", password="pä:ss") as endpoint:
        status, headers, body = endpoint.get()
        assert status == 401
        assert headers["WWW-Authenticate"].startswith("Basic realm=")
        assert b"http_server" not in body
        for wrong in ("prom:pä:s", "prom:", "x:pä:ss", ":", "prom"):
            assert endpoint.get(Authorization=header(wrong))[0] == 401
        for broken in ("Basic", "Basic !!!", "Bearer x", "", "Basic " + "A" * 3):
            assert endpoint.get(Authorization=broken)[0] == 401
        assert endpoint.get("/other")[0] == 401
        assert endpoint.get(Authorization=header("prom:pä:ss"))[0] == 200
        assert endpoint.get("/healthz")[0] == 200


def test_tls(rich, server_pem, ca_file, tmp_path):
    chain, private = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(b"".join(one.bytes() for one in server_pem.cert_chain_pems))
    server_pem.private_key_pem.write_to_path(private)
    client = ssl.create_default_context(cafile=ca_file)
    with Endpoint(lambda: rich, certificate=str(chain), key=str(private)) as endpoint:
        status, _, body = endpoint.get(context=client)
        assert status == 200
        assert expected_of_rich() == samples(body.decode())
        assert b"http_server" not in endpoint.raw(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert endpoint.get(context=client, method="POST", body=b"x")[0] == 405


# --- hardness ------------------------------------------------------------------------------------


def test_a_collect_that_fails_fails_one_scrape(rich):
    turns = iter([RuntimeError("no map"), None])

    def collect():
        error = next(turns)
        if error is not None:
            raise error
        return rich

    with structlog.testing.capture_logs() as logs, Endpoint(collect) as endpoint:
        status, _, body = endpoint.get()
        assert status == 500
        assert b"no map" not in body
        assert endpoint.get()[0] == 200
        assert endpoint.exporter.scrapes == {500: 1, 200: 1}
    assert "no map" in repr(logs)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 505),
        (b"GET metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET http://x HTTP/1.1\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\n\r\n", 400),
        (b"GET http://x/metrics?y HTTP/1.1\r\nConnection: close\r\n\r\n", 200),
        (b"GET http://x//metrics HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
        (b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"G\xffT /metrics HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n", 431),
        (b"GET /metrics HTTP/1.0\r\n\r\n", 200),
    ],
)
def test_odd_heads_get_their_status_and_the_connection_ends(rich, data, status):
    with Endpoint(lambda: rich) as endpoint:
        assert endpoint.raw(data).startswith(f"HTTP/1.1 {status} ".encode())
        assert endpoint.get("/healthz")[0] == 200


def test_one_connection_serves_many_scrapes_also_pipelined(rich):
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"
    with Endpoint(lambda: rich) as endpoint:
        assert endpoint.raw(head * 3 + last).count(b"HTTP/1.1 200 OK") == 4


def test_a_body_is_never_taken_for_a_request(rich):
    smuggled = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    data = b"GET /healthz HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(smuggled), smuggled)
    with Endpoint(lambda: rich) as endpoint:
        assert endpoint.raw(data).count(b"HTTP/1.1 ") == 1


def test_idle_connections_cannot_keep_a_scraper_out(rich):
    with Endpoint(lambda: rich, limits=Limits(connections=8)) as endpoint:
        idle = [socket.create_connection(("127.0.0.1", endpoint.port)) for _ in range(100)]
        try:
            assert endpoint.get()[0] == 200
        finally:
            for one in idle:
                one.close()


def drip(connection):
    for _ in range(50):
        connection.sendall(b"G")
        time.sleep(0.1)


def test_a_head_that_drips_is_cut_off(rich):
    with (
        Endpoint(lambda: rich, limits=Limits(head_seconds=0.4)) as endpoint,
        socket.create_connection(("127.0.0.1", endpoint.port), timeout=5) as one,
    ):
        begin = time.monotonic()
        with pytest.raises(OSError, match=r"."):
            drip(one)
        assert time.monotonic() - begin < 2


def test_a_reader_that_does_not_read_is_cut_off_and_others_are_served():
    big = snapshot(service(*(histogram(route=f"/{n}" + "x" * 900) for n in range(3000))))
    limits = Limits(piece_seconds=0.5)
    with Endpoint(lambda: big, limits=limits) as endpoint:
        lazy = socket.socket()
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", endpoint.port))
        with lazy:
            lazy.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            assert endpoint.get("/healthz")[0] == 200
            assert endpoint.get()[0] == 200
            time.sleep(0.8)
            assert not endpoint.exporter._servers[0]._open
            assert endpoint.get("/healthz")[0] == 200


def test_stop_closes_the_port_at_once(rich):
    with Endpoint(lambda: rich) as endpoint:
        port = endpoint.port
        one = socket.create_connection(("127.0.0.1", port))
        begin = time.monotonic()
    assert time.monotonic() - begin < 1
    one.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


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
