"""All routes of all services: the only door to this package for the rest of the agent.

Only the bookkeeping of services lives here. Nothing in it touches the kernel: it returns what has
to be written to the maps, and the caller writes it, in the order of the update's fields.

Use it from one thread. The order of an export is: `settle`; write its updates; read the kernel's
aggregate; `resolve_pending` for the exchanges whose route is Route.PENDING; write its update; name
the routes. An exchange that was pending is counted under the route that it has at this moment, and
what was counted stays there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from otelauto.abi._layout import Route
from otelauto.abi._layout import Service as ServiceEntry
from otelauto.routes._service import RoutesOfService
from otelauto.routes.automaton import MAX_NODES, Automaton
from otelauto.routes.learn import Learned
from otelauto.routes.pattern import Segments, split_path
from otelauto.routes.steps import MAX_STEPS, StepBudget, Update, segment_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otelauto.routes.rules import RouteRules
    from otelauto.routes.store import RouteStore

__all__ = ["OTHER_NAME", "WILDCARD_NAME", "Decision", "PendingPath", "RouteTable"]

#: Name of paths that no route matches and that are not learned.
WILDCARD_NAME = "/**"
#: Name of all paths of a service that has as many routes as it may have. No path is called so.
OTHER_NAME = "other"

_RESERVED_NAMES = {Route.WILDCARD: WILDCARD_NAME, Route.OTHER: OTHER_NAME}


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a path.

    Attributes:
        route: its route; Route.PENDING: decided by the next `settle` at the latest.
        update: what has to be written to the kernel's maps.
    """

    route: int
    update: Update = field(default_factory=Update)


@dataclass(frozen=True, slots=True)
class PendingPath:
    """A path that the kernel left at Route.PENDING.

    Attributes:
        text: the path as it was sent, without query.
        truncated: it is longer than what was kept.
        succeeded: whether an exchange with it had a status from 100 to 399.
    """

    text: bytes
    truncated: bool
    succeeded: bool


@dataclass(slots=True)
class _Member:
    key: str
    routes: RoutesOfService
    saved: Learned
    active: bool = False


class RouteTable:
    """The registry of routes.

    Args:
        seed: options.route_seed, drawn at random at each start.
        store: remembers over restarts what was learned; None: nothing does.
        max_nodes: bound on the states of one service.
        max_steps: size of the kernel's map route_edges.
        hash_segment: replaces the hash in tests.
    """

    def __init__(
        self,
        *,
        seed: int,
        store: RouteStore | None = None,
        max_nodes: int = MAX_NODES,
        max_steps: int = MAX_STEPS,
        hash_segment: Callable[[bytes, int], int] = segment_hash,
    ) -> None:
        self._store = store
        self._members: dict[int, _Member] = {}
        budget = StepBudget(max_steps)
        self._new_routes = partial(
            RoutesOfService,
            budget=budget,
            new_automaton=partial(
                Automaton,
                seed=seed,
                node_ids=count(1),
                budget=budget,
                max_nodes=max_nodes,
                hash_segment=hash_segment,
            ),
            route_ids=count(Route.FIRST),
            generations=count(1),
        )

    def service_added(self, service_id: int, *, key: str, rules: RouteRules) -> Update:
        """Takes a service in.

        Args:
            service_id: as in the kernel's map `services`.
            key: names the service for good, the same after a restart; one service_id each.
            rules: its configuration.

        Returns:
            What to write to route_edges, before `service_entry` is written to services.

        Raises:
            ConfigError: a pattern is not valid, or the patterns cannot be compiled.
            ValueError: there is such a service already; its steps would never be deleted.
        """
        if service_id in self._members:
            raise ValueError(f"service {service_id} has been added already")
        known = self._load(key, rules.unmatched)
        routes = self._new_routes(rules, known)
        self._members[service_id] = _Member(key, routes, known)
        return routes.take_updates()

    def service_removed(self, service_id: int) -> Update:
        """Forgets a service; to be written once no process is of this service any more."""
        member = self._members.pop(service_id, None)
        if member is None:
            return Update()
        member.routes.decide()
        member.routes.sweep()
        gone = member.routes.take_updates().delete
        self._save(member)
        return Update(delete=gone + member.routes.close().delete)

    def service_entry(self, service_id: int) -> ServiceEntry:
        """The service's entry in the kernel's map `services`; it changes with each new root.

        Raises:
            KeyError: there is no such service.
        """
        return self._members[service_id].routes.entry

    def reload(self, service_id: int, rules: RouteRules) -> Update:
        """Other rules for a service. Names that stay keep their id; the generation is a new one.

        Raises:
            ConfigError: see `service_added`; the old rules stay in force.
            KeyError: there is no such service.
        """
        member = self._members[service_id]
        routes = member.routes
        if rules == routes.rules:
            return routes.take_updates()
        if rules.unmatched == routes.rules.unmatched:
            routes.reconfigure(rules)
            member.active = True
            return routes.take_updates()
        routes.decide()
        self._save(member)
        known = self._load(member.key, rules.unmatched)
        routes.reconfigure(rules, known)
        member.saved = known
        return routes.take_updates()

    def path_seen(self, service_id: int, text: bytes, *, truncated: bool = False) -> Decision:
        """Learns from the path of a successful exchange (EVENT_PATH). Never raises on any bytes.

        Args:
            service_id: of the exchange; one that is gone gives Route.NONE.
            text: the path as it was sent, without query.
            truncated: it is longer than what was kept.
        """
        member = self._members.get(service_id)
        if member is None:
            return Decision(Route.NONE)
        path = _segments(text)
        if path is None:
            return Decision(_unlearned(member.routes.rules))
        route = member.routes.see(path, truncated=truncated)
        member.active = True
        if route == Route.NONE:
            route = _unlearned(member.routes.rules)
        return Decision(route, member.routes.take_updates())

    def resolve(self, service_id: int, text: bytes, *, truncated: bool = False) -> int:
        """The route of a path that the kernel left at Route.PENDING; learns nothing.

        A path that never succeeded and resembles no route is Route.WILDCARD: whoever scans a
        service for paths that do not exist gets no labels.
        """
        member = self._members.get(service_id)
        if member is None:
            return Route.NONE
        path = _segments(text)
        route = Route.NONE if path is None else member.routes.match(path, truncated=truncated)
        return route or _unlearned(member.routes.rules)

    def resolve_pending(
        self, service_id: int, paths: Sequence[PendingPath]
    ) -> tuple[tuple[int, ...], Update]:
        """The routes under which pending exchanges are exported now.

        Paths that succeeded are learned from, so that nothing depends on their event having come:
        it may have been lost, or have come before a reload to another policy.

        Returns:
            A route for each path, in order, none of them Route.PENDING; and what to write.
        """
        member = self._members.get(service_id)
        if member is None:
            return (Route.NONE,) * len(paths), Update()
        routes = member.routes
        for path in paths:
            segments = _segments(path.text) if path.succeeded else None
            if segments is not None:
                routes.see(segments, truncated=path.truncated)
        routes.decide()
        member.active = not self._save(member)
        found = [self.resolve(service_id, path.text, truncated=path.truncated) for path in paths]
        return tuple(found), routes.take_updates()

    def settle(self) -> Mapping[int, Update]:
        """Decides about all paths that wait, saves what was learned, and lets go of old steps.

        To be called before the aggregate is read, and not more often than a walk can last (a few
        microseconds): what an update leaves behind is deleted two calls later.

        Returns:
            What to write, by service id. Where `root` is set, `service_entry` has changed.
        """
        updates: dict[int, Update] = {}
        for service_id, member in self._members.items():
            member.routes.decide()
            member.routes.sweep()
            update = member.routes.take_updates()
            if update:
                updates[service_id] = update
            if member.active:
                member.active = not self._save(member)
        return updates

    def route_name(self, service_id: int, route: int) -> str | None:
        """The value of http.route; None: the attribute is absent."""
        reserved = _RESERVED_NAMES.get(Route(route)) if route in _RESERVED_NAMES else None
        if reserved is not None:
            return reserved
        member = self._members.get(service_id)
        return None if member is None else member.routes.name(route)

    def is_ignored(self, service_id: int, route: int) -> bool:
        """Whether exchanges with this route are not to be reported (routes.ignored_patterns)."""
        member = self._members.get(service_id)
        return member is not None and member.routes.is_ignored(route)

    def learned_count(self, service_id: int) -> int:
        """Number of learned routes of a service, for the agent's own metrics."""
        member = self._members.get(service_id)
        return 0 if member is None else len(member.routes.learned.routes)

    def is_closed(self, service_id: int) -> bool:
        """Whether a service learns no more routes, for want of room."""
        member = self._members.get(service_id)
        return member is not None and member.routes.closed

    def _load(self, key: str, policy: str) -> Learned:
        if self._store is None or policy not in {"path", "heuristic"}:
            return Learned()
        return self._store.load(key, policy)

    def _save(self, member: _Member) -> bool:
        learned = member.routes.learned
        policy = member.routes.rules.unmatched
        if self._store is None or learned == member.saved:
            return True
        if self._store.save(member.key, policy, learned):
            member.saved = learned
            return True
        return False


def _unlearned(rules: RouteRules) -> int:
    return Route.NONE if rules.unmatched == "unset" else Route.WILDCARD


def _segments(text: bytes) -> Segments | None:
    """The segments of a path; None for request targets that are no paths."""
    path = text.partition(b"?")[0].partition(b"#")[0]
    if path == b"*":
        return (path,)
    return split_path(path) if path.startswith(b"/") else None
