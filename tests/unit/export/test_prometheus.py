"""The Prometheus endpoint: which pages, for whom, and what cannot work."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from dataclasses import replace

import pytest
import structlog.testing
from tests.unit.export.prometheus_rig import (
    OPENMETRICS,
    Endpoint,
    expected_of_rich,
    free_port,
    samples,
)
from tests.unit.export.samples import snapshot

from otelauto.errors import ExportError
from otelauto.export.prometheus import PrometheusExporter
from otelauto.export.settings import PrometheusSettings


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
