"""Which of several learned routes names a path.

Only the order of learned routes lives here.

An older route keeps every path that it matched, so the older one is the stronger one. That alone
would let chance decide: once `/users/{id}` is known, `/users/me` matches it and would never be
heard of. So where a learned route ends in a placeholder, the words that are likely to be
endpoints beside it are *guarded*: a path that ends in one of them has no route until it is
learned as itself, and then it comes before the placeholder. Whichever comes first, the routes are
the same. A guard is as old as the route for which it stands: what was matched before it stays so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelauto.abi._layout import Route
from otelauto.routes._lexicon import GUARDED, GUARDED_AT_ROOT
from otelauto.routes.automaton import Entry
from otelauto.routes.pattern import Pattern

if TYPE_CHECKING:
    from otelauto.routes.learn import Prefix, Shape

__all__ = ["LearnedOrder", "is_guard"]

_LEARNED_GUARDED, _GUARD, _LEARNED = range(3)


def is_guard(entry: Entry) -> bool:
    """Whether an entry is there to keep paths without a route."""
    return entry.route == Route.NONE


class LearnedOrder:
    """Hands out the priorities of one service's learned routes, in the order of their learning.

    Args:
        rank: first element of all priorities, to place them among other entries.
    """

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._sequence = 0
        self._guarded: dict[Prefix, int] = {}

    def entries(self, shape: Shape, *, name: str, route: int) -> tuple[Entry, ...]:
        """What a newly learned route adds.

        Returns:
            The route, and before it the guard that must be in force when the route comes.
        """
        age = self._sequence
        self._sequence += 1
        pattern = Pattern(shape.segments, rest=shape.rest, name=name)
        guarded_since = self._guarded_since(shape)
        if guarded_since is not None:
            priority = (self._rank, guarded_since, _LEARNED_GUARDED, age)
            return (Entry(pattern, priority, route),)
        entry = Entry(pattern, (self._rank, age, _LEARNED), route)
        if shape.rest or not shape.segments or shape.segments[-1] is not None:
            return (entry,)
        prefix = shape.segments[:-1]
        self._guarded[prefix] = age
        guard = Entry(
            Pattern(prefix, rest=False, name=""),
            (self._rank, age, _GUARD),
            Route.NONE,
            choices=GUARDED if prefix else GUARDED_AT_ROOT,
        )
        return guard, entry

    def _guarded_since(self, shape: Shape) -> int | None:
        """The age of the oldest guard that keeps the paths of a route."""
        if shape.rest or not shape.segments:
            return None
        *before, last = shape.segments
        if last not in (GUARDED if before else GUARDED_AT_ROOT):
            return None
        ages = [
            age
            for prefix, age in self._guarded.items()
            if len(prefix) == len(before)
            and all(theirs in (None, ours) for theirs, ours in zip(prefix, before, strict=True))
        ]
        return min(ages, default=None)
