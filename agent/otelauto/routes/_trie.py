"""The trie of patterns from which the automaton is made.

Only nodes, and their insertion and its undoing, live here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from otelauto.routes.steps import ANY_SEGMENT, RoutesRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otelauto.routes.pattern import Pattern

__all__ = ["Accept", "Entry", "Insertion", "Priority", "Trie", "TrieNode", "best"]

#: The smaller wins.
Priority = tuple[int, ...]
#: The route of a path that ends at a node.
Accept = tuple[Priority, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """A pattern in an automaton.

    Attributes:
        pattern: which paths.
        priority: of the entries that match a path the one with the smallest gives the route.
        route: the route's id; Route.NONE keeps the paths without a route.
        choices: if not empty, one of these segments has to follow the pattern's. They cost less
            than an entry for each of them.
    """

    pattern: Pattern
    priority: Priority
    route: int
    choices: tuple[bytes, ...] = ()


@dataclass(eq=False, slots=True)
class TrieNode:
    """A prefix of patterns. Compared by identity.

    Attributes:
        literal: children by the hash of the segment.
        any: child for any segment.
        end: what a path that ends here is.
        rest: what a path that goes on from here is.
        shared: several segments lead here, none of them has a pattern of its own.
    """

    literal: dict[int, TrieNode] = field(default_factory=dict)
    any: TrieNode | None = None
    end: Accept | None = None
    rest: Accept | None = None
    shared: bool = False

    def child(self, key: int) -> TrieNode | None:
        """The node after a segment; ANY_SEGMENT is one too."""
        return self.any if key == ANY_SEGMENT else self.literal.get(key)

    def set_child(self, key: int, child: TrieNode | None) -> None:
        """Puts a node after a segment, or takes it away."""
        if key == ANY_SEGMENT:
            self.any = child
        elif child is None:
            del self.literal[key]
        else:
            self.literal[key] = child

    def set_accepts(self, end: Accept | None, rest: Accept | None) -> None:
        """Says what paths are that end here or go on from here."""
        self.end, self.rest = end, rest


@dataclass(slots=True)
class Insertion:
    """What an insertion did.

    Attributes:
        touched: nodes whose children or accepts have changed, each with the segments whose child
            has changed.
    """

    touched: dict[TrieNode, set[int]] = field(default_factory=dict)
    _undo: list[Callable[[], None]] = field(default_factory=list)

    def link(self, node: TrieNode, key: int, child: TrieNode) -> None:
        """Puts a node after a segment."""
        self._undo.append(partial(node.set_child, key, node.child(key)))
        node.set_child(key, child)
        self.touched.setdefault(node, set()).add(key)

    def accept(
        self, node: TrieNode, *, end: Accept | None = None, rest: Accept | None = None
    ) -> None:
        """Lets paths end at a node, or go on from it."""
        self._undo.append(partial(node.set_accepts, node.end, node.rest))
        node.set_accepts(best([node.end, end]), best([node.rest, rest]))
        self.touched.setdefault(node, set())

    def undo(self) -> None:
        """Takes everything back."""
        while self._undo:
            self._undo.pop()()


def best(candidates: Iterable[Accept | None]) -> Accept | None:
    """The one with the smallest priority."""
    return min((accept for accept in candidates if accept is not None), default=None)


class Trie:
    """Patterns by their segments.

    Args:
        hash_segment: the hash of a segment, never ANY_SEGMENT.
    """

    def __init__(self, hash_segment: Callable[[bytes], int]) -> None:
        self.root = TrieNode()
        self._hash_segment = hash_segment
        self._segments: dict[int, bytes] = {}

    def insert(self, entry: Entry) -> Insertion:
        """Puts an entry in.

        Raises:
            RoutesRefusedError: two segments have the same hash; nothing has changed.
        """
        keys = [self._key(segment) for segment in entry.pattern.segments]
        choices = [self._key(segment) for segment in entry.choices]
        insertion = Insertion()
        node = self.root
        for key in keys:
            node = _own_child(node, key, insertion)
        accept = (entry.priority, entry.route)
        if choices:
            _add_choices(node, choices, accept, insertion)
        elif entry.pattern.rest:
            insertion.accept(node, rest=accept)
        else:
            insertion.accept(node, end=accept)
        return insertion

    def _key(self, segment: bytes | None) -> int:
        if segment is None:
            return ANY_SEGMENT
        key = self._hash_segment(segment)
        if self._segments.setdefault(key, segment) != segment:
            raise RoutesRefusedError(
                f"the route segments {segment!r} and {self._segments[key]!r} have the same hash",
                hint="restart otelauto: it draws another seed",
            )
        return key


def _own_child(node: TrieNode, key: int, insertion: Insertion) -> TrieNode:
    """The node after a segment that no other segment leads to; made if there is none."""
    child = node.child(key)
    if child is None or child.shared:
        child = TrieNode(end=child.end if child else None)
        insertion.link(node, key, child)
    return child


def _add_choices(
    node: TrieNode, choices: Iterable[int], accept: Accept, insertion: Insertion
) -> None:
    shared = TrieNode(end=accept, shared=True)
    for key in choices:
        child = node.child(key)
        if child is None:
            insertion.link(node, key, shared)
        else:
            insertion.accept(_own_child(node, key, insertion), end=accept)
