"""Ids of services: who has which, for how long, and with which routes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.abi import _layout as abi
from otelauto.abi._layout import SpanBit
from otelauto.app.selftest import SERVICE as SELF_TEST_SERVICE
from otelauto.app.services import (
    ServiceIds,
    Signals,
    route_rules,
    service_key,
    service_tracing,
    without_patterns,
)
from otelauto.config.load import loads
from otelauto.config.selection import EntryRoutes, EntrySampler
from otelauto.model import Service
from otelauto.routes.rules import RouteRules

SHOP, CART = Service("shop", "prod", "h1"), Service("cart", "prod", "h1")
BOTH = Signals(frozenset({"metrics", "traces"}))
CONFIG = "ebpf: {open_port: 80}\nprint_traces: true\n"


def config(routes=""):
    return loads(CONFIG + routes, file="o.yml", environ={}).config


@pytest.fixture
def ids():
    return ServiceIds()


def test_a_service_is_found_by_its_identity_whatever_its_attributes(ids):
    number = ids.add(SHOP, None, BOTH)
    newer = Service("shop", "prod", "h1", (("service.version", "2"),))
    assert number == ids.find(newer)
    assert 0 == ids.find(CART)
    assert [True, False] == [number in ids, number + 1 in ids]
    ids.rename(number, newer)
    assert newer == ids.service(number)


def test_an_id_is_not_given_again_while_another_is_free(ids):
    """What the kernel still holds of a service that is gone must not be another one's."""
    first = ids.add(SHOP, None, BOTH)
    ids.remove(first)
    second = ids.add(CART, None, BOTH)
    assert first != second
    assert (second,) == ids.numbers()
    assert (0, second) == (ids.find(SHOP), ids.find(CART))


def test_there_are_as_many_services_as_the_kernel_has_room_for(ids):
    """0 means none, and the last id belongs to the self-test."""
    numbers = [ids.add(Service(f"s{n}"), None, BOTH) for n in range(abi.MAX_SERVICES)]
    given = [number for number in numbers if number]
    assert list(range(1, SELF_TEST_SERVICE)) == given
    assert numbers[-2:] == [0, 0]
    ids.remove(77)
    assert 77 == ids.add(CART, None, BOTH)


def test_a_service_expires_when_its_last_process_has_been_gone_for_the_time(ids):
    number = ids.add(SHOP, None, BOTH)
    ids.hold(number)
    ids.hold(number)
    ids.release(number, 10.0)
    assert [] == ids.expired(1e9, 300.0)
    ids.release(number, 20.0)
    assert [[], [number]] == [ids.expired(now, 300.0) for now in (319.9, 320.0)]
    ids.hold(number)
    assert [] == ids.expired(1e9, 300.0)


def test_a_service_that_never_had_a_process_expires_at_once(ids):
    """Its process was gone, or the kernel had no room for it."""
    assert [ids.add(SHOP, None, BOTH)] == ids.expired(1000.0, 300.0)


def test_an_entry_can_be_replaced(ids):
    entry = EntryRoutes(patterns=("/a",))
    number = ids.add(SHOP, None, BOTH)
    assert ids.entry(number) is None
    ids.set_entry(number, entry)
    assert entry == ids.entry(number)


NAMES = st.text(max_size=3).filter(lambda text: "\0" not in text)


@given(st.lists(st.builds(Service, NAMES, NAMES, NAMES), max_size=6))
def test_the_key_tells_services_apart_exactly_by_name_namespace_and_instance(services):
    identities = {(one.name, one.namespace, one.instance_id) for one in services}
    assert len(identities) == len({service_key(one) for one in services})


def test_the_rules_without_an_entry_are_the_global_ones():
    routes = "routes: {patterns: [/a/:id, /b], ignored_patterns: [/health], unmatched: path,"
    routes += " max_per_service: 7}\n"
    expected = RouteRules(("/a/:id", "/b"), ("/health",), "path", "{id}", 7)
    found = route_rules(config(routes), None)
    assert expected == found


def test_an_entrys_routes_are_tried_before_the_global_ones():
    entry = EntryRoutes(patterns=("/own",), ignored_patterns=("/ping",), unmatched="wildcard")
    found = route_rules(config("routes: {patterns: [/a], ignored_patterns: [/health]}\n"), entry)
    assert ("/own", "/a") == found.patterns
    assert ("/ping", "/health") == found.ignored_patterns
    assert "wildcard" == found.unmatched


@pytest.mark.parametrize("mode", ["all", "metrics", "traces"])
def test_paths_that_one_signal_ignores_are_known_to_the_kernel(mode):
    routes = f"routes: {{ignored_patterns: [/health], ignore_mode: {mode}}}\n"
    assert ("/health",) == route_rules(config(routes), None).ignored_patterns


def test_a_service_is_sampled_as_its_entry_says_or_as_all_are():
    whole = config("otel_traces_export: {sampler: {name: traceidratio, arg: 0.25}}\n")
    own = Signals(BOTH.exports, EntrySampler("always_off"), "/usr/sbin/nginx")
    assert 2**61 == service_tracing(whole, BOTH).sample_below
    assert (0, SpanBit.ON | SpanBit.PROXY) == (
        service_tracing(whole, own).sample_below,
        service_tracing(whole, own).bits,
    )


def test_a_service_without_traces_or_anybody_to_take_them_has_no_spans():
    only_metrics = Signals(frozenset({"metrics"}))
    assert 0 == service_tracing(config(""), only_metrics).bits
    nobody = loads("ebpf: {open_port: 80}\nnoop: true\n", file="o.yml", environ={}).config
    assert 0 == service_tracing(nobody, BOTH).bits


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("unset", "unset"),
        ("wildcard", "wildcard"),
        ("path", "wildcard"),
        ("heuristic", "wildcard"),
    ],
)
def test_rules_without_patterns_match_and_learn_nothing(policy, expected):
    rules = RouteRules(("/a",), ("/b",), policy, "{x}", 9)
    assert RouteRules((), (), expected, "{x}", 9) == without_patterns(rules)
