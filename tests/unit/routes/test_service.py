"""The routes of one service: names, and the joining of patterns and of what is learned."""

from __future__ import annotations

from functools import partial
from itertools import count

import pytest

from otelauto.abi._layout import Route
from otelauto.errors import ConfigError
from otelauto.routes._service import RoutesOfService, shape_name
from otelauto.routes.automaton import Automaton
from otelauto.routes.learn import Learned, Shape
from otelauto.routes.pattern import parse_pattern
from otelauto.routes.rules import RouteRules
from otelauto.routes.steps import StepBudget


def service(rules=None, known=None, budget=None):
    budget = budget or StepBudget()
    return RoutesOfService(
        rules or RouteRules(),
        known or Learned(),
        new_automaton=partial(Automaton, seed=1, node_ids=count(1), budget=budget),
        budget=budget,
        route_ids=count(16),
        generations=count(1),
    )


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        (Shape(()), "/"),
        (Shape((b"*",)), "*"),
        (Shape((b"users", None)), "/users/{id}"),
        (Shape((b"a",), rest=True), "/a/{path...}"),
        (Shape((), rest=True), "/{path...}"),
        (Shape((b"caf\xc3\xa9", b"\xff", b"a b")), "/café/%FF/a%20b"),
    ],
)
def test_the_name_of_a_shape(shape, name):
    assert name == shape_name(shape, "{id}")


def test_the_name_of_a_learned_route_is_a_pattern_that_means_the_same():
    shape = Shape((b"users", None, b"files"), rest=True)
    pattern = parse_pattern(shape_name(shape, "{id}"))
    assert (shape.segments, shape.rest) == (pattern.segments, pattern.rest)


def test_the_placeholder_is_the_configured_one():
    routes = service(RouteRules(placeholder=":x"))
    assert "/users/:x" == routes.name(routes.see((b"users", b"1"), truncated=False))


def test_patterns_are_stronger_than_what_was_learned():
    known = Learned((Shape((b"users", b"me")), Shape((b"users", None))))
    routes = service(RouteRules(patterns=("/users/{user}",)), known)
    assert "/users/{user}" == routes.name(routes.match((b"users", b"me"), truncated=False))


def test_of_learned_routes_the_older_one_is_stronger():
    known = Learned((Shape((None, b"x")), Shape((b"users", None))))
    routes = service(known=known)
    assert "/{id}/x" == routes.name(routes.match((b"users", b"x"), truncated=False))


def test_a_policy_that_does_not_learn_learns_nothing():
    routes = service(RouteRules(unmatched="wildcard"))
    assert Route.NONE == routes.see((b"users", b"1"), truncated=False)
    assert Learned() == routes.learned
    assert 0 == routes.waiting


def test_updates_are_given_once():
    routes = service(RouteRules(patterns=("/a",)))
    assert routes.take_updates()
    assert not routes.take_updates()


def test_a_path_that_waits_is_pending():
    routes = service()
    assert Route.PENDING == routes.see((b"zoek", b"fiets"), truncated=False)
    assert 1 == routes.waiting
    routes.decide()
    routes.sweep()
    assert "/zoek/fiets" == routes.name(routes.match((b"zoek", b"fiets"), truncated=False))


def test_every_step_is_given_back_in_the_end():
    budget = StepBudget()
    routes = service(RouteRules(patterns=("/a/{x}/b", "/c/*"), max_routes=3), budget=budget)
    routes.see((b"users", b"1"), truncated=False)
    routes.see((b"api",) * 9, truncated=False)
    routes.reconfigure(RouteRules(patterns=("/d",), max_routes=3))
    routes.decide()
    routes.sweep()
    routes.see((b"orders", b"1"), truncated=False)
    routes.decide()
    routes.sweep()
    assert budget.used > 0
    routes.close()
    assert 0 == budget.used


def test_rules_that_are_not_valid_change_nothing():
    budget = StepBudget()
    routes = service(RouteRules(patterns=("/a",)), budget=budget)
    entry, used = routes.entry, budget.used
    with pytest.raises(ConfigError):
        routes.reconfigure(RouteRules(patterns=("/{",)))
    budget.limit = used
    with pytest.raises(ConfigError):
        routes.reconfigure(RouteRules(patterns=("/b/c",)))
    assert (entry, used) == (routes.entry, budget.used)


def test_a_path_that_was_cut_is_not_learned():
    """A wildcard for it would swallow all that is not known yet."""
    routes = service(RouteRules(patterns=("/files/*",)))
    assert Route.NONE == routes.see((b"x", b"cut"), truncated=True)
    assert "/files/*" == routes.name(routes.see((b"files", b"cut"), truncated=True))
    assert Learned() == routes.learned


def test_guards_are_left_out_when_little_room_is_left():
    budget = StepBudget(limit=20)
    routes = service(budget=budget)
    routes.see((b"users", b"1"), truncated=False)
    assert budget.used <= 10 + 1
    assert "/users/{id}" == routes.name(routes.match((b"users", b"upload")))
