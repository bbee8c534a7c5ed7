"""Stand-ins for what a session is wired to: the kernel's maps, the watch, the process file system.

The kernel's stand-in carries out and records; it decides nothing.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from types import SimpleNamespace

from otelauto.abi import _layout as abi
from otelauto.discovery.selectors import Match
from otelauto.kernel.driver import PathRecord
from otelauto.model import Process, Service, Target
from otelauto.routes.pattern import split_path
from otelauto.routes.steps import segment_hash

METRICS = frozenset({"metrics"})


def full(name):
    return OSError(errno.E2BIG, os.strerror(errno.E2BIG), name)


class FakeKernel:
    """The maps as dictionaries.

    Attributes:
        calls: names of what was called, in order, with the process or service.
        refuse: names of calls that fail because their map is full.
    """

    way = "sock"
    degraded = ()

    def __init__(self, seed=7, *, spans=False):
        self.seed = seed
        self.settings = SimpleNamespace(spans=spans)
        self.span_events = None
        self.span_limit = 0
        self.calls = []
        self.refuse = set()
        self.pids, self.services, self.edges, self.cache = {}, {}, {}, {}
        self.entries, self.texts = {}, {}
        self.counters = dict.fromkeys(abi.Count, 0)
        self.records = []
        self.wanted = None
        self.closed = False
        self.aggregate_full = False

    def _call(self, name, *what):
        self.calls.append((name, *what))
        if name in self.refuse:
            raise full(name)

    # --- what the session writes ---

    def want_events(self, bits, *, span_limit=0):
        self._call("want_events")
        self.wanted = bits
        self.span_limit = span_limit

    def set_target(self, pid, service):
        self._call("set_target", pid)
        self.pids[pid] = service

    def drop_target(self, pid):
        self._call("drop_target", pid)
        self.pids.pop(pid, None)

    def targets(self):
        return dict(self.pids)

    def open_service(self, service, entry):
        self._call("open_service", service)
        self.services[service] = entry
        return not self.aggregate_full

    def set_service(self, service, entry):
        self._call("set_service", service)
        self.services[service] = entry

    def put_routes(self, update):
        self._call("put_routes", len(update.put))
        self.edges.update(update.put)

    def delete_routes(self, update):
        self._call("delete_routes", len(update.delete))
        for step in update.delete:
            del self.edges[step]

    def cache_route(self, key, route, generation):
        self._call("cache_route", route)
        self.cache[key] = (route, generation)

    def delete_red(self, keys):
        for key in list(keys):
            self._call("delete_red", abi.RedKey(*abi.RED_KEY.unpack(key)).service)
            self.entries.pop(key, None)

    def take_red(self, keys):
        return [(key, self.entries.pop(key)) for key in keys if key in self.entries]

    def end_closed(self):
        self._call("end_closed")

    def close(self):
        self.closed = True

    # --- what the session reads ---

    def red(self):
        self._call("red")
        yield from dict(self.entries).items()

    def path(self, key):
        return self.texts.get(key)

    def counts(self):
        return dict(self.counters)

    def program_infos(self):
        return {}

    @property
    def events(self):
        return self

    def read(self):
        found, self.records = self.records, []
        return found

    def fileno(self):
        return -1

    # --- what the programs do ---

    def walk(self, service, path):
        """The route by the automaton in the maps; ROUTE_NONE: none."""
        entry = self.services[service]
        node, route, rest = entry.root_node, entry.root_route, entry.root_rest
        for segment in split_path(path):
            step = abi.RouteStep(segment_hash(segment, self.seed), node)
            edge = self.edges.get(step) or self.edges.get(abi.RouteStep(0, node))
            if edge is None:
                return rest
            node, route, rest = edge.node, edge.route, edge.rest
        return route or rest

    def exchange(self, pid, path, *, count=1, **fields):
        """Counts successful exchanges of a target, as the programs do; returns the key's path."""
        service = self.pids[pid]
        key = abi.PathKey(segment_hash(path, 1), service)
        hit = self.cache.get(key)
        known = hit is not None and hit[1] == self.services[service].generation
        route = hit[0] if known else self.walk(service, path)
        if not route and self.services[service].unmatched == abi.Unmatched.LEARN:
            route = abi.Route.PENDING
            self.texts[key] = PathRecord(path[: abi.PATH_BYTES], len(path) > abi.PATH_BYTES)
        if not route and self.services[service].unmatched == abi.Unmatched.WILDCARD:
            route = abi.Route.WILDCARD
        self.count(service, route, path=key.hash if route == abi.Route.PENDING else 0, count=count)
        return key

    def count(self, service, route, *, path=0, count=1):
        red = abi.RedKey(
            path, service, route, 200, 80, abi.Role.SERVER, 1, 2, 0, 0, 0, 0, bytes(16)
        )
        raw = abi.RED_KEY.pack(*red)
        values = list(abi.RED_VALUE.unpack(self.entries.get(raw, bytes(abi.RED_VALUE.size))))
        values[abi.RED_VALUE_SLICES["duration"].start] += count
        self.entries[raw] = abi.RED_VALUE.pack(*values)


class FakeWatch:
    """Gives the changes that the test has put there."""

    def __init__(self):
        self.found = {}
        self.next = []
        self.handled = []
        self.rescans = 0
        self.wanted = frozenset({"exec"})
        self.selections = []

    def wanted_events(self):
        return self.wanted

    def targets(self):
        return tuple(self.found.values())

    def initial_scan(self):
        return self._take()

    def rescan(self):
        self.rescans += 1
        return self._take()

    def reselect(self, selection):
        self.selections.append(selection)
        return self._take()

    def handle(self, event):
        self.handled.append(event)
        return self._take()

    def _take(self):
        found, self.next = self.next, []
        return found


class Log:
    """Keeps what is said: (level, event, fields)."""

    def __init__(self):
        self.said = []

    def __getattr__(self, level):
        return lambda event, **fields: self.said.append((level, event, fields))

    def events(self, level):
        return [event for at, event, _ in self.said if at == level]


def service(name="shop", **changes):
    return replace(Service(name, "prod", f"host/{name}"), **changes)


def target(pid, of=None, *, start=1, exports=METRICS):
    return Target(Process(pid, start), of or service(), 0, "selector", exports)


def match(routes=None):
    return Match((0,), "", "", METRICS, routes)
