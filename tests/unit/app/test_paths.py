"""Spans have the routes that the metrics have."""

from __future__ import annotations

import pytest
from tests.unit.spans.records import event

from otelauto.abi import _layout as abi


def traced(rig, path, *, status=200, service=1, hash_=5, route=abi.Route.PENDING):
    made = event(
        b"GET / HTTP/1.1\r\n\r\n", service=service, path=hash_, route=route, status=status
    )
    (found,) = rig.session.traced([(made, path)])
    return found


def test_a_route_of_the_kernel_is_named(new_rig):
    rig = new_rig("routes: {patterns: ['/users/{id}']}\n")
    rig.run(7)
    found = traced(rig, b"/users/7", route=rig.kernel.walk(1, b"/users/7"), hash_=0)
    assert "/users/{id}" == found.route
    assert "shop" == dict(found.resource)["service.name"]


def test_a_pending_path_is_learned_from_and_metrics_have_the_same_route(rig):
    rig.run(7)
    key = rig.kernel.exchange(7, b"/users/12345")
    found = traced(rig, b"/users/12345", hash_=key.hash)
    assert "/users/{id}" == found.route
    assert key in rig.kernel.cache
    assert {("shop", "/users/{id}"): 1} == rig.collect()


def test_a_path_that_failed_teaches_nothing(rig):
    rig.run(7)
    assert "/**" == traced(rig, b"/wp-admin/12345", status=404).route
    assert {} == rig.kernel.cache


def test_without_a_route_there_is_no_name(new_rig):
    rig = new_rig("routes: {unmatched: unset}\n")
    rig.run(7)
    assert traced(rig, b"/a", route=abi.Route.NONE).route is None


def test_a_service_that_is_gone_has_no_spans(rig):
    rig.run(7)
    assert traced(rig, b"/a", service=9) is None


@pytest.mark.parametrize(
    ("mode", "spans", "counted"),
    [("all", False, False), ("metrics", True, False), ("traces", False, True)],
)
def test_a_path_is_ignored_in_the_signals_that_are_named(new_rig, mode, spans, counted):
    rig = new_rig(f"routes: {{ignored_patterns: [/health], ignore_mode: {mode}}}\n")
    rig.run(7)
    rig.kernel.exchange(7, b"/health")
    route = rig.kernel.walk(1, b"/health")
    assert spans == (traced(rig, b"/health", route=route, hash_=0) is not None)
    assert ({("shop", "/health"): 1} if counted else {}) == rig.collect()
