"""Which service id in the kernel stands for which service, and which routes it has.

Only this bookkeeping lives here. An id is kept while processes of the service live and for a while
after, so that a restart goes on counting where it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from otelauto.abi import _layout as abi
from otelauto.app.selftest import SERVICE as SELF_TEST_SERVICE
from otelauto.routes.rules import RouteRules
from otelauto.spans.sampling import OFF, tracing

if TYPE_CHECKING:
    from otelauto.config.schema import Config
    from otelauto.config.selection import EntryRoutes, EntrySampler
    from otelauto.model import Exports, Service
    from otelauto.routes.rules import Policy
    from otelauto.spans.sampling import Tracing

__all__ = [
    "ServiceIds",
    "Signals",
    "route_rules",
    "service_key",
    "service_tracing",
    "without_patterns",
]


@dataclass(frozen=True, slots=True)
class Signals:
    """What is exported of a service.

    Attributes:
        exports: the signals that are asked for.
        sampler: of the entry that selected it; None: the global one.
        exe: its executable.
    """

    exports: Exports
    sampler: EntrySampler | None = None
    exe: str = ""


@dataclass(slots=True)
class _Record:
    service: Service
    entry: EntryRoutes | None
    signals: Signals
    processes: int = 0
    empty_since_seconds: float = 0.0


class ServiceIds:
    """Ids of services, and how many processes each has."""

    def __init__(self) -> None:
        self._records: dict[int, _Record] = {}
        self._ids: dict[str, int] = {}  # by identity: attributes such as a version may change
        self._next = 1

    def __contains__(self, number: int) -> bool:
        """Whether the id is in use."""
        return number in self._records

    def find(self, service: Service) -> int:
        """The id of a service; 0 if it has none."""
        return self._ids.get(service_key(service), 0)

    def rename(self, number: int, service: Service) -> None:
        """The same service with other attributes, after it was started anew."""
        self._records[number].service = service

    def add(self, service: Service, entry: EntryRoutes | None, signals: Signals) -> int:
        """A new id; 0 if there are as many services as there can be."""
        for _ in range(abi.MAX_SERVICES):
            number = self._next
            self._next = number + 1 if number + 1 < SELF_TEST_SERVICE else 1
            if number not in self._records:
                self._records[number] = _Record(service, entry, signals)
                self._ids[service_key(service)] = number
                return number
        return 0

    def service(self, number: int) -> Service:
        """The service of an id."""
        return self._records[number].service

    def entry(self, number: int) -> EntryRoutes | None:
        """The routes that the selecting entry gave it."""
        return self._records[number].entry

    def set_entry(self, number: int, entry: EntryRoutes | None) -> None:
        """Other routes of the selecting entry."""
        self._records[number].entry = entry

    def signals(self, number: int) -> Signals:
        """What is exported of it."""
        return self._records[number].signals

    def set_signals(self, number: int, signals: Signals) -> None:
        """What is exported of it from now on."""
        self._records[number].signals = signals

    def hold(self, number: int) -> None:
        """A process of the service began."""
        self._records[number].processes += 1

    def release(self, number: int, now_seconds: float) -> None:
        """A process of the service ended."""
        record = self._records[number]
        record.processes -= 1
        record.empty_since_seconds = now_seconds

    def expired(self, now_seconds: float, after_seconds: float) -> list[int]:
        """Services without a process for so long."""
        return [
            number
            for number, record in self._records.items()
            if record.processes <= 0 and now_seconds - record.empty_since_seconds >= after_seconds
        ]

    def remove(self, number: int) -> None:
        """Forget a service; its id may be given to another one."""
        record = self._records.pop(number)
        self._ids.pop(service_key(record.service), None)

    def numbers(self) -> tuple[int, ...]:
        """All ids in use."""
        return tuple(self._records)


_SEPARATOR: Final = "\0"


def service_key(service: Service) -> str:
    """Names a service for good, for what is kept over restarts."""
    return _SEPARATOR.join((service.namespace, service.name, service.instance_id))


def route_rules(config: Config, entry: EntryRoutes | None) -> RouteRules:
    """The rules of a service: its entry's patterns first, then the global ones."""
    routes = config.routes
    own = entry.patterns if entry else ()
    own_ignored = entry.ignored_patterns if entry else ()
    unmatched = (entry.unmatched if entry else "") or routes.unmatched
    return RouteRules(
        patterns=(*own, *routes.patterns),
        ignored_patterns=(*own_ignored, *routes.ignored_patterns),
        unmatched=cast("Policy", unmatched),
        placeholder=routes.placeholder,
        max_routes=routes.max_per_service,
    )


def service_tracing(config: Config, signals: Signals) -> Tracing:
    """How the exchanges of a service become spans."""
    if "traces" not in signals.exports or not config.has_traces_exporter:
        return OFF
    sampler = signals.sampler or config.otel_traces_export.sampler
    return tracing(sampler.name, sampler.arg, exe=signals.exe)


def without_patterns(rules: RouteRules) -> RouteRules:
    """The same policy where there is no room in the kernel: nothing is matched or learned."""
    unmatched: Policy = "unset" if rules.unmatched == "unset" else "wildcard"
    return replace(rules, patterns=(), ignored_patterns=(), unmatched=unmatched)
