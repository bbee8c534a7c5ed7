"""The learner: what becomes of names, and that no decision is ever taken back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelauto.routes._service import shape_name
from otelauto.routes.learn import (
    CONFIRMED,
    MAX_API_NAMES,
    MAX_DEPTH,
    MAX_NAMES,
    MAX_WAITING,
    HeuristicLearner,
    Learned,
    PathLearner,
    Shape,
)
from otelauto.routes.pattern import split_path

WORDS = [first + second for first in ("ba", "do", "ki", "lu", "me") for second in
         ("sta", "rin", "mol", "net", "pul", "gor", "den", "fis", "wan", "tek", "lam", "con",
          "bir", "sol", "mar", "ped", "rum", "til", "nov", "hes")]  # fmt: skip


def learner(known=None, max_routes=200):
    return HeuristicLearner(max_routes=max_routes, known=known)


def offer(pupil, *paths):
    """The names of what is decided at once."""
    decided = []
    for path in paths:
        decided += pupil.offer(split_path(path.encode()))
    return [shape_name(shape, "{id}") for shape in decided]


def settle(pupil):
    return [shape_name(shape, "{id}") for shape in pupil.settle()]


def test_a_path_of_endpoints_and_identifiers_is_decided_at_once():
    assert ["/api/v10/users/{id}"] == offer(learner(), "/api/v10/users/42")


def test_the_root_is_a_route():
    assert ["/"] == offer(learner(), "/")


def test_a_name_waits_until_the_export():
    pupil = learner()
    assert [] == offer(pupil, "/zoek/fiets", "/s/abcd/x")
    assert 2 == pupil.waiting
    assert ["/zoek/fiets", "/s/abcd/x"] == settle(pupil)
    assert 0 == pupil.waiting


def test_a_name_above_several_identifiers_does_not_wait():
    pupil = learner()
    paths = [f"/shop/{number}" for number in range(CONFIRMED)]
    assert ["/shop/{id}"] == offer(pupil, *paths)
    assert [] == settle(pupil)


def test_names_stay_names_while_there_are_few_of_them():
    pupil = learner()
    paths = [f"/zoek/{word}" for word in WORDS[:MAX_NAMES]]
    offer(pupil, *paths)
    assert paths == settle(pupil)


def test_twelve_endpoints_under_an_api_stay_and_more_too():
    """The reference folded all of them when the eleventh came."""
    pupil = learner()
    decided = []
    for word in WORDS[:MAX_API_NAMES]:
        decided += offer(pupil, f"/api/{word}") + settle(pupil)
    assert [f"/api/{word}" for word in WORDS[:MAX_API_NAMES]] == decided
    assert ["/api/{id}"] == offer(pupil, "/api/somethingelse")


def test_too_many_names_in_one_interval_fold_before_one_is_kept():
    pupil = learner()
    decided = offer(pupil, *(f"/zoek/{word}" for word in WORDS[: MAX_NAMES + 1])) + settle(pupil)
    assert ["/zoek/{id}"] == decided


def test_names_that_came_first_stay_and_later_ones_fold():
    pupil = learner()
    kept = [f"/zoek/{word}" for word in WORDS[:5]]
    offer(pupil, *kept)
    assert kept == settle(pupil)
    later = offer(pupil, *(f"/zoek/{word}" for word in WORDS[5:40])) + settle(pupil)
    assert ["/zoek/{id}"] == later
    assert (*kept, "/zoek/{id}") == tuple(
        shape_name(shape, "{id}") for shape in pupil.learned.routes
    )


def test_names_with_equal_subtrees_are_values_sooner():
    pupil = learner()
    words = WORDS[: MAX_NAMES // 2 + 1]
    for word in words:
        offer(pupil, f"/zoek/{word}/profile", f"/zoek/{word}/settings")
    assert ["/zoek/{id}/profile", "/zoek/{id}/settings"] == settle(pupil)


def test_subtrees_that_differ_in_identifiers_alone_are_the_same():
    pupil = learner()
    for number, word in enumerate(WORDS[: MAX_NAMES // 2 + 1]):
        offer(pupil, f"/zoek/{word}/{number}")
    assert ["/zoek/{id}/{id}"] == settle(pupil)


def test_names_with_different_subtrees_are_endpoints_for_longer():
    pupil = learner()
    words = WORDS[: MAX_NAMES // 2 + 1]
    paths = [f"/zoek/{word}/{other}" for word, other in zip(words, WORDS[50:], strict=False)]
    offer(pupil, *paths)
    assert paths == settle(pupil)


def test_what_is_folded_above_is_judged_together_below():
    pupil = learner()
    for index, word in enumerate(WORDS[:30]):
        offer(pupil, f"/zoek/{word}/{WORDS[index % 3]}")
    settle(pupil)
    routes = [shape_name(shape, "{id}") for shape in pupil.learned.routes]
    assert sorted(f"/zoek/{{id}}/{word}" for word in WORDS[:3]) == sorted(routes)


def test_a_hundred_top_level_names_are_bounded():
    pupil = learner()
    for word in WORDS:
        offer(pupil, f"/{word}")
    settle(pupil)
    assert ["/{id}"] == [shape_name(shape, "{id}") for shape in pupil.learned.routes]


def test_no_more_than_a_bounded_number_waits():
    pupil = learner()
    waiting = []
    for first in WORDS[:20]:
        for second in WORDS[:10]:
            offer(pupil, f"/api/{first}/{second}")
            waiting.append(pupil.waiting)
    assert max(waiting) < MAX_WAITING


def test_a_deep_path_ends_in_a_wildcard():
    deep = "/api" * (MAX_DEPTH + 3)
    assert ["/api" * MAX_DEPTH + "/{path...}"] == offer(learner(), deep)


def test_a_full_service_learns_nothing_more():
    pupil = learner(max_routes=2)
    assert ["/users/{id}", "/orders/{id}"] == offer(pupil, "/users/1", "/orders/1", "/items/1")
    assert pupil.full
    assert [] == offer(pupil, "/items/2") + settle(pupil)


def test_a_refused_route_is_forgotten():
    pupil = learner()
    (shape,) = pupil.offer((b"users", b"1"))
    pupil.refuse(shape)
    assert Learned() == pupil.learned


def test_a_path_that_a_route_matches_by_now_is_not_decided():
    matched = set()
    pupil = HeuristicLearner(max_routes=9, matched=lambda path: path in matched)
    offer(pupil, "/zoek/fiets")
    matched.add((b"zoek", b"fiets"))
    assert [] == settle(pupil)


@pytest.mark.parametrize("policy", [learner, PathLearner])
def test_a_policys_memory_is_bounded(policy):
    pupil = PathLearner(3) if policy is PathLearner else learner(max_routes=3)
    for number in range(100):
        pupil.offer((b"users", b"%d" % number))
        pupil.offer((b"%d" % number, b"users", b"a%d" % number))
        pupil.settle()
    assert len(pupil.learned.routes) <= 3


def test_policy_path_makes_every_path_a_route_until_it_is_full():
    pupil = PathLearner(2)
    decided = [pupil.offer((b"user", name)) for name in (b"a", b"b", b"c")]
    assert [(Shape((b"user", b"a")),), (Shape((b"user", b"b")),), ()] == decided
    assert pupil.full
    assert () == pupil.settle()
    assert 0 == pupil.waiting


def test_policy_path_forgets_a_refused_route():
    pupil = PathLearner(2)
    (shape,) = pupil.offer((b"a",))
    pupil.refuse(shape)
    assert Learned() == pupil.learned


PATHS = st.lists(
    st.tuples(
        st.lists(
            st.sampled_from(
                [b"api", b"users", b"42", b"7", *(word.encode() for word in WORDS[:25])]
            ),
            max_size=4,
        ).map(tuple),
        st.integers(0, 9),
    ),
    max_size=80,
)


def follow(pupil, paths):
    for path, dice in paths:
        pupil.offer(path)
        if dice == 9:
            pupil.settle()
    pupil.settle()
    return pupil.learned


@settings(max_examples=80, deadline=None)
@given(PATHS)
def test_the_same_paths_in_the_same_order_give_the_same_routes(paths):
    assert follow(learner(), paths) == follow(learner(), paths)


@settings(max_examples=80, deadline=None)
@given(PATHS, PATHS)
def test_a_learner_continues_where_the_saved_one_stopped(before, after):
    first = learner()
    saved = follow(first, before)
    second = learner(known=saved)
    assert saved == second.learned
    assert follow(first, after) == follow(second, after)


@settings(max_examples=80, deadline=None)
@given(PATHS, PATHS)
def test_a_decision_is_never_taken_back(before, after):
    pupil = learner()
    saved = follow(pupil, before)
    later = follow(pupil, after)
    assert saved.routes == later.routes[: len(saved.routes)]
    assert saved.folded <= later.folded
