"""One run of the agent between kernel and exporters: what happens on an event and at a collection.

The state that several parts share lives here, behind one lock: events come from the main loop,
collections from the exporters' threads.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otelauto.abi import _layout as abi
from otelauto.app.records import life_event, path_event
from otelauto.app.services import ServiceIds, route_rules, service_key, without_patterns
from otelauto.discovery.events import TargetAdded, TargetRemoved
from otelauto.discovery.proc import read_stat
from otelauto.errors import ConfigError
from otelauto.logs import Throttle
from otelauto.metrics.resource import service_resource
from otelauto.metrics.series import SeriesKey, series_key
from otelauto.model import ResourceMetrics
from otelauto.routes.table import PendingPath

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from otelauto.config.schema import Config
    from otelauto.config.selection import EntryRoutes
    from otelauto.discovery.events import Change
    from otelauto.discovery.identity import Host
    from otelauto.discovery.selection import Selection
    from otelauto.discovery.selectors import Match
    from otelauto.discovery.watch import Watch
    from otelauto.kernel.driver import Kernel
    from otelauto.metrics.aggregate import Aggregate
    from otelauto.model import Service, Target
    from otelauto.routes.steps import Update
    from otelauto.routes.table import RouteTable

__all__ = ["Session"]

#: How long the series of a service stay after its last process: a restart, and one more scrape.
_KEEP_SECONDS: Final = 300.0
#: Collections without a change after which the entry of a path that has a route now is deleted.
_IDLE_READS: Final = 3
_EVENT_BITS: Final = {"exec": abi.EventBit.EXEC, "listen": abi.EventBit.LISTEN}


class Session:
    """What is instrumented, and what has been counted.

    Args:
        config: in force at the start; reload() gives another one.
        kernel: loaded and attached.
        watch: which processes are targets.
        routes: names of paths.
        aggregate: what has been counted.
        host: for resource attributes.
        proc: the process file system.
        log: a structlog logger.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        config: Config,
        *,
        kernel: Kernel,
        watch: Watch,
        routes: RouteTable,
        aggregate: Aggregate,
        host: Host,
        proc: Path,
        log: Any,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._kernel = kernel
        self._watch = watch
        self._routes = routes
        self._aggregate = aggregate
        self._host = host
        self._proc = proc
        self._log = log
        self._clock = clock
        self._lock = threading.RLock()
        self._services = ServiceIds()
        self._service_of: dict[int, int] = {}  # process id -> service id
        self._events_lost = 0
        self._throttle = Throttle(clock)
        self.instrumentation_errors: Counter[str] = Counter()

    # --- discovery ------------------------------------------------------------------------------

    def start(self) -> None:
        """Ask for events, then look at what is there already."""
        with self._lock:
            self._want_events()
            self._apply(self._watch.initial_scan())

    def on_events(self) -> None:
        """The event ring has records."""
        with self._lock:
            for record in self._kernel.events.read():
                try:
                    self._on_event(record)
                except Exception as error:  # noqa: BLE001, PERF203 - it must not cost the others
                    self._fault("an event was not handled", error)

    def reselect(self, config: Config, selection: Selection) -> None:
        """Another configuration: selectors and routes take effect, unchanged targets stay."""
        with self._lock:
            self._config = config
            self._apply(self._watch.reselect(selection))
            self._want_events()
            for number in self._services.numbers():
                self._set_rules(number, self._services.entry(number))

    def targets(self) -> tuple[Target, ...]:
        """What is instrumented now."""
        return self._watch.targets()

    def targets_by_rule(self) -> Mapping[str, int]:
        """How many processes were named by which rule."""
        return Counter(target.name_rule for target in self._watch.targets())

    def _want_events(self) -> None:
        self._kernel.want_events(sum(_EVENT_BITS[kind] for kind in self._watch.wanted_events()))

    def _on_event(self, record: bytes) -> None:
        path = path_event(record)
        if path is not None:
            self._on_path(path)
            return
        event = life_event(record)
        if event is not None:
            self._apply(self._watch.handle(event))

    def _apply(self, changes: list[Change]) -> None:
        for change in changes:
            if isinstance(change, TargetRemoved):
                self._forget(change.pid)
            elif isinstance(change, TargetAdded):
                self._instrument(change.target, change.match)
            else:
                # Never without a service meanwhile: what it does at this moment counts, too.
                self._release(change.target.process.pid)
                self._instrument(change.target, change.match)

    def _instrument(self, target: Target, match: Match) -> None:
        pid = target.process.pid
        if "metrics" not in target.exports:
            self._kernel.drop_target(pid)
            return
        try:
            number = self._service_id(target, match)
            if number:
                self._kernel.set_target(pid, number)
        except OSError as error:
            self._fail(target, "map_full", f"the kernel takes no more: {error.strerror}")
            return
        if not number:
            self._fail(target, "too_many_services", "there are as many services as there can be")
            return
        self._services.hold(number)
        self._service_of[pid] = number
        stat = read_stat(self._proc, pid)
        if stat is None or stat.start_ticks != target.process.start_ticks:
            # It ended meanwhile, perhaps after its exit event: its id must not stay a target.
            self._forget(pid)
            return
        # Once in a while for each service: a host may start thousands of short processes.
        throttled = self._throttle.admit(f"instrumenting {target.service.name}") is None
        say = self._log.debug if throttled else self._log.info
        say(
            "instrumenting",
            pid=pid,
            service=target.service.name,
            named_by=target.name_rule,
            exe=target.process.exe,
        )

    def _forget(self, pid: int) -> None:
        self._kernel.drop_target(pid)
        if self._release(pid):
            self._log.debug("no longer instrumented", pid=pid)

    def _release(self, pid: int) -> bool:
        number = self._service_of.pop(pid, 0)
        if number:
            self._services.release(number, self._clock())
        return number > 0

    def _fail(self, target: Target, reason: str, text: str) -> None:
        self.instrumentation_errors[reason] += 1
        self._kernel.drop_target(target.process.pid)
        self._log.error(
            "a selected process cannot be instrumented",
            pid=target.process.pid,
            service=target.service.name,
            reason=text,
        )

    def _service_id(self, target: Target, match: Match) -> int:
        number = self._services.find(target.service)
        if number:
            self._services.rename(number, target.service)
            self._set_rules(number, match.routes)
            return number
        number = self._services.add(target.service, match.routes)
        if number:
            try:
                update = self._add_routes(number, target.service, match.routes)
                self._put_routes(update)
                if not self._kernel.open_service(number, self._routes.service_entry(number)):
                    self._log.warning("the aggregate is full: raise ebpf.max_series", id=number)
            except OSError:
                self._remove(number)
                raise
            self._kernel.delete_routes(update)
        return number

    # --- routes ---------------------------------------------------------------------------------

    def _add_routes(self, number: int, service: Service, entry: EntryRoutes | None) -> Update:
        """A service whose patterns find no room is counted without them."""
        key, rules = service_key(service), route_rules(self._config, entry)
        try:
            return self._routes.service_added(number, key=key, rules=rules)
        except ConfigError as error:
            self._fault("the routes of a service are refused, it is counted without", error)
            return self._routes.service_added(number, key=key, rules=without_patterns(rules))

    def _set_rules(self, number: int, entry: EntryRoutes | None) -> None:
        self._services.set_entry(number, entry)
        try:
            self._write(number, self._routes.reload(number, route_rules(self._config, entry)))
        except ConfigError as error:
            self._fault("the routes of a service are refused, those of before stay", error)

    def _on_path(self, key: abi.PathKey) -> None:
        record = self._kernel.path(key)
        if record is None or key.service not in self._services:
            return
        decision = self._routes.path_seen(key.service, record.text, truncated=record.truncated)
        self._write(key.service, decision.update)
        self._cache(key, decision.route)

    def _write(self, number: int, update: Update) -> None:
        """Carries out an update in the order that lets a walk see the old or the new routes."""
        if not update:
            return
        self._put_routes(update)
        self._kernel.set_service(number, self._routes.service_entry(number))
        self._kernel.delete_routes(update)

    def _put_routes(self, update: Update) -> None:
        """Where the kernel has no room for a route, paths that have it are resolved here."""
        try:
            self._kernel.put_routes(update)
        except OSError as error:
            self._fault("the kernel has no room for more routes", error)

    def _cache(self, key: abi.PathKey, route: int) -> None:
        if route != abi.Route.PENDING:
            generation = self._routes.service_entry(key.service).generation
            self._kernel.cache_route(key, route, generation)

    # --- collection -----------------------------------------------------------------------------

    def collect(self) -> tuple[ResourceMetrics, ...]:
        """Everything counted so far, by service."""
        with self._lock:
            self._after_loss()
            for number, update in self._routes.settle().items():
                self._write(number, update)
            self._read()
            self._expire()
            return self._resources()

    @property
    def exchanges(self) -> int:
        """Exchanges counted with their attributes."""
        with self._lock:
            return self._aggregate.exchanges

    @property
    def series(self) -> int:
        """Entries of the kernel's aggregate in use."""
        with self._lock:
            return self._aggregate.entries

    @property
    def routes_learned(self) -> int:
        """Learned routes of all services."""
        with self._lock:
            return sum(self._routes.learned_count(n) for n in self._services.numbers())

    @property
    def routes_overflow(self) -> int:
        """Services that learn no more routes, for want of room."""
        with self._lock:
            return sum(self._routes.is_closed(n) for n in self._services.numbers())

    def _after_loss(self) -> None:
        lost = self._kernel.counts()[abi.Count.EVENT_LOST]
        if lost > self._events_lost:
            self._events_lost = lost
            self._log.warning("events were lost; looking at all processes again", lost=lost)
            self._apply(self._watch.rescan())
            # Children that the kernel took over, and of which no event told what they run now.
            for pid in self._kernel.targets().keys() - self._service_of.keys():
                self._kernel.drop_target(pid)

    def _read(self) -> None:
        self._kernel.end_closed()
        items = list(self._kernel.red())
        found = self._resolve(items)
        self._take_in(items, found)
        idle = self._aggregate.idle(_IDLE_READS)
        if idle:
            self._take_in(self._kernel.take_red(idle), found)
            self._aggregate.forget(idle)

    def _take_in(self, items: list[tuple[bytes, bytes]], found: Mapping[_Path, int]) -> None:
        self._aggregate.read(
            items, now_unix_nano=time.time_ns(), place=lambda key: self._place(key, found)
        )

    def _resolve(self, items: list[tuple[bytes, bytes]]) -> dict[_Path, int]:
        """Routes of the paths that the kernel left pending, by service and hash."""
        waiting: dict[int, dict[int, PendingPath]] = {}
        found: dict[_Path, int] = {}
        for raw, _ in items:
            if raw[:8] == _NO_PATH or self._aggregate.knows(raw):
                continue
            key = abi.RedKey(*abi.RED_KEY.unpack(raw))
            record = self._kernel.path(abi.PathKey(key.path, key.service))
            if record is None:
                found[key.service, key.path] = abi.Route.OTHER
                continue
            path = PendingPath(record.text, record.truncated, succeeded=True)
            waiting.setdefault(key.service, {})[key.path] = path
        for service, paths in waiting.items():
            routes, update = self._routes.resolve_pending(service, tuple(paths.values()))
            if service in self._services:
                self._write(service, update)
            for hash_, route in zip(paths, routes, strict=True):
                found[service, hash_] = route
                if service in self._services:
                    self._cache(abi.PathKey(hash_, service), route)
        return found

    def _place(self, key: abi.RedKey, found: Mapping[_Path, int]) -> SeriesKey | None:
        if key.service not in self._services:
            return None
        route = found.get((key.service, key.path), key.route) if key.path else key.route
        if self._routes.is_ignored(key.service, route):
            return None
        return series_key(key._replace(path=0, route=route), self._name(key.service, route))

    def _name(self, service: int, route: int) -> str | None:
        return None if route == abi.Route.NONE else self._routes.route_name(service, route)

    def _expire(self) -> None:
        for number in self._services.expired(self._clock(), _KEEP_SECONDS):
            self._remove(number)

    def _remove(self, number: int) -> None:
        self._kernel.delete_routes(self._routes.service_removed(number))
        self._kernel.delete_red(self._aggregate.drop_service(number))
        self._services.remove(number)

    def _fault(self, message: str, error: Exception) -> None:
        """Says and counts what should not happen, and goes on."""
        reason = type(error).__name__
        self.instrumentation_errors[reason] += 1
        held = self._throttle.admit(f"{message} {reason}")
        if held is not None:
            unexpected = not isinstance(error, OSError | ConfigError)
            self._log.error(
                message, reason=str(error), exc_info=error if unexpected else None, **held
            )

    def _resources(self) -> tuple[ResourceMetrics, ...]:
        extra = self._config.resource_attributes
        return tuple(
            ResourceMetrics(
                service_resource(self._services.service(number), self._host, extra=extra), families
            )
            for number, families in self._aggregate.families().items()
        )


_NO_PATH: Final = bytes(8)
#: The service and the hash of a path.
_Path: TypeAlias = "tuple[int, int]"
