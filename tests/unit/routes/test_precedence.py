"""The order among learned routes."""

from __future__ import annotations

from itertools import count

from otelauto.abi._layout import Route
from otelauto.routes._lexicon import GUARDED, GUARDED_AT_ROOT
from otelauto.routes.automaton import Automaton
from otelauto.routes.heuristic import Kind, classify
from otelauto.routes.learn import Shape
from otelauto.routes.precedence import LearnedOrder, is_guard

USERS = Shape((b"users", None))
ME = Shape((b"users", b"me"))


def compiled(*shapes):
    """Routes 16, 17, ... learned in this order."""
    order, entries = LearnedOrder(2), []
    for route, shape in enumerate(shapes, start=16):
        entries += order.entries(shape, name="", route=route)
    return Automaton(entries, seed=1, node_ids=count(1))


def test_every_guarded_word_would_be_learned_as_itself():
    assert set() == {word for word in GUARDED if classify(word, b"users") is not Kind.ENDPOINT}
    assert set() == {word for word in GUARDED_AT_ROOT if classify(word) is not Kind.ENDPOINT}


def test_a_route_that_ends_in_a_placeholder_guards_the_words_beside_it():
    guard, entry = LearnedOrder(2).entries(USERS, name="/users/{id}", route=16)
    assert ((b"users",), GUARDED) == (guard.pattern.segments, guard.choices)
    assert guard.priority < entry.priority
    assert [True, False] == [is_guard(guard), is_guard(entry)]


def test_other_routes_guard_nothing():
    order = LearnedOrder(2)
    for shape in (Shape(()), ME, Shape((b"a", None, b"b")), Shape((b"a", None), rest=True)):
        assert 1 == len(order.entries(shape, name="", route=16))


def test_a_guarded_path_has_no_route_until_it_is_learned_as_itself():
    assert Route.NONE == compiled(USERS).match((b"users", b"me"))
    assert 16 == compiled(USERS).match((b"users", b"alice"))
    assert [16, 17] == [compiled(USERS, ME).match((b"users", x)) for x in (b"1", b"me")]
    assert [17, 16] == [compiled(ME, USERS).match((b"users", x)) for x in (b"1", b"me")]


def test_an_older_route_keeps_a_path_although_it_is_guarded_later():
    anything = Shape((None, b"me"))
    assert 16 == compiled(anything, USERS).match((b"users", b"me"))
    assert 16 == compiled(anything, USERS, ME).match((b"users", b"me"))


def test_of_two_routes_without_a_guard_the_older_one_wins():
    one, other = Shape((None, b"x")), Shape((b"a", None, b"y"))
    both = Shape((None, None, b"y"))
    assert 16 == compiled(both, one, other).match((b"a", b"b", b"y"))
    assert 17 == compiled(one, other, both).match((b"a", b"b", b"y"))
