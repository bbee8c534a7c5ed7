"""The routes of one service: configured patterns, what it learned, and their automaton.

Only the joining of pattern.py, learn.py and automaton.py lives here; table.py holds the services.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelauto.abi._layout import Route, Unmatched
from otelauto.abi._layout import Service as ServiceEntry
from otelauto.routes.automaton import Automaton, Entry, RoutesRefusedError, Update, joined
from otelauto.routes.learn import HeuristicLearner, Learned, Learner, PathLearner, Shape
from otelauto.routes.pattern import Pattern, Segments, parse_patterns, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otelauto.abi._layout import RouteStep
    from otelauto.routes.rules import RouteRules

__all__ = ["RoutesOfService", "shape_name"]

_CONFIGURED, _LEARNED, _OTHER = 0, 1, 2
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
        route_ids: Iterator[int],
        generations: Iterator[int],
    ) -> None:
        self._new_automaton = new_automaton
        self._route_ids = route_ids
        self._generations = generations
        self._names: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        self._backlog: list[Update] = []
        self._unreachable: list[RouteStep] = []
        self._deletable: list[RouteStep] = []
        self._sequence = 0
        self._closed = False
        self._automaton = new_automaton(())
        self._configure(rules, known)

    @property
    def entry(self) -> ServiceEntry:
        """The service's entry in the kernel's map `services`."""
        root = self._automaton.root
        unmatched = _UNMATCHED[self.rules.unmatched]
        return ServiceEntry(root.node, root.route, root.rest, self.generation, unmatched)

    @property
    def learned(self) -> Learned:
        """What there is to remember."""
        return Learned() if self._learner is None else self._learner.learned

    @property
    def waiting(self) -> int:
        """Number of routes that wait for a decision."""
        return 0 if self._learner is None else self._learner.waiting

    @property
    def steps(self) -> tuple[RouteStep, ...]:
        """All steps of the service that may be in the kernel's map."""
        return (
            *self._automaton.steps,
            *self._automaton.take_unreachable(),
            *self._unreachable,
            *self._deletable,
        )

    def name(self, route: int) -> str | None:
        """The name of a route that this service has or had."""
        return self._names.get(route)

    def match(self, path: Segments, *, truncated: bool) -> int:
        """The route of a path by what is known; Route.NONE if there is none."""
        return self._automaton.match(path, truncated=truncated)

    def see(self, path: Segments, *, truncated: bool) -> int:
        """Takes the path of a successful exchange.

        Returns:
            Its route; Route.NONE if the policy does not learn, Route.PENDING if it has to wait.
        """
        route = self.match(path, truncated=truncated)
        if route or self._learner is None:
            return route
        self._use(self._learner.offer(path, truncated=truncated))
        return self.match(path, truncated=truncated) or Route.PENDING

    def settle(self) -> None:
        """Decides about all paths that wait; the updates are in `take_updates`."""
        if self._learner is not None:
            self._use(self._learner.settle())
        if self._deletable:
            self._backlog.append(Update(delete=tuple(self._deletable)))
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
        if self._learner is not None:
            self._use(self._learner.settle())
        self._configure(rules, self.learned if known is None else known)

    def _configure(self, rules: RouteRules, known: Learned) -> None:
        patterns = parse_patterns(rules.patterns)
        configured = [
            Entry(pattern, (_CONFIGURED, *pattern.precedence), self._id(pattern.name))
            for pattern in patterns
        ]
        compiled = self._new_automaton(configured)
        self.rules = rules
        self.generation = next(self._generations)
        self._learner = self._new_learner(known)
        self._sequence = 0
        self._closed = False
        entries = [*configured, *map(self._entry, self.learned.routes)]
        if self._learner is not None and self._learner.full:
            entries.append(_ALL_ELSE)
            self._closed = True
        try:
            compiled = self._new_automaton(entries)
        except RoutesRefusedError:
            # What was learned no longer fits beside the patterns: nothing more is learned.
            compiled = self._new_automaton([*configured, _ALL_ELSE])
            self._closed = True
        self._replace(compiled)

    def _new_learner(self, known: Learned) -> Learner | None:
        count = self.rules.max_routes
        if self.rules.unmatched == "heuristic":
            return HeuristicLearner(max_routes=count, known=known, matched=self._is_matched)
        if self.rules.unmatched == "path":
            return PathLearner(count, dict.fromkeys(known.routes[:count]))
        return None

    def _is_matched(self, path: Segments, truncated: bool) -> bool:  # noqa: FBT001 - a callback
        return self.match(path, truncated=truncated) != Route.NONE

    def _use(self, shapes: Iterable[Shape]) -> None:
        """Puts decided routes into the automaton."""
        learner = self._learner
        if learner is None or self._closed:
            return
        for shape in shapes:
            entry = self._entry(shape)
            try:
                if shape.rest:
                    self._replace(self._new_automaton([*self._automaton.entries, entry]))
                else:
                    self._backlog.append(self._automaton.add(entry))
            except RoutesRefusedError:
                learner.refuse(shape)
                self._closed = True
                break
        self._closed |= learner.full
        if self._closed:
            self._replace(self._new_automaton([*self._automaton.entries, _ALL_ELSE]))

    def _replace(self, automaton: Automaton) -> None:
        """Lets the kernel walk another automaton, from the root on."""
        old, self._automaton = self._automaton, automaton
        self._unreachable += [*old.take_unreachable(), *old.steps]
        self._backlog.append(Update(tuple(automaton.steps.items()), automaton.root))

    def _entry(self, shape: Shape) -> Entry:
        name = shape_name(shape, self.rules.placeholder)
        self._sequence += 1
        pattern = Pattern(shape.segments, rest=shape.rest, name=name)
        return Entry(pattern, (_LEARNED, self._sequence), self._id(name))

    def _id(self, name: str) -> int:
        route = self._ids.get(name)
        if route is None:
            route = self._ids[name] = next(self._route_ids)
            self._names[route] = name
        return route
