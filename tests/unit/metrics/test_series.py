"""An entry's attributes are those of the semantic conventions for HTTP metrics, and no others."""

from __future__ import annotations

import ipaddress

import pytest
from tests.unit.metrics.red import red_key

from otelauto.abi import _layout as abi
from otelauto.metrics import catalog
from otelauto.metrics.series import SeriesKey, series_key

SERVER, CLIENT = abi.Role.SERVER, abi.Role.CLIENT
DECLARED = {
    SERVER: {
        entry.attributes for entry in catalog.HTTP_METRICS if ".server." in entry.metric.name
    },
    CLIENT: {
        entry.attributes for entry in catalog.HTTP_METRICS if ".client." in entry.metric.name
    },
}


def attributes(route=None, **fields):
    return dict(series_key(red_key(**fields), route).attributes)


def test_an_answered_request_of_a_server():
    expected = SeriesKey(
        7,
        SERVER,
        (
            ("http.request.method", "GET"),
            ("http.response.status_code", 200),
            ("http.route", "/a"),
            ("network.protocol.version", "1.1"),
            ("server.port", 8080),
            ("url.scheme", "http"),
        ),
    )
    assert expected == series_key(red_key(7), "/a")
    assert not expected.is_overflow


@pytest.mark.parametrize("role", [SERVER, CLIENT])
@pytest.mark.parametrize("fault", abi.Fault)
@pytest.mark.parametrize("status", [0, 100, 200, 399, 400, 404, 499, 500, 503, 599])
def test_the_type_of_an_error_is_its_fault_or_else_the_status_that_failed(role, fault, status):
    """Semantic conventions: a 4xx is no error of the server, but one for the client."""
    found = attributes(role=role, fault=fault, status=status)
    failing = 500 if role == SERVER else 400
    of_status = str(status) if status >= failing else None
    expected = fault.name.lower() if fault else of_status
    assert expected == found.get("error.type")
    assert (status or None) == found.get("http.response.status_code")


@pytest.mark.parametrize(("number", "name"), list(enumerate(abi.METHODS)), ids=abi.METHODS)
def test_every_method_has_its_registered_name(number, name):
    assert name == attributes(method=number)["http.request.method"]


def test_a_method_that_nobody_registered_is_other():
    assert "_OTHER" == attributes(method=0)["http.request.method"]


@pytest.mark.parametrize(
    ("version", "expected"),
    [(abi.Version.HTTP_1_0, "1.0"), (abi.Version.HTTP_1_1, "1.1"), (abi.Version(0), None)],
)
def test_the_version_is_that_of_the_protocol_or_absent(version, expected):
    assert expected == attributes(version=version).get("network.protocol.version")


def test_what_is_not_known_is_absent_and_never_empty():
    found = attributes(status=0, server_port=0, version=0)
    assert {"http.request.method": "GET", "url.scheme": "http"} == found


def test_the_scheme_is_that_of_the_transport():
    assert "https" == attributes(tls=1)["url.scheme"]


@pytest.mark.parametrize(
    ("family", "address", "expected"),
    [
        (4, "192.0.2.7", "192.0.2.7"),
        (4, "0.0.0.0", "0.0.0.0"),
        (6, "2001:db8::7", "2001:db8::7"),
        (6, "::1", "::1"),
        (1, "::", None),
        (0, "::", None),
    ],
)
def test_the_address_of_a_server_is_in_its_usual_form(family, address, expected):
    packed = ipaddress.ip_address(address).packed.ljust(16, b"\0")
    found = attributes(role=CLIENT, family=family, address=packed)
    assert expected == found.get("server.address")


def test_shards_of_one_series_are_one_series():
    keys = {series_key(red_key(shard=shard), "/a") for shard in range(8)}
    assert 1 == len(keys)


@pytest.mark.parametrize("role", [SERVER, CLIENT])
def test_the_overflow_series_has_the_attribute_of_the_specification_alone(role):
    key = red_key(3, role=role, route=abi.Route.OVERFLOW, method=9, status=500)
    found = series_key(key, None)
    assert SeriesKey(3, role, (("otel.metric.overflow", True),)) == found
    assert found.is_overflow


@pytest.mark.parametrize("role", [SERVER, CLIENT])
def test_the_fullest_key_has_exactly_the_attributes_that_the_catalogue_declares(role):
    """server.address is the client's only: a server does not know by which name it was called."""
    address = {"family": 4, "address": bytes(16)} if role == CLIENT else {}
    found = attributes("/a", role=role, fault=abi.Fault.CONNECTION_RESET, **address)
    assert {tuple(sorted(found))} == DECLARED[role]
