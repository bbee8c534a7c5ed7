"""A running endpoint, a client for it, and what its page must hold."""

from __future__ import annotations

import http.client
import socket
from dataclasses import replace
from itertools import accumulate

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from otelauto.export.prometheus import PrometheusExporter
from otelauto.export.settings import PrometheusSettings

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


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]
