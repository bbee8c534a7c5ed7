"""What a service's paths teach: routes that never change their meaning once they are decided.

Only the memory and the evidence live here: no ids, no tables, no files, no clock.

The rules, for policy `heuristic`:

1. An identifier becomes the placeholder. An endpoint stays as it is. (heuristic.py)
2. A name stays as it is while its parent has few names, and the names of a parent stop being kept
   once there are more than MAX_NAMES (MAX_API_NAMES at the root and under an API's root): names
   that come later become the placeholder. The parent is then *folded*, for ever.
3. A decision about a new name is not made on the first path. The path waits until the next
   export, or until CONFIRMED paths agree in everything that is not an identifier, or until too
   many wait. All that wait are then judged together: if with them a parent has too many names, it
   is folded before the first of them is kept. Names whose subtrees are all the same
   (`/x/alice/profile`, `/x/bob/profile`) are taken for values sooner: half as many are enough,
   except under an API's root.
4. A decided route is never taken back, and an older route keeps every path that it matched: where
   two learned routes match one path, the older one gives the name.
5. A path that is deeper than MAX_DEPTH segments becomes a route with a trailing wildcard. A path
   that was cut (it is longer than the kernel keeps) is not offered: a wildcard for it would
   swallow all that is not known yet.
6. A service has at most `max_routes` learned routes; all further paths are "other".

The outcome depends on the paths and their order alone; what was learned can be saved and given
back to a new learner, which then continues as the old one would have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from otelauto.routes.heuristic import Kind, classify, is_api_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from otelauto.routes.pattern import Segments

__all__ = ["HeuristicLearner", "Learned", "Learner", "PathLearner", "Prefix", "Shape"]

#: Names kept under one parent.
MAX_NAMES = 16
#: Names kept at the root and under an API's root.
MAX_API_NAMES = 48
#: Paths that must agree for a name to be kept without waiting for the export.
CONFIRMED = 3
#: Different routes that may wait for a decision.
MAX_WAITING = 64
#: Segments of the deepest learned route.
MAX_DEPTH = 8

#: Segments, None for a placeholder.
Prefix = tuple["bytes | None", ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """A learned route.

    Attributes:
        segments: literal bytes, or None for a placeholder.
        rest: True if anything may follow.
    """

    segments: Prefix
    rest: bool = False


@dataclass(frozen=True, slots=True)
class Learned:
    """All that a learner has to remember.

    Attributes:
        routes: in the order in which they were decided.
        folded: parents whose new names become the placeholder.
    """

    routes: tuple[Shape, ...] = ()
    folded: frozenset[Prefix] = frozenset()


class Learner(Protocol):
    """Learns the routes of one service."""

    def offer(self, path: Segments) -> tuple[Shape, ...]:
        """Takes the path of a successful exchange that no route matches.

        Returns:
            The routes that are decided now; empty if the path waits or there is no room.
        """

    def settle(self) -> tuple[Shape, ...]:
        """Decides about all paths that wait."""

    def refuse(self, shape: Shape) -> None:
        """Takes back a route that could not be put to use."""

    @property
    def waiting(self) -> int:
        """Number of routes that wait for a decision."""

    @property
    def full(self) -> bool:
        """Whether the service has as many routes as it may have."""

    @property
    def learned(self) -> Learned:
        """What there is to remember."""


@dataclass(eq=False, slots=True)
class PathLearner:
    """Policy `path`: every path is a route.

    Attributes:
        max_routes: see rule 6.
        routes: what is known already, in order.
    """

    max_routes: int
    routes: dict[Shape, None] = field(default_factory=dict)

    def offer(self, path: Segments) -> tuple[Shape, ...]:
        """See Learner."""
        shape = Shape(path)
        if self.full or shape in self.routes:
            return ()
        self.routes[shape] = None
        return (shape,)

    def settle(self) -> tuple[Shape, ...]:
        """See Learner; nothing waits."""
        return ()

    def refuse(self, shape: Shape) -> None:
        """See Learner."""
        self.routes.pop(shape, None)

    @property
    def waiting(self) -> int:
        """See Learner."""
        return 0

    @property
    def full(self) -> bool:
        """See Learner."""
        return len(self.routes) >= self.max_routes

    @property
    def learned(self) -> Learned:
        """See Learner."""
        return Learned(tuple(self.routes))


@dataclass(eq=False, slots=True)
class _Candidate:
    """A path that is being judged.

    Attributes:
        sample: the first path of this kind, as it was sent.
        path: its segments up to MAX_DEPTH.
        kinds: of its segments.
        rest: see Shape.
        seen: how many paths of this kind have come.
    """

    sample: Segments
    path: Segments
    kinds: tuple[Kind, ...]
    rest: bool
    seen: int = 0
    decided: list[bytes | None] = field(default_factory=list)

    @property
    def shape(self) -> Shape:
        """With every name kept."""
        segments = zip(self.path, self.kinds, strict=True)
        return Shape(
            tuple(None if kind is Kind.IDENTIFIER else segment for segment, kind in segments),
            self.rest,
        )


def _candidate(path: Segments) -> _Candidate:
    kept = path[:MAX_DEPTH]
    kinds = tuple(
        classify(segment, parent) for segment, parent in zip(kept, (None, *kept), strict=False)
    )
    return _Candidate(path, kept, kinds, rest=len(path) > MAX_DEPTH)


def _nothing_matched(_path: Segments) -> bool:
    return False


class HeuristicLearner:
    """Policy `heuristic`.

    Args:
        max_routes: see rule 6.
        known: what was learned before.
        matched: whether a route matches a path by now; asked before a path that waited is
            decided. None: there are no other routes.
    """

    def __init__(
        self,
        *,
        max_routes: int,
        known: Learned | None = None,
        matched: Callable[[Segments], bool] | None = None,
    ) -> None:
        known = known or Learned()
        self._max_routes = max_routes
        self._matched = matched or _nothing_matched
        self._routes: dict[Shape, None] = {}
        self._names: dict[Prefix, set[bytes]] = {}
        self._folded: set[Prefix] = set(known.folded)
        self._waiting: dict[Shape, _Candidate] = {}
        self._waiting_names: dict[Prefix, set[bytes]] = {}
        for shape in known.routes[:max_routes]:
            self._keep(shape)

    @property
    def waiting(self) -> int:
        """See Learner."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """See Learner."""
        return len(self._routes) >= self._max_routes

    @property
    def learned(self) -> Learned:
        """See Learner."""
        return Learned(tuple(self._routes), frozenset(self._folded))

    def offer(self, path: Segments) -> tuple[Shape, ...]:
        """See Learner."""
        if self.full:
            return ()
        new = _candidate(path)
        undecided = self._undecided(new)
        if not undecided:
            return self._decide([new])
        candidate = self._waiting.setdefault(new.shape, new)
        candidate.seen += 1
        if candidate.seen >= CONFIRMED:
            del self._waiting[new.shape]
            return self._decide([candidate])
        for prefix, name in undecided:
            self._waiting_names.setdefault(prefix, set()).add(name)
        if len(self._waiting) >= MAX_WAITING or any(
            self._crowded(prefix, self._waiting_names[prefix]) for prefix, _ in undecided
        ):
            return self.settle()
        return ()

    def settle(self) -> tuple[Shape, ...]:
        """See Learner."""
        candidates = list(self._waiting.values())
        self._waiting.clear()
        self._waiting_names.clear()
        return self._decide(candidates)

    def refuse(self, shape: Shape) -> None:
        """See Learner."""
        self._routes.pop(shape, None)

    def _undecided(self, candidate: _Candidate) -> list[tuple[Prefix, bytes]]:
        """The names of a path about which nothing is known, with their parents."""
        prefix: Prefix = ()
        found: list[tuple[Prefix, bytes]] = []
        for segment, kind in zip(candidate.path, candidate.kinds, strict=True):
            token = self._settled_token(prefix, segment, kind)
            if token is False:
                found.append((prefix, segment))
                token = segment
            prefix = (*prefix, token)
        return found

    def _settled_token(
        self, prefix: Prefix, segment: bytes, kind: Kind
    ) -> bytes | Literal[False] | None:
        """What a segment becomes by what is known; False: not known yet."""
        if kind is Kind.IDENTIFIER:
            return None
        if kind is Kind.ENDPOINT or segment in self._names.get(prefix, ()):
            return segment
        return None if prefix in self._folded else False

    def _crowded(self, prefix: Prefix, new: set[bytes], *, alike: bool = False) -> bool:
        parent = prefix[-1] if prefix else None
        if not prefix or (parent is not None and is_api_root(parent)):
            return len(self._names.get(prefix, set()) | new) > MAX_API_NAMES
        limit = MAX_NAMES // 2 if alike else MAX_NAMES
        return len(self._names.get(prefix, set()) | new) > limit

    def _decide(self, candidates: list[_Candidate]) -> tuple[Shape, ...]:
        """Decides level by level: what is folded above decides whose children count together."""
        open_ = [candidate for candidate in candidates if not self._matched(candidate.sample)]
        for depth in range(max((len(candidate.path) for candidate in open_), default=0)):
            level = [candidate for candidate in open_ if len(candidate.path) > depth]
            self._fold_crowded(level, depth)
            for candidate in level:
                segment = candidate.path[depth]
                prefix = tuple(candidate.decided)
                token = self._settled_token(prefix, segment, candidate.kinds[depth])
                candidate.decided.append(segment if token is False else token)
        decided: list[Shape] = []
        for candidate in open_:
            shape = Shape(tuple(candidate.decided), candidate.rest)
            if shape not in self._routes and not self.full:
                self._keep(shape)
                decided.append(shape)
        return tuple(decided)

    def _fold_crowded(self, level: list[_Candidate], depth: int) -> None:
        """Folds the parents that would have too many names with the new ones at this depth."""
        new: dict[Prefix, dict[bytes, set[Prefix]]] = {}
        for candidate in level:
            prefix, segment = tuple(candidate.decided), candidate.path[depth]
            if self._settled_token(prefix, segment, candidate.kinds[depth]) is False:
                tails = new.setdefault(prefix, {}).setdefault(segment, set())
                tails.add(candidate.shape.segments[depth + 1 :])
        for prefix, names in new.items():
            first = next(iter(names.values()))
            alike = first != {()} and all(tails == first for tails in names.values())
            if self._crowded(prefix, set(names), alike=alike):
                self._folded.add(prefix)

    def _keep(self, shape: Shape) -> None:
        self._routes[shape] = None
        prefix: Prefix = ()
        for segment in shape.segments:
            if (
                segment is not None
                and classify(segment, prefix[-1] if prefix else None) is Kind.NAME
            ):
                self._names.setdefault(prefix, set()).add(segment)
            prefix = (*prefix, segment)
