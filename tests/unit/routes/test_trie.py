"""The trie: shared nodes stay shared only as long as nobody needs one of their own."""

from __future__ import annotations

import pytest

from otelauto.routes._trie import Entry, Trie, best
from otelauto.routes.pattern import parse_pattern
from otelauto.routes.steps import ANY_SEGMENT, RoutesRefusedError


def entry(text, age, *choices):
    return Entry(parse_pattern(text), (age,), 16 + age, choices)


def picture(node):
    """The trie as nested values; shared nodes by their identity."""
    children = {key: picture(child) for key, child in sorted(node.literal.items())}
    if node.any is not None:
        children[ANY_SEGMENT] = picture(node.any)
    return (node.end, node.rest, id(node) if node.shared else None, children)


@pytest.fixture
def trie():
    made = Trie(lambda segment: 1 + segment[0])
    made.insert(entry("/a/b", 5))
    return made


def test_the_best_is_the_one_with_the_smallest_priority():
    assert ((1, 0), 7) == best([None, ((2,), 3), ((1, 0), 7), ((1, 1), 1)])
    assert best([None]) is None


def test_choices_share_one_node_until_one_of_them_gets_its_own(trie):
    trie.insert(entry("/a", 1, b"x", b"y", b"z"))
    parent = trie.root.literal[1 + ord("a")]
    x, y, z = (parent.literal[1 + ord(c)] for c in "xyz")
    assert x is y is z
    trie.insert(entry("/a/x/q", 2))
    assert parent.literal[1 + ord("x")] is not y
    assert y.end == parent.literal[1 + ord("x")].end
    assert y is parent.literal[1 + ord("z")]


def test_choices_leave_nodes_with_patterns_of_their_own_and_end_there_too(trie):
    trie.insert(entry("/a", 1, b"b", b"x"))
    parent = trie.root.literal[1 + ord("a")]
    assert ((1,), 17) == parent.literal[1 + ord("b")].end
    assert not parent.literal[1 + ord("b")].shared


@pytest.mark.parametrize(
    "undone",
    [
        entry("/", 9),
        entry("/*", 9),
        entry("/a/b", 1),
        entry("/a/b/{x}/d", 9),
        entry("/{x}/{y}", 9),
        entry("/a/x", 9),
        entry("/a", 9, b"b", b"x", b"v"),
        entry("/q/r", 9, b"b"),
    ],
)
def test_an_insertion_can_be_undone(trie, undone):
    trie.insert(entry("/a", 1, b"x", b"y"))
    before = picture(trie.root)
    insertion = trie.insert(undone)
    assert insertion.touched
    insertion.undo()
    assert before == picture(trie.root)


def test_two_segments_with_one_hash_are_refused_and_nothing_has_changed(trie):
    before = picture(trie.root)
    for refused in (entry("/c/axe", 9), entry("/c", 9, b"axe")):
        with pytest.raises(RoutesRefusedError, match="same hash"):
            trie.insert(refused)
    assert before == picture(trie.root)
