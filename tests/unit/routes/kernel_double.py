"""A stand-in for the kernel's side of routes: the maps, the walk, and who is told of a path."""

from __future__ import annotations

from collections import Counter

from otelauto.abi._layout import PATH_BYTES, Route, RouteStep, Unmatched
from otelauto.routes.pattern import split_path
from otelauto.routes.steps import segment_hash
from otelauto.routes.table import PendingPath

#: Syllables that look like words; two or three of them make any number of names.
WORDS = (
    "ba", "do", "ki", "lu", "me", "sta", "rin", "mol", "net", "pul",
    "gor", "den", "fis", "wan", "tek", "lam", "con", "bir", "sol", "mar",
)  # fmt: skip


class Kernel:
    """Applies updates in their order and walks the maps as the programs do.

    Attributes:
        told: how often path_seen was called.
        reds: exchanges by (service, route, path); path only where the route is pending.
    """

    def __init__(self, table, *, seed):
        self.table = table
        self.seed = seed
        self.edges = {}
        self.services = {}
        self.reported = set()
        self.reds = Counter()
        self.told = 0

    def add(self, service_id, key, rules):
        self.apply(service_id, self.table.service_added(service_id, key=key, rules=rules))
        self.services[service_id] = self.table.service_entry(service_id)

    def apply(self, service_id, update):
        for step, edge in update.put:
            self.edges[step] = edge
        if update.root is not None:
            self.services[service_id] = self.table.service_entry(service_id)
        for step in update.delete:
            del self.edges[step]

    def settle(self):
        for service_id, update in self.table.settle().items():
            self.apply(service_id, update)

    def route(self, service_id, path, *, truncated=False):
        """The walk."""
        entry = self.services[service_id]
        node, end, rest = entry.root_node, entry.root_route, entry.root_rest
        route = None
        segments = split_path(path)
        for segment in segments:
            edge = None
            if node:
                edge = self.edges.get(RouteStep(segment_hash(segment, self.seed), node))
                edge = edge or self.edges.get(RouteStep(0, node))
            if edge is None:
                route = rest
                break
            node, end, rest = edge.node, edge.route, edge.rest
        if route is None:
            route = rest if truncated or not end else end
        if route:
            return route
        return {
            Unmatched.UNSET: Route.NONE,
            Unmatched.WILDCARD: Route.WILDCARD,
            Unmatched.LEARN: Route.PENDING,
        }[entry.unmatched]

    def exchange(self, service_id, path, *, status=200):
        """Counts one exchange; tells user space of a path that no route matches."""
        text, truncated = path[:PATH_BYTES], len(path) > PATH_BYTES
        route = self.route(service_id, text, truncated=truncated)
        pending = route == Route.PENDING
        path = PendingPath(text, truncated, succeeded=status < 400) if pending else None
        self.reds[service_id, route, path] += 1
        if pending and status < 400 and (service_id, text) not in self.reported:
            self.reported.add((service_id, text))
            self.told += 1
            decision = self.table.path_seen(service_id, text, truncated=truncated)
            self.apply(service_id, decision.update)

    def export(self, service_id):
        """Exchanges by the name of their route, as an exporter reports them; then starts anew."""
        self.settle()
        named = Counter()
        pending = [path for service, _, path in self.reds if path and service == service_id]
        routes, update = self.table.resolve_pending(service_id, pending)
        self.apply(service_id, update)
        final = dict(zip(pending, routes, strict=True))
        for (service, route, path), exchanges in self.reds.items():
            if service == service_id:
                name = self.table.route_name(service, final[path] if path else route)
                named[name] += exchanges
        self.reds.clear()
        return dict(named)
