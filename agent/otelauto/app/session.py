"""One run of the agent between kernel and exporters: what happens on an event and at a collection.

The state that several parts share lives here, behind one lock: events come from the main loop,
collections from the exporters' threads.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from otelauto.abi import _layout as abi
from otelauto.app.paths import ServicePaths
from otelauto.app.records import life_event, path_event
from otelauto.app.services import ServiceIds, Signals
from otelauto.discovery.events import TargetAdded, TargetRemoved
from otelauto.discovery.proc import read_stat
from otelauto.errors import ConfigError
from otelauto.logs import Throttle
from otelauto.metrics.resource import service_resource
from otelauto.metrics.series import SeriesKey, series_key
from otelauto.model import ResourceMetrics
from otelauto.spans.build import Traced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from otelauto.app.paths import PathId
    from otelauto.config.schema import Config
    from otelauto.discovery.events import Change
    from otelauto.discovery.identity import Host
    from otelauto.discovery.selection import Selection
    from otelauto.discovery.selectors import Match
    from otelauto.discovery.watch import Watch
    from otelauto.kernel.driver import Kernel
    from otelauto.metrics.aggregate import Aggregate
    from otelauto.model import Attributes, Target
    from otelauto.routes.table import RouteTable

__all__ = ["Session"]

#: How long the series of a service stay after its last process: a restart, and one more scrape.
_KEEP_SECONDS: Final = 300.0
#: Collections without a change after which the entry of a path that has a route now is deleted.
_IDLE_READS: Final = 3
_NO_PATH: Final = bytes(8)
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
        self._paths = ServicePaths(kernel, routes, self._services, self._fault)
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
                self._paths.set_rules(config, number, self._services.entry(number))

    def targets(self) -> tuple[Target, ...]:
        """What is instrumented now."""
        return self._watch.targets()

    def targets_by_rule(self) -> Mapping[str, int]:
        """How many processes were named by which rule."""
        return Counter(target.name_rule for target in self._watch.targets())

    def _want_events(self) -> None:
        self._kernel.want_events(
            sum(_EVENT_BITS[kind] for kind in self._watch.wanted_events()),
            span_limit=self._config.otel_traces_export.max_spans_per_second,
        )

    def _on_event(self, record: bytes) -> None:
        path = path_event(record)
        if path is not None:
            self._paths.seen(path)
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
        if "metrics" not in target.exports and not self._is_traced(target):
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

    def _is_traced(self, target: Target) -> bool:
        return "traces" in target.exports and self._kernel.settings.spans

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
        signals = Signals(target.exports, match.sampler, target.process.exe)
        number = self._services.find(target.service)
        if number:
            self._services.rename(number, target.service)
            self._services.set_signals(number, signals)
            self._paths.set_rules(self._config, number, match.routes)
            return number
        number = self._services.add(target.service, match.routes, signals)
        if number:
            try:
                if not self._paths.open(self._config, number, target.service, match.routes):
                    self._log.warning("the aggregate is full: raise ebpf.max_series", id=number)
            except OSError:
                self._remove(number)
                raise
        return number

    # --- collection -----------------------------------------------------------------------------

    def collect(self) -> tuple[ResourceMetrics, ...]:
        """Everything counted so far, by service."""
        with self._lock:
            self._after_loss()
            self._paths.settle()
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

    def traced(self, exchanges: Sequence[tuple[abi.EventSpan, bytes]]) -> list[Traced | None]:
        """What the services of spans say of them; None: it is not to be reported.

        Args:
            exchanges: the records, and the path of each as it was sent.
        """
        with self._lock:
            known: dict[int, Attributes] = {}
            return [
                self._traced_one(event, route, known)
                for (event, _), route in zip(
                    exchanges, self._paths.of_spans(exchanges), strict=True
                )
            ]

    def _traced_one(
        self, event: abi.EventSpan, route: int, known: dict[int, Attributes]
    ) -> Traced | None:
        number = event.service
        if number not in self._services:
            return None
        if self._paths.is_ignored(self._config, number, route, signal="traces"):
            return None
        resource = known.get(number)
        if resource is None:
            resource = known[number] = self._resource(number)
        return Traced(resource, self._paths.name(number, route))

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
        found = self._paths.resolve(
            key
            for raw, _ in items
            if raw[:8] != _NO_PATH and not self._aggregate.knows(raw)
            for key in (abi.RedKey._make(abi.RED_KEY.unpack(raw)),)
        )
        self._take_in(items, found)
        idle = self._aggregate.idle(_IDLE_READS)
        if idle:
            self._take_in(self._kernel.take_red(idle), found)
            self._aggregate.forget(idle)

    def _take_in(self, items: list[tuple[bytes, bytes]], found: Mapping[PathId, int]) -> None:
        self._aggregate.read(
            items, now_unix_nano=time.time_ns(), place=lambda key: self._place(key, found)
        )

    def _place(self, key: abi.RedKey, found: Mapping[PathId, int]) -> SeriesKey | None:
        service = key.service
        if service not in self._services:
            return None
        if "metrics" not in self._services.signals(service).exports:
            return None
        route = found.get((service, key.path), key.route) if key.path else key.route
        if self._paths.is_ignored(self._config, service, route, signal="metrics"):
            return None
        return series_key(key._replace(path=0, route=route), self._paths.name(service, route))

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

    def _resource(self, number: int) -> Attributes:
        extra = self._config.resource_attributes
        return service_resource(self._services.service(number), self._host, extra=extra)

    def _resources(self) -> tuple[ResourceMetrics, ...]:
        return tuple(
            ResourceMetrics(self._resource(number), families)
            for number, families in self._aggregate.families().items()
        )
