"""The deterministic automaton that the kernel walks, segment by segment, to find a path's route.

Only the compilation of patterns into the tables of bpf/abi.h lives here, and the walk over those
tables. `Automaton.match` is the reference for the kernel's walk.

The patterns form a trie whose edges are literal or "any segment". A path may follow several
branches of it at once, so a state of the automaton is the set of trie nodes that the segments so
far can have led to, and the best trailing wildcard passed on the way (subset construction). One
look-up for the segment and, if that fails, one for any segment are then enough: nothing is ever
tried twice.

Updates while the kernel walks: all nodes of a state lie at the same depth of the trie, so adding
a pattern without a trailing wildcard changes edges of states of one depth only, and a walk
crosses one such edge. New states are put before the edge that leads to them. A walk therefore
ends in the old result or in the new one, never in between. Whatever cannot be done like that
compiles into new nodes, reached by a new root edge, and the old nodes stay until nobody can be in
them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otelauto.abi._layout import Route, RouteEdge, RouteStep
from otelauto.routes._trie import Accept, Entry, Trie, TrieNode, best
from otelauto.routes.steps import (
    ANY_SEGMENT,
    RoutesRefusedError,
    StepBudget,
    Update,
    segment_hash,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from otelauto.routes._trie import Insertion
    from otelauto.routes.pattern import Segments

__all__ = ["MAX_NODES", "Automaton", "Entry"]

#: States of one service's automaton.
MAX_NODES = 8192

_StateKey = tuple[frozenset[TrieNode], "Accept | None"]


@dataclass(eq=False, slots=True)
class _State:
    """A state: what it stands for, and the segments that lead out of and into it."""

    key: _StateKey
    node: int
    out: dict[int, _State] = field(default_factory=dict)
    into: set[tuple[int, int]] = field(default_factory=set)

    def edge(self) -> RouteEdge:
        """The value of every edge that leads here."""
        nodes, rest = self.key
        end = best([rest, *(node.end for node in nodes)])
        return RouteEdge(
            node=self.node if self.out else 0,
            route=end[1] if end else Route.NONE,
            rest=rest[1] if rest else Route.NONE,
        )


class Automaton:
    """The compiled patterns of one service.

    Args:
        entries: what to compile.
        seed: options.route_seed, secret while the agent runs, so that nobody can choose segments
            with equal hashes.
        node_ids: gives ids that are greater than 0 and never come back.
        budget: counts the steps; whoever deletes them gives them back.
        max_nodes: bound on the number of states.
        hash_segment: replaces segment_hash in tests.

    Raises:
        RoutesRefusedError: see there; nothing was compiled.
    """

    def __init__(
        self,
        entries: Iterable[Entry] = (),
        *,
        seed: int,
        node_ids: Iterator[int],
        budget: StepBudget | None = None,
        max_nodes: int = MAX_NODES,
        hash_segment: Callable[[bytes, int], int] = segment_hash,
    ) -> None:
        self._seed = seed
        self._node_ids = node_ids
        self._budget = budget or StepBudget()
        self._max_nodes = max_nodes
        self._hash_segment = hash_segment
        self._trie = Trie(lambda segment: hash_segment(segment, seed))
        self._states: dict[_StateKey, _State] = {}
        self._containing: dict[TrieNode, set[_State]] = {}
        self._steps: dict[RouteStep, RouteEdge] = {}
        self._put: list[tuple[RouteStep, RouteEdge]] = []
        self._unreachable: list[RouteStep] = []
        self.entries: list[Entry] = []
        for entry in entries:
            self._trie.insert(entry)
            self.entries.append(entry)
        fresh: dict[_StateKey, _State] = {}
        self._root = self._state(frozenset({self._trie.root}), None, fresh)
        self._budget.take(sum(len(state.out) for state in fresh.values()))
        self._commit(fresh)
        self.root = self._root.edge()
        self._put.clear()

    @property
    def steps(self) -> dict[RouteStep, RouteEdge]:
        """A copy of the whole table, as the kernel holds it."""
        return dict(self._steps)

    @property
    def node_count(self) -> int:
        """Number of states."""
        return len(self._states)

    def match(self, segments: Segments, *, truncated: bool = False) -> int:
        """The route of a path; Route.NONE if no pattern matches.

        Args:
            segments: as split_path gives them.
            truncated: the path was cut, so that its end is not known; only a trailing wildcard can
                match it.
        """
        edge = self.root
        for segment in segments:
            if not edge.node:
                return edge.rest
            step = RouteStep(self._hash_segment(segment, self._seed), edge.node)
            following = self._steps.get(step) or self._steps.get(RouteStep(ANY_SEGMENT, edge.node))
            if following is None:
                return edge.rest
            edge = following
        return edge.rest if truncated or not edge.route else edge.route

    def add(self, entry: Entry) -> Update:
        """Adds a pattern without a trailing wildcard to what the kernel walks.

        Raises:
            RoutesRefusedError: nothing has changed.
        """
        if entry.pattern.rest:
            raise ValueError("a trailing wildcard changes every state below it: compile anew")
        insertion = self._trie.insert(entry)
        containing = (self._containing.get(node, set()) for node in insertion.touched)
        affected = sorted(set().union(*containing), key=lambda state: state.node)
        fresh: dict[_StateKey, _State] = {}
        try:
            grown = [
                (state, self._expanded(state.key, fresh, _changed(state, insertion)))
                for state in affected
            ]
            added = sum(len(out.keys() - state.out.keys()) for state, out in grown)
            self._budget.take(added + sum(len(state.out) for state in fresh.values()))
        except RoutesRefusedError:
            insertion.undo()
            raise
        self.entries.append(entry)
        self._commit(fresh)
        for state, out in grown:
            self._link(state, out)
        for state in affected:
            self._refresh_edges_into(state)
        update, self._put = tuple(self._put), []
        root = self._root.edge()
        changed, self.root = root != self.root, root
        return Update(update, root if changed else None)

    def take_unreachable(self) -> tuple[RouteStep, ...]:
        """Steps that nothing leads to since the last call; a walk may still be at them."""
        steps, self._unreachable = tuple(self._unreachable), []
        return steps

    def _state(
        self, nodes: frozenset[TrieNode], passed: Accept | None, fresh: dict[_StateKey, _State]
    ) -> _State:
        """The state of a set of nodes; a new one is made with all that follows it."""
        key = (nodes, best([passed, *(node.rest for node in nodes)]))
        state = self._states.get(key) or fresh.get(key)
        if state is None:
            if len(self._states) + len(fresh) >= self._max_nodes:
                raise RoutesRefusedError(
                    f"the routes of one service need more than {self._max_nodes} states",
                    hint="use fewer patterns that mix literal segments and placeholders",
                )
            state = fresh[key] = _State(key, next(self._node_ids))
            state.out = self._expanded(key, fresh)
        return state

    def _expanded(
        self,
        key: _StateKey,
        fresh: dict[_StateKey, _State],
        changed: Collection[int] = (ANY_SEGMENT,),
    ) -> dict[int, _State]:
        """Where each segment leads from a state.

        Args:
            key: of the state.
            fresh: takes the new states.
            changed: the segments that matter; ANY_SEGMENT: all, since each may match it.
        """
        nodes, rest = key
        anything = frozenset(node.any for node in nodes if node.any is not None)
        out: dict[int, _State] = {}
        every = ANY_SEGMENT in changed
        segments = {s for node in nodes for s in node.literal} if every else changed
        for segment in sorted(segments):
            literal = {node.literal[segment] for node in nodes if segment in node.literal}
            out[segment] = self._state(anything | literal, rest, fresh)
        if anything and every:
            out[ANY_SEGMENT] = self._state(anything, rest, fresh)
        return out

    def _commit(self, fresh: dict[_StateKey, _State]) -> None:
        """Makes new states part of the table; nothing leads to them yet."""
        for key, state in fresh.items():
            self._states[key] = state
            for node in key[0]:
                self._containing.setdefault(node, set()).add(state)
            for segment, target in state.out.items():
                target.into.add((state.node, segment))
                self._set(RouteStep(segment, state.node), target.edge())

    def _link(self, state: _State, out: dict[int, _State]) -> None:
        """Makes a state lead to others by some segments; what is no longer led to goes."""
        before = [(segment, state.out.get(segment)) for segment in out]
        state.out |= out
        for segment, target in out.items():
            target.into.add((state.node, segment))
            self._set(RouteStep(segment, state.node), target.edge())
        for segment, left in before:
            if left is not None and out[segment] is not left:
                left.into.discard((state.node, segment))
                self._drop_if_unreachable(left)

    def _refresh_edges_into(self, state: _State) -> None:
        edge = state.edge()
        for node, segment in sorted(state.into):
            self._set(RouteStep(segment, node), edge)

    def _set(self, step: RouteStep, edge: RouteEdge) -> None:
        if self._steps.get(step) != edge:
            self._steps[step] = edge
            self._put.append((step, edge))

    def _drop_if_unreachable(self, state: _State) -> None:
        if state.into or state is self._root:
            return
        del self._states[state.key]
        for node in state.key[0]:
            self._containing[node].discard(state)
        for segment, target in state.out.items():
            step = RouteStep(segment, state.node)
            self._steps.pop(step, None)
            self._unreachable.append(step)
            target.into.discard((state.node, segment))
            self._drop_if_unreachable(target)


def _changed(state: _State, insertion: Insertion) -> set[int]:
    """The segments after which a state may lead elsewhere than before an insertion."""
    return set().union(*(insertion.touched.get(node, ()) for node in state.key[0]))
