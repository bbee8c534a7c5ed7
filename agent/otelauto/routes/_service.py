"""The routes of one service: configured patterns, what it learned, and their automaton.

Only the joining of pattern.py, learn.py and automaton.py lives here; table.py holds the services.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from otelauto.abi._layout import Route, Unmatched
from otelauto.abi._layout import Service as ServiceEntry
from otelauto.routes.automaton import Automaton, Entry
from otelauto.routes.learn import HeuristicLearner, Learned, Learner, PathLearner, Shape
from otelauto.routes.pattern import Pattern, Segments, parse_patterns, printable
from otelauto.routes.precedence import LearnedOrder, is_guard
from otelauto.routes.steps import RoutesRefusedError, StepBudget, Update, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otelauto.abi._layout import RouteStep
    from otelauto.routes.rules import RouteRules

__all__ = ["RoutesOfService", "shape_name"]

_IGNORED, _CONFIGURED, _LEARNED, _OTHER = range(4)
_UNMATCHED = {
    "unset": Unmatched.UNSET,
    "wildcard": Unmatched.WILDCARD,
    "path": Unmatched.LEARN,
    "heuristic": Unmatched.LEARN,
}
_ALL_ELSE = Entry(Pattern((), rest=True, name="other"), (_OTHER,), Route.OTHER)


def shape_name(shape: Shape, placeholder: str) -> str:
    """The name of a learned route, in the syntax of patterns (but for another placeholder)."""
    if shape == Shape((b"*",)):
        return "*"  # the asterisk-form of OPTIONS, RFC 9112 section 3.2.4
    parts = [placeholder if part is None else printable(part) for part in shape.segments]
    return "/" + "/".join([*parts, "{path...}"] if shape.rest else parts)


class RoutesOfService:
    """See the module.

    Args:
        rules: the configuration.
        known: what was learned before.
        new_automaton: compiles entries.
        budget: the one that the automatons use.
        route_ids: gives ids that never come back.
        generations: gives generations that no service had before.

    Raises:
        ConfigError: a pattern is not valid, or the patterns cannot be compiled.
    """

    def __init__(
        self,
        rules: RouteRules,
        known: Learned,
        *,
        new_automaton: Callable[[Iterable[Entry]], Automaton],
        budget: StepBudget,
        route_ids: Iterator[int],
        generations: Iterator[int],
    ) -> None:
        self._new_automaton = new_automaton
        self._budget = budget
        self._route_ids = route_ids
        self._generations = generations
        self._names: dict[int, str] = {}
        self._ids: dict[tuple[str, bool], int] = {}
        self._ignored: set[int] = set()
        self._backlog: list[Update] = []
        self._unreachable: list[RouteStep] = []
        self._deletable: list[RouteStep] = []
        self._order = LearnedOrder(_LEARNED)
        self._closed = False
        self._automaton = new_automaton(())
        self._configure(rules, known)

    @property
    def entry(self) -> ServiceEntry:
        """The service's entry in the kernel's map `services`, without spans."""
        root = self._automaton.root
        unmatched = _UNMATCHED[self.rules.unmatched]
        if self._closed and not root.rest:
            unmatched = Unmatched.WILDCARD
        return ServiceEntry(
            root.node, root.route, root.rest, self.generation, unmatched, sample_below=0, spans=0
        )

    @property
    def learned(self) -> Learned:
        """What there is to remember."""
        return Learned() if self._learner is None else self._learner.learned

    @property
    def closed(self) -> bool:
        """Whether it learns no more routes, for want of room."""
        return self._closed

    @property
    def waiting(self) -> int:
        """Number of routes that wait for a decision."""
        return 0 if self._learner is None else self._learner.waiting

    def close(self) -> Update:
        """Ends the service: deletes all that may be in the kernel's map. Not to be used after."""
        steps = (
            *self._automaton.steps,
            *self._automaton.take_unreachable(),
            *self._unreachable,
            *self._deletable,
        )
        self._budget.give_back(len(steps))
        return Update(delete=steps)

    def name(self, route: int) -> str | None:
        """The name of a route that this service has or had."""
        return self._names.get(route)

    def is_ignored(self, route: int) -> bool:
        """Whether the route is that of an ignored pattern."""
        return route in self._ignored

    def match(self, path: Segments, *, truncated: bool = False) -> int:
        """The route of a path by what is known; Route.NONE if there is none."""
        return self._automaton.match(path, truncated=truncated)

    def see(self, path: Segments, *, truncated: bool) -> int:
        """Takes the path of a successful exchange.

        Returns:
            Its route; Route.PENDING if it has to wait; Route.NONE if it is not learned: by the
            policy, or because its end is not known.
        """
        route = self.match(path, truncated=truncated)
        if route or truncated or self._learner is None:
            return route
        self._use(self._learner.offer(path))
        return self.match(path) or Route.PENDING

    def decide(self) -> None:
        """Decides about all paths that wait; the updates are in `take_updates`."""
        if self._learner is not None:
            self._use(self._learner.settle())

    def sweep(self) -> None:
        """Deletes the steps to which nothing has led since before the last sweep."""
        if self._deletable:
            self._backlog.append(Update(delete=tuple(self._deletable)))
            self._budget.give_back(len(self._deletable))
        self._deletable = [*self._unreachable, *self._automaton.take_unreachable()]
        self._unreachable = []

    def take_updates(self) -> Update:
        """The changes since the last call."""
        backlog, self._backlog = self._backlog, []
        return joined(backlog)

    def reconfigure(self, rules: RouteRules, known: Learned | None = None) -> None:
        """Puts other rules into force; routes that keep their name keep their id.

        Args:
            rules: the new ones.
            known: what was learned under the new rules' policy; None: the policy is the same.

        Raises:
            ConfigError: see the class; the old rules stay in force.
        """
        self.decide()
        self._configure(rules, self.learned if known is None else known)

    def _configure(self, rules: RouteRules, known: Learned) -> None:
        ignored = parse_patterns(rules.ignored_patterns)
        patterns = parse_patterns(rules.patterns)
        configured = [
            Entry(pattern, (_IGNORED, *pattern.precedence), self._id(pattern.name, ignored=True))
            for pattern in ignored
        ]
        configured += [
            Entry(pattern, (_CONFIGURED, *pattern.precedence), self._id(pattern.name))
            for pattern in patterns
        ]
        learner = self._new_learner(rules, known)
        order = LearnedOrder(_LEARNED)
        learned: list[Entry] = []
        for shape in () if learner is None else learner.learned.routes:
            learned += self._entries(order, shape, rules.placeholder)
        full = learner is not None and learner.full
        automaton, closed = self._compiled(configured, learned, full=full)
        self.rules = rules
        self.generation = next(self._generations)
        self._learner = learner
        self._closed = closed
        self._order = order
        self._replace(automaton)

    def _compiled(
        self, configured: list[Entry], learned: list[Entry], *, full: bool
    ) -> tuple[Automaton, bool]:
        """As much of it as fits, and whether nothing more can be learned."""
        unguarded = [entry for entry in learned if not is_guard(entry)]
        if full:
            attempts = [([*configured, *unguarded, _ALL_ELSE], True)]
        else:
            attempts = [([*configured, *learned], False)] if self._has_room_for_guards else []
            attempts.append(([*configured, *unguarded], False))
        if learned:
            # What was learned may no longer fit beside the patterns.
            attempts.append(([*configured, _ALL_ELSE], True))
        for entries, closed in attempts[:-1]:
            with contextlib.suppress(RoutesRefusedError):
                return self._new_automaton(entries), closed
        entries, closed = attempts[-1]
        return self._new_automaton(entries), closed

    @property
    def _has_room_for_guards(self) -> bool:
        return self._budget.used < self._budget.limit // 2

    def _new_learner(self, rules: RouteRules, known: Learned) -> Learner | None:
        if rules.unmatched == "heuristic":
            return HeuristicLearner(
                max_routes=rules.max_routes, known=known, matched=self._is_matched
            )
        if rules.unmatched == "path":
            routes = dict.fromkeys(known.routes[: rules.max_routes])
            return PathLearner(rules.max_routes, routes)
        return None

    def _is_matched(self, path: Segments) -> bool:
        return self.match(path) != Route.NONE

    def _use(self, shapes: Iterable[Shape]) -> None:
        """Puts decided routes into the automaton."""
        learner = self._learner
        if learner is None or self._closed:
            return
        for shape in shapes:
            *guards, entry = self._entries(self._order, shape, self.rules.placeholder)
            try:
                self._guard(guards)
                if shape.rest:
                    self._replace(self._new_automaton([*self._automaton.entries, entry]))
                else:
                    self._backlog.append(self._automaton.add(entry))
            except RoutesRefusedError:
                learner.refuse(shape)
                self._closed = True
                break
        if self._closed or learner.full:
            self._close_learning()

    def _guard(self, guards: Iterable[Entry]) -> None:
        """Puts a guard into force if there is plenty of room."""
        with contextlib.suppress(RoutesRefusedError):
            self._backlog += [
                self._automaton.add(guard) for guard in guards if self._has_room_for_guards
            ]

    def _close_learning(self) -> None:
        """Gives all paths that no route matches to `other`; for want of steps, to the wildcard."""
        self._closed = True
        entries = [entry for entry in self._automaton.entries if not is_guard(entry)]
        try:
            self._replace(self._new_automaton([*entries, _ALL_ELSE]))
        except RoutesRefusedError:
            self._backlog.append(Update(root=self._automaton.root))

    def _replace(self, automaton: Automaton) -> None:
        """Lets the kernel walk another automaton, from the root on."""
        old, self._automaton = self._automaton, automaton
        self._unreachable += [*old.take_unreachable(), *old.steps]
        self._backlog.append(Update(tuple(automaton.steps.items()), automaton.root))

    def _entries(self, order: LearnedOrder, shape: Shape, placeholder: str) -> tuple[Entry, ...]:
        name = shape_name(shape, placeholder)
        return order.entries(shape, name=name, route=self._id(name))

    def _id(self, name: str, *, ignored: bool = False) -> int:
        route = self._ids.get((name, ignored))
        if route is None:
            route = self._ids[name, ignored] = next(self._route_ids)
            self._names[route] = name
            if ignored:
                self._ignored.add(route)
        return route
