"""What is reported for known kinds of traffic: the cases which other instrumenters get wrong."""

from __future__ import annotations

import re

import pytest
from tests.unit.routes.kernel_double import WORDS, Kernel

from otelauto.routes.rules import RouteRules
from otelauto.routes.store import RouteStore
from otelauto.routes.table import RouteTable

SEED = 99


def kernel(rules=None, *, store=None, **options):
    double = Kernel(RouteTable(seed=SEED, store=store, **options), seed=SEED)
    double.add(1, "shop/cart", rules or RouteRules())
    return double


def routes_of(double, *paths, status=200):
    for path in paths:
        double.exchange(1, path.encode("utf-8", "surrogateescape"), status=status)
    return double.export(1)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/api/hello.world", "/api/hello.world"),
        ("/v1.2/users/42", "/v1.2/users/{id}"),
        ("/u/7f9c24e8-3b1a-4a0e-9c52-0a1b2c3d4e5f", "/u/{id}"),
        ("/t/aGVsbG8gd29ybGQ", "/t/{id}"),
        ("/app.js", "/app.js"),
    ],
)
def test_case_g1(tmp_path, path, route):
    """Words stay, identifiers fold, =~ works, and a restart gives the same."""
    store = RouteStore(tmp_path, pytest.fail)
    assert {route: 1} == routes_of(kernel(store=store), path)
    assert {route: 1} == routes_of(kernel(store=store), path)
    assert re.fullmatch(route, route)


@pytest.mark.parametrize(
    ("paths", "routes"),
    [
        (["/graphql", "/rpc", "/jsonrpc", "/ws", "/http", "/login.php", "/index.html"], None),
        (["/oauth2/token", "/api/v10/users"], None),
        (
            [
                f"/api/{word}"
                for word in [
                    "kpi",
                    "pdf",
                    "csv",
                    "xml",
                    "jwt",
                    "mfa",
                    "otp",
                    "vpn",
                    "dns",
                    "nfs",
                    "vm",
                    "gps",
                    "cdn",
                ]
            ],
            None,
        ),
        (["/wp-admin/admin-ajax.php", "/.well-known/openid-configuration", "/_search"], None),
        (["/user/alice", "/user/bob"], ["/user/{id}"]),
        (["/commit/cafebabe", "/files/deadbeef"], ["/commit/{id}", "/files/{id}"]),
        (["/s/abcd/x", "/zoek/fiets"], None),
        (
            [
                f"/api/{word}"
                for word in [
                    "ab",
                    "cd",
                    "ef",
                    "gh",
                    "ij",
                    "kl",
                    "mn",
                    "op",
                    "qu",
                    "rs",
                    "tu",
                    "vw",
                ]
            ],
            None,
        ),
    ],
)
def test_every_weakness_of_the_reference(paths, routes):
    """Kept as they are where routes is None."""
    found = routes_of(kernel(), *paths)
    assert sorted(routes or paths) == sorted(found)


def test_a_scanners_errors_change_no_label():
    double = kernel()
    for name in ("admin", "phpmyadmin", ".env", "wp-login.php", *map(str, range(2000))):
        double.exchange(1, f"/{name}".encode(), status=404)
    assert 0 == double.told
    assert {"/**": 2004} == double.export(1)
    assert {"/login": 1, "/shop": 1} == routes_of(double, "/login", "/shop")


def test_failures_of_a_known_route_have_its_name():
    double = kernel()
    routes_of(double, "/users/1")
    assert {"/users/{id}": 1, "/**": 1} == routes_of(double, "/users/2", "/nothing", status=500)


def test_a_hundred_thousand_identifiers_cost_one_call():
    double = kernel()
    for number in range(100_000):
        double.exchange(1, b"/users/%d" % number)
    assert 1 == double.told
    assert {"/users/{id}": 100_000} == double.export(1)


@pytest.mark.parametrize("template", ["/zoek/{}", "/{}", "/api/{}", "/x/{}/y", "/{}/y"])
def test_any_number_of_different_words_costs_few_calls(template):
    double = kernel()
    words = (f"{a}{b}{c}" for a in WORDS for b in WORDS for c in WORDS)
    for word in words:
        double.exchange(1, template.format(word).encode())
    assert double.told <= 64
    names = double.export(1)
    assert len(names) <= 50
    assert names[template.format("{id}")] > 7_900


def test_a_series_once_exported_never_changes_its_meaning():
    """Each path keeps the name that it had in the first export, whatever comes after."""
    double = kernel()
    first = {}
    for round_ in range(40):
        for index in range(round_ + 1):
            word = WORDS[index % 20] + WORDS[(index * 7) % 20]
            path = f"/zoek/{word}/{index % 3}".encode()
            double.exchange(1, path)
            double.settle()
            name = double.table.route_name(1, double.table.resolve(1, path))
            assert name == first.setdefault(path, name)


@pytest.mark.parametrize("unmatched", ["heuristic", "path"])
def test_case_o1_no_secret_reaches_a_name(unmatched):
    double = kernel(RouteRules(unmatched=unmatched))
    hostile = (b"/cb?code=abc&sig=XYZ", b"http://u:pw@h/x", b"h:443", b"/y#token", b"pw")
    for path in hostile:
        double.exchange(1, path)
    names = " ".join(filter(None, double.export(1)))
    assert [] == [word for word in ("code", "XYZ", "pw", "443", "token") if word in names]


def test_the_asterisk_form_has_its_own_route():
    assert {"*": 1} == routes_of(kernel(), "*") | {}


def test_paths_of_heuristic_routes_carry_no_session_ids():
    double = kernel()
    found = routes_of(double, "/cart;jsessionid=1A53", "/me@example.com/x")
    assert not [name for name in found if "1A53" in name or "example" in name]


@pytest.mark.parametrize(
    "paths",
    [
        ("/users/1", "/users/me", "/users/2/orders", "/users/search", "/users/me/orders"),
        ("/users/search", "/users/me/orders", "/users/me", "/users/2/orders", "/users/1"),
        ("/users/me", "/users/1", "/users/2/orders", "/users/search"),
    ],
)
def test_endpoints_beside_an_identifier_stay_whichever_comes_first(paths):
    double = kernel()
    for path in paths:
        double.exchange(1, path.encode())
        double.settle()
    names = ("/users/7", "/users/me", "/users/search", "/users/7/orders")
    found = [double.table.route_name(1, double.table.resolve(1, name.encode())) for name in names]
    assert ["/users/{id}", "/users/me", "/users/search", "/users/{id}/orders"] == found


def test_endpoints_at_the_root_survive_a_server_that_answers_everything():
    """Someone who asks for random paths of a server that never says 404 hides no endpoint."""
    double = kernel()
    for number in range(1000):
        double.exchange(1, b"/%x" % (number + 0x10000000))
    double.export(1)
    assert {"/login": 1, "/metrics": 1, "/{id}": 1} == routes_of(
        double, "/login", "/metrics", "/20000000"
    )


def test_a_path_that_was_cut_teaches_nothing():
    """One long path must not hide what is not known yet."""
    double = kernel()
    assert {"/**": 2} == routes_of(double, "/" + "x" * 300, "/api/" + "x/" * 300)
    assert {"/users/{id}": 1, "/zoek/fiets": 1} == routes_of(double, "/users/1", "/zoek/fiets")
