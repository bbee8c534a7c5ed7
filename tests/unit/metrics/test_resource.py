"""A resource says which service on which host, and who measured it."""

from __future__ import annotations

import platform
import uuid

import pytest

from otelauto import __version__
from otelauto.discovery.identity import Host
from otelauto.metrics.resource import agent_resource, service_resource
from otelauto.model import Service

HOST = Host("web-1", "0123456789abcdef")
SERVICE = Service("shop", "prod", "5f0c", (("service.version", "1.2"),))


def test_a_service_is_named_with_its_namespace_instance_and_host():
    found = dict(service_resource(SERVICE, HOST))
    expected = {
        "service.name": "shop",
        "service.namespace": "prod",
        "service.instance.id": "5f0c",
        "service.version": "1.2",
        "host.name": "web-1",
        "host.id": "0123456789abcdef",
        "os.type": "linux",
        "telemetry.distro.name": "otelauto",
        "telemetry.distro.version": __version__,
    }
    assert expected == {name: found[name] for name in expected}
    assert {
        "host.arch",
        "telemetry.sdk.name",
        "telemetry.sdk.language",
        "telemetry.sdk.version",
    } == (found.keys() - expected.keys())


def test_attributes_are_sorted_so_that_equal_resources_are_equal():
    found = service_resource(SERVICE, HOST, extra=[("zone", "b"), ("a.zone", "c")])
    assert sorted(found) == list(found)


def test_what_is_not_known_is_absent():
    found = dict(service_resource(Service("shop"), Host("web-1", "")))
    assert not {"host.id", "service.namespace"} & found.keys()


def test_the_services_own_attributes_win_over_the_configured_ones():
    extra = [("service.version", "0"), ("deployment.environment.name", "test")]
    found = dict(service_resource(SERVICE, HOST, extra=extra))
    assert "1.2" == found["service.version"]
    assert "test" == found["deployment.environment.name"]


@pytest.mark.parametrize(
    "name", ["host.name", "service.name", "service.instance.id", "os.type", "telemetry.sdk.name"]
)
def test_what_the_agent_knows_cannot_be_said_otherwise(name):
    """A service that calls itself otherwise than discovery did would split its series."""
    lying = Service("shop", "prod", "5f0c", ((name, "wrong"),))
    found = dict(service_resource(lying, HOST, extra=[(name, "wrong too")]))
    assert dict(service_resource(SERVICE, HOST))[name] == found[name]


@pytest.mark.parametrize(
    ("machine", "expected"),
    [("x86_64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64")],
)
def test_the_architecture_has_the_conventions_name(monkeypatch, machine, expected):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert expected == dict(service_resource(SERVICE, HOST))["host.arch"]


def test_the_agent_is_one_instance_a_host_and_the_same_after_a_restart():
    one, again = agent_resource(HOST), agent_resource(HOST)
    other = agent_resource(Host("web-1", "fedcba9876543210"))
    assert one == again
    ids = [dict(found)["service.instance.id"] for found in (one, other)]
    assert ids[0] != ids[1]
    assert 5 == uuid.UUID(str(ids[0])).version
    assert ("otelauto", __version__) == (
        dict(one)["service.name"],
        dict(one)["service.version"],
    )


def test_without_an_id_of_the_host_its_name_tells_agents_apart():
    first, second = (dict(agent_resource(Host(name, ""))) for name in ("web-1", "web-2"))
    assert first["service.instance.id"] != second["service.instance.id"]


def test_the_agents_resource_takes_the_configured_attributes_too():
    found = dict(agent_resource(HOST, extra=[("cloud.region", "x"), ("service.name", "wrong")]))
    assert ("x", "otelauto") == (found["cloud.region"], found["service.name"])
