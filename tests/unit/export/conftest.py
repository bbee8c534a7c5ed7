"""Snapshots and certificates that the exporters' tests share."""

from __future__ import annotations

import ssl

import pytest
import trustme
from hypothesis import settings
from tests.unit.export.samples import START, histogram, named, resource, service, snapshot

from otelauto.metrics import catalog
from otelauto.model import MetricFamily, NumberPoint, ResourceMetrics

# The machine is shared: an example that takes long says nothing about the code.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


@pytest.fixture
def rich():
    """Two services, three kinds of metric, several points."""
    agent = ResourceMetrics(
        resource(name="otelauto", namespace="", instance="host-1/otelauto"),
        (
            MetricFamily(
                catalog.EXCHANGES,
                (
                    NumberPoint(named({"outcome": "aggregated"}), START, 9),
                    NumberPoint(named({"outcome": "lost"}), START, 0),
                ),
            ),
            MetricFamily(catalog.CPU_TIME, (NumberPoint((("cpu.mode", "user"),), START, 0.25),)),
            MetricFamily(catalog.TARGETS, (NumberPoint((), START, 2),)),
            MetricFamily(
                catalog.BUILD_INFO, (NumberPoint((("otelauto.version", "1.2.3"),), START, 1),)
            ),
        ),
        internal=True,
    )
    return snapshot(
        service(
            histogram(method="GET", status=200, route="/a/{id}", port=8080),
            histogram((1, 0, 0, 0, 0, 0), total=0.0, method="POST", status=500, port=8080),
        ),
        service(
            histogram((0, 0, 0, 0, 5, 0), total=3.25, method="GET", status=204),
            name="cart",
            instance="host-1/cart.service",
        ),
        agent,
    )


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="session")
def server_pem(authority):
    return authority.issue_cert("127.0.0.1", "localhost")


@pytest.fixture(scope="session")
def client_files(authority, tmp_path_factory):
    """(certificate chain, key) of a client that the authority knows."""
    issued = authority.issue_cert("agent@host-1")
    folder = tmp_path_factory.mktemp("client")
    chain, key = folder / "client.pem", folder / "client.key"
    issued.cert_chain_pems[0].write_to_path(chain)
    issued.private_key_pem.write_to_path(key)
    return str(chain), str(key)


@pytest.fixture
def tls_server(server_pem):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_pem.configure_cert(context)
    return context


@pytest.fixture(params=["http/protobuf", "grpc"])
def protocol(request):
    return request.param


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
