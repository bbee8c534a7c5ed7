"""The routes of services in the kernel: written, learned, resolved.

Only what passes between the route table and the kernel's maps lives here. Use it under the
session's lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from otelauto.abi import _layout as abi
from otelauto.app.services import route_rules, service_key, service_tracing, without_patterns
from otelauto.errors import ConfigError
from otelauto.routes.steps import Update
from otelauto.routes.table import PendingPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from otelauto.app.services import ServiceIds
    from otelauto.config.schema import Config
    from otelauto.config.selection import EntryRoutes
    from otelauto.kernel.driver import Kernel
    from otelauto.model import Service
    from otelauto.routes.table import RouteTable

__all__ = ["PathId", "ServicePaths"]

#: The service and the hash of a path.
PathId: TypeAlias = "tuple[int, int]"


class ServicePaths:
    """How paths of services get their routes.

    Args:
        kernel: loaded and attached.
        routes: names of paths.
        services: ids, and what is exported of each.
        fault: is told of what should not happen.
    """

    def __init__(
        self,
        kernel: Kernel,
        routes: RouteTable,
        services: ServiceIds,
        fault: Callable[[str, Exception], None],
    ) -> None:
        self._kernel = kernel
        self._routes = routes
        self._services = services
        self._fault = fault
        self._config: Config | None = None

    def open(
        self, config: Config, number: int, service: Service, entry: EntryRoutes | None
    ) -> bool:
        """Write a new service; whether there was room for its series.

        A service whose patterns find no room is counted without them.

        Raises:
            OSError: a map is full.
        """
        self._config = config
        key, rules = service_key(service), route_rules(config, entry)
        try:
            update = self._routes.service_added(number, key=key, rules=rules)
        except ConfigError as error:
            self._fault("the routes of a service are refused, it is counted without", error)
            rules = without_patterns(rules)
            update = self._routes.service_added(number, key=key, rules=rules)
        self._put(update)
        opened = self._kernel.open_service(number, self._entry(number))
        self._kernel.delete_routes(update)
        return opened

    def set_rules(self, config: Config, number: int, entry: EntryRoutes | None) -> None:
        """Other rules, or another sampler, for a service."""
        self._config = config
        self._services.set_entry(number, entry)
        update = Update()
        try:
            update = self._routes.reload(number, route_rules(config, entry))
        except ConfigError as error:
            self._fault("the routes of a service are refused, those of before stay", error)
        self._put(update)
        self._kernel.set_service(number, self._entry(number))
        self._kernel.delete_routes(update)

    def seen(self, key: abi.PathKey) -> None:
        """A successful exchange had a path that no route matched."""
        record = self._kernel.path(key)
        if record is None or key.service not in self._services:
            return
        decision = self._routes.path_seen(key.service, record.text, truncated=record.truncated)
        self._write(key.service, decision.update)
        self._cache(key, decision.route)

    def settle(self) -> None:
        """Decide about all paths that wait."""
        for number, update in self._routes.settle().items():
            self._write(number, update)

    def resolve(self, keys: Iterable[abi.RedKey]) -> dict[PathId, int]:
        """Routes of the paths that the kernel left pending in its aggregate."""
        found: dict[PathId, int] = {}
        waiting: dict[PathId, PendingPath] = {}
        for key in keys:
            record = self._kernel.path(abi.PathKey(key.path, key.service))
            if record is None:
                found[key.service, key.path] = abi.Route.OTHER
                continue
            path = PendingPath(record.text, record.truncated, succeeded=True)
            waiting[key.service, key.path] = path
        return found | self._resolved(waiting)

    def of_spans(self, exchanges: Sequence[tuple[abi.EventSpan, bytes]]) -> list[int]:
        """The route of each span; a path that is pending is learned from, as for metrics."""
        waiting: dict[PathId, PendingPath] = {}
        for event, path in exchanges:
            if event.route == abi.Route.PENDING and event.service in self._services:
                key = event.service, event.path
                succeeded = 100 <= event.status < 400
                if key not in waiting or succeeded:
                    text = path[: abi.PATH_BYTES]
                    waiting[key] = PendingPath(text, len(path) > len(text), succeeded=succeeded)
        found = self._resolved(waiting)
        return [found.get((event.service, event.path), event.route) for event, _ in exchanges]

    def name(self, service: int, route: int) -> str | None:
        """The value of http.route; None: there is none."""
        if route in {abi.Route.NONE, abi.Route.PENDING}:
            return None
        return self._routes.route_name(service, route)

    def is_ignored(self, config: Config, service: int, route: int, *, signal: str) -> bool:
        """Whether exchanges with this route are not to be reported in a signal.

        Patterns of the service's own entry hold for all signals.
        """
        if not self._routes.is_ignored(service, route):
            return False
        if config.routes.ignore_mode in {"all", signal}:
            return True
        entry = self._services.entry(service)
        return entry is not None and self.name(service, route) in entry.ignored_patterns

    def _resolved(self, waiting: dict[PathId, PendingPath]) -> dict[PathId, int]:
        found: dict[PathId, int] = {}
        by_service: dict[int, dict[int, PendingPath]] = {}
        for (service, hash_), path in waiting.items():
            by_service.setdefault(service, {})[hash_] = path
        for service, paths in by_service.items():
            routes, update = self._routes.resolve_pending(service, tuple(paths.values()))
            known = service in self._services
            if known:
                self._write(service, update)
            for hash_, route in zip(paths, routes, strict=True):
                found[service, hash_] = route
                if known and paths[hash_].succeeded:
                    self._cache(abi.PathKey(hash_, service), route)
        return found

    def _entry(self, number: int) -> abi.Service:
        """What the kernel holds of a service."""
        entry = self._routes.service_entry(number)
        if self._config is None:
            return entry
        wanted = service_tracing(self._config, self._services.signals(number))
        return entry._replace(sample_below=wanted.sample_below, spans=wanted.bits)

    def _write(self, number: int, update: Update) -> None:
        """Carries out an update in the order that lets a walk see the old or the new routes."""
        if not update:
            return
        self._put(update)
        self._kernel.set_service(number, self._entry(number))
        self._kernel.delete_routes(update)

    def _put(self, update: Update) -> None:
        """Where the kernel has no room for a route, paths that have it are resolved here."""
        try:
            self._kernel.put_routes(update)
        except OSError as error:
            self._fault("the kernel has no room for more routes", error)

    def _cache(self, key: abi.PathKey, route: int) -> None:
        if route != abi.Route.PENDING:
            generation = self._routes.service_entry(key.service).generation
            self._kernel.cache_route(key, route, generation)
