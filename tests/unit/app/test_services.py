"""Ids of services: who has which, for how long, and with which routes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.abi import _layout as abi
from otelauto.app.selftest import SERVICE as SELF_TEST_SERVICE
from otelauto.app.services import ServiceIds, route_rules, service_key, without_patterns
from otelauto.config.load import loads
from otelauto.config.selection import EntryRoutes
from otelauto.model import Service
from otelauto.routes.rules import RouteRules

SHOP, CART = Service("shop", "prod", "h1"), Service("cart", "prod", "h1")
CONFIG = "ebpf: {open_port: 80}\nprint_traces: true\n"


def config(routes=""):
    return loads(CONFIG + routes, file="o.yml", environ={}).config


@pytest.fixture
def ids():
    return ServiceIds()


def test_a_service_is_found_by_its_identity_whatever_its_attributes(ids):
    number = ids.add(SHOP, None)
    newer = Service("shop", "prod", "h1", (("service.version", "2"),))
    assert number == ids.find(newer)
    assert 0 == ids.find(CART)
    assert [True, False] == [number in ids, number + 1 in ids]
    ids.rename(number, newer)
    assert newer == ids.service(number)


def test_an_id_is_not_given_again_while_another_is_free(ids):
    """What the kernel still holds of a service that is gone must not be another one's."""
    first = ids.add(SHOP, None)
    ids.remove(first)
    second = ids.add(CART, None)
    assert first != second
    assert (second,) == ids.numbers()
    assert (0, second) == (ids.find(SHOP), ids.find(CART))


def test_there_are_as_many_services_as_the_kernel_has_room_for(ids):
    """0 means none, and the last id belongs to the self-test."""
    numbers = [ids.add(Service(f"s{n}"), None) for n in range(abi.MAX_SERVICES)]
    given = [number for number in numbers if number]
    assert list(range(1, SELF_TEST_SERVICE)) == given
    assert numbers[-2:] == [0, 0]
    ids.remove(77)
    assert 77 == ids.add(CART, None)


def test_a_service_expires_when_its_last_process_has_been_gone_for_the_time(ids):
    number = ids.add(SHOP, None)
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
    assert [ids.add(SHOP, None)] == ids.expired(1000.0, 300.0)


def test_an_entry_can_be_replaced(ids):
    entry = EntryRoutes(patterns=("/a",))
    number = ids.add(SHOP, None)
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


@pytest.mark.parametrize(
    ("mode", "expected"), [("all", ("/health",)), ("metrics", ("/health",)), ("traces", ())]
)
def test_paths_that_only_traces_ignore_are_counted(mode, expected):
    routes = f"routes: {{ignored_patterns: [/health], ignore_mode: {mode}}}\n"
    assert expected == route_rules(config(routes), None).ignored_patterns


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
