"""The automaton: right results, the exact tables, and updates that a walker cannot trip over."""

from __future__ import annotations

import contextlib
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelauto.abi._layout import ROUTE_EDGE, ROUTE_STEP, Route, RouteEdge, RouteStep
from otelauto.routes.automaton import Automaton, Entry
from otelauto.routes.pattern import Pattern, parse_pattern, split_path
from otelauto.routes.steps import RoutesRefusedError, StepBudget, segment_hash

SEED = 0x1234_5678_9ABC_DEF0


def automaton(*texts, **options):
    return Automaton(
        [configured(text, 16 + index) for index, text in enumerate(texts)],
        seed=SEED,
        node_ids=count(1),
        **options,
    )


def configured(text, route):
    pattern = parse_pattern(text)
    return Entry(pattern, (0, *pattern.precedence), route)


def named(compiled, texts, path):
    route = compiled.match(split_path(path.encode()))
    return texts[route - 16] if route else None


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/users/me/settings", "/users/me/settings"),
        ("/users/me/profile", "/users/{id}/profile"),
        ("/users/42/profile", "/users/{id}/profile"),
        ("/users/me", "/users/{id}"),
        ("/users/me/other", "/users/*"),
        ("/users/42/settings", "/users/*"),
        ("/users", "/users/*"),
        ("/", "/"),
        ("/static", "/static/*"),
        ("/static/a/b/c", "/static/*"),
        ("/static/css/x", "/static/css/{f}"),
        ("/static/css/x/y", "/static/*"),
        ("/nothing", None),
        ("/nothing/more", None),
    ],
)
def test_literal_beats_placeholder_beats_wildcard_with_backtracking(path, route):
    texts = [
        "/",
        "/users/me/settings",
        "/users/{id}/profile",
        "/users/{id}",
        "/users/*",
        "/static/*",
        "/static/css/{f}",
    ]
    assert route == named(automaton(*texts), texts, path)


def test_the_tables_have_the_form_of_the_kernels_structs():
    compiled = automaton("/a/{id}", "/b/*")
    a = RouteStep(segment_hash(b"a", SEED), compiled.root.node)
    b = RouteStep(segment_hash(b"b", SEED), compiled.root.node)
    below = RouteStep(0, compiled.steps[a].node)
    assert {a, b, below} == set(compiled.steps)
    assert RouteEdge(node=0, route=17, rest=17) == compiled.steps[b]
    assert RouteEdge(node=0, route=16, rest=Route.NONE) == compiled.steps[below]
    assert 16 == len(ROUTE_STEP.pack(*a)) == len(ROUTE_EDGE.pack(*compiled.steps[a]))


def test_no_pattern_matches_nothing():
    compiled = automaton()
    assert RouteEdge(0, 0, 0) == compiled.root
    assert {} == compiled.steps
    assert Route.NONE == compiled.match((b"a",))


def test_only_a_wildcard_matches_a_path_that_was_cut():
    texts = ["/a/{id}", "/a/{id}/*", "/b/{id}"]
    compiled = automaton(*texts)
    assert 17 == compiled.match((b"a", b"x", b"cut"), truncated=True)
    assert Route.NONE == compiled.match((b"b", b"cut"), truncated=True)
    assert 17 == compiled.match((b"a", b"cut"), truncated=True)


def test_nodes_are_above_0_and_never_shared_between_services():
    ids = count(1)
    one = Automaton([configured("/a/b/c", 16)], seed=SEED, node_ids=ids)
    two = Automaton([configured("/a/b/c", 17)], seed=SEED, node_ids=ids)
    nodes = [
        {step.node for step in compiled.steps} | {edge.node for edge in compiled.steps.values()}
        for compiled in (one, two)
    ]
    assert {0} == nodes[0] & nodes[1]


def test_two_segments_with_one_hash_are_refused():
    with pytest.raises(RoutesRefusedError, match="same hash"):
        automaton("/a", "/b", hash_segment=lambda segment, seed: 7)


def test_more_states_than_allowed_are_refused():
    with pytest.raises(RoutesRefusedError, match="more than 3 states"):
        automaton("/a/b/c/d", max_nodes=3)


def test_a_refused_addition_changes_nothing():
    compiled = automaton("/a/b", max_nodes=4)
    steps, root = compiled.steps, compiled.root
    for text in ("/{x}/{y}/{z}", "/a/c/d/e"):
        with pytest.raises(RoutesRefusedError):
            compiled.add(configured(text, 20))
        assert (steps, root) == (compiled.steps, compiled.root)
    compiled.add(configured("/a", 21))
    assert 21 == compiled.match((b"a",))
    assert Route.NONE == compiled.match((b"a", b"c", b"d", b"e"))


def test_a_pattern_with_a_wildcard_is_not_added_in_place():
    with pytest.raises(ValueError, match="compile anew"):
        automaton("/a").add(configured("/a/*", 20))


def test_adding_a_route_is_a_small_change():
    compiled = automaton(*(f"/api/r{index}/{{id}}" for index in range(100)))
    update = compiled.add(configured("/api/new/{id}", 200))
    assert 2 == len(update.put)
    assert update.root is None


def test_the_thousandth_sibling_is_no_more_work_than_the_tenth(monkeypatch):
    """Whoever invents paths must not make the agent's work grow with their square."""
    compiled = automaton("/users/{id}/x")
    asked = []
    monkeypatch.setattr(
        Automaton, "_state", lambda self, *args, original=Automaton._state: (
            asked.append(1) or original(self, *args)
        ),
    )  # fmt: skip
    work = []
    for number in range(1000):
        asked.clear()
        compiled.add(configured(f"/p/{number}", 100 + number))
        work.append(len(asked))
    assert work[10] == work[999]


def test_new_states_are_put_before_the_edge_that_leads_to_them():
    compiled = automaton("/a")
    update = compiled.add(configured("/a/{x}/c", 20))
    reachable = [edge.node for _, edge in update.put]
    for index, (step, _) in enumerate(update.put):
        assert step.node not in reachable[:index]


# Properties: random patterns over a tiny alphabet, so that they meet each other all the time.

SEGMENT = st.sampled_from([b"a", b"b", b"c"])
PATTERN = st.builds(
    lambda segments, rest: Pattern(tuple(segments), rest=rest, name=""),
    st.lists(st.one_of(SEGMENT, st.none()), max_size=4),
    st.booleans(),
)
UNIQUE = st.lists(PATTERN, max_size=12, unique_by=lambda p: (p.segments, p.rest))
PATH = st.lists(st.sampled_from([b"a", b"b", b"c", b"z"]), max_size=5).map(tuple)


def backtracking(patterns, path):
    """The naive matcher: tries literal, placeholder, wildcard, in this order, at every segment."""

    def walk(alive, depth):
        if depth == len(path):
            for index, pattern in alive:
                if len(pattern.segments) == depth and not pattern.rest:
                    return index
        else:
            for wanted in (path[depth], None):
                narrowed = [
                    (index, pattern)
                    for index, pattern in alive
                    if len(pattern.segments) > depth and pattern.segments[depth] == wanted
                ]
                found = walk(narrowed, depth + 1) if narrowed else None
                if found is not None:
                    return found
        for index, pattern in alive:
            if len(pattern.segments) == depth and pattern.rest:
                return index
        return None

    return walk(list(enumerate(patterns)), 0)


@settings(max_examples=200, deadline=None)
@given(UNIQUE, st.lists(PATH, min_size=1, max_size=20))
def test_the_automaton_gives_what_a_backtracking_matcher_gives(patterns, paths):
    entries = [Entry(p, (0, *p.precedence), 16 + index) for index, p in enumerate(patterns)]
    compiled = Automaton(entries, seed=SEED, node_ids=count(1))
    for path in paths:
        expected = backtracking(patterns, path)
        assert (0 if expected is None else 16 + expected) == compiled.match(path)


def expanded(entry):
    """An entry without choices for each of its choices."""
    segments = entry.pattern.segments
    ends = [(choice,) for choice in entry.choices] or [()]
    return [((*segments, *end), entry) for end in ends]


def oldest(entries, path):
    """The route of the matching entry with the smallest priority."""
    matching = [
        entry
        for segments, entry in (pair for entry in entries for pair in expanded(entry))
        if len(path) >= len(segments)
        and (entry.pattern.rest or len(path) == len(segments))
        and all(ours in (None, theirs) for ours, theirs in zip(segments, path, strict=False))
    ]
    if not matching:
        return 0
    route = min(matching, key=lambda entry: entry.priority).route
    stars = [entry for entry in matching if entry.pattern.rest]
    return route or (min(stars, key=lambda entry: entry.priority).route if stars else 0)


def walk(steps, root, path):
    """The kernel's walk over what is in its map at this moment."""
    edge = root
    for segment in path:
        if not edge.node:
            return edge.rest
        following = steps.get(RouteStep(segment_hash(segment, SEED), edge.node))
        following = following or steps.get(RouteStep(0, edge.node))
        if following is None:
            return edge.rest
        edge = following
    return edge.route or edge.rest


CHOICES = st.one_of(st.just(()), st.lists(SEGMENT, min_size=1, unique=True).map(tuple))
NEW = st.lists(st.tuples(PATTERN, CHOICES), max_size=12)


@settings(max_examples=150, deadline=None)
@given(UNIQUE, NEW, st.lists(PATH, min_size=1, max_size=12))
def test_during_an_addition_every_walk_ends_in_the_old_or_in_the_new_result(base, new, paths):
    """After each single change of the map, and older routes keep all their paths."""
    entries = [Entry(p, (0, *p.precedence), 16 + index) for index, p in enumerate(base)]
    compiled = Automaton(entries, seed=SEED, node_ids=count(1))
    kernel, root = compiled.steps, compiled.root
    for index, (pattern, choices) in enumerate(pair for pair in new if not pair[0].rest):
        entry = Entry(pattern, (1, index), 0 if choices else 100 + index, choices)
        before = {path: walk(kernel, root, path) for path in paths}
        update = compiled.add(entry)
        entries.append(entry)
        after = {path: oldest(entries, path) for path in paths}
        for step, edge in update.put:
            kernel[step] = edge
            for path in paths:
                assert walk(kernel, root, path) in {before[path], after[path]}
        root = update.root or root
        for path in paths:
            assert after[path] == walk(kernel, root, path) == compiled.match(path)
            assert after[path] == before[path] or before[path] == 0
    unreachable = set(compiled.take_unreachable())
    assert compiled.steps.keys() == kernel.keys() - unreachable
    for step in unreachable:
        kernel.pop(step, None)
    assert [oldest(entries, path) for path in paths] == [
        walk(kernel, root, path) for path in paths
    ]


@settings(max_examples=200, deadline=None)
@given(UNIQUE, NEW)
def test_a_refused_addition_leaves_no_trace(base, new):
    """Compiling the accepted entries anew gives tables of the same size and results."""
    entries = [Entry(p, (0, *p.precedence), 16 + index) for index, p in enumerate(base)]
    budget = StepBudget()
    compiled = Automaton(entries, seed=SEED, node_ids=count(1), budget=budget)
    budget.limit = budget.used + 6
    for index, (pattern, choices) in enumerate(pair for pair in new if not pair[0].rest):
        with contextlib.suppress(RoutesRefusedError):
            compiled.add(Entry(pattern, (1, index), 100 + index, choices))
    assert budget.used == len(compiled.steps) + len(compiled.take_unreachable())
    again = Automaton(compiled.entries, seed=SEED, node_ids=count(1))
    assert len(again.steps) == len(compiled.steps)
    assert again.node_count == compiled.node_count


@settings(max_examples=150, deadline=None)
@given(UNIQUE, st.lists(PATH, min_size=1, max_size=12))
def test_adding_one_by_one_gives_what_compiling_at_once_gives(patterns, paths):
    entries = [
        Entry(p, (1, index), 16 + index)
        for index, p in enumerate(p for p in patterns if not p.rest)
    ]
    at_once = Automaton(entries, seed=SEED, node_ids=count(1))
    one_by_one = Automaton(seed=SEED, node_ids=count(1))
    for entry in entries:
        one_by_one.add(entry)
    assert at_once.node_count == one_by_one.node_count
    assert [at_once.match(path) for path in paths] == [one_by_one.match(path) for path in paths]
