"""The immutable values that flow from the kernel to the exporters.

Only values live here: no I/O, no clocks, no kernel, no wire formats. A module of the pipeline
knows its left neighbour by these types alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "AttributeValue",
    "Attributes",
    "Collect",
    "Exports",
    "HistogramPoint",
    "Metric",
    "MetricFamily",
    "NumberPoint",
    "Process",
    "ResourceMetrics",
    "Service",
    "Snapshot",
    "Span",
    "SpanAttributes",
    "Target",
    "sorted_attributes",
]

AttributeValue: TypeAlias = "str | bool | int | float"
#: Sorted by name, so that equal sets of attributes are equal values.
Attributes: TypeAlias = "tuple[tuple[str, AttributeValue], ...]"


@dataclass(frozen=True, slots=True)
class Process:
    """What discovery knows of one process; every field is read from /proc once.

    Attributes:
        pid: process id in the agent's pid namespace.
        start_ticks: field 22 of /proc/PID/stat; with the pid it names a process for good.
        exe: target of /proc/PID/exe without " (deleted)"; empty if it cannot be read.
        cmdline: arguments, undecodable bytes as surrogate escapes.
        environ: only the variables that name a service (OTEL_*); never the whole environment.
        unit: systemd unit from the cgroup, such as "nginx.service"; empty if none.
        cwd: working directory; empty if it cannot be read.
        listen_ports: TCP ports on which one of its descriptors listens.
        parent: process id of the parent.
    """

    pid: int
    start_ticks: int
    exe: str = ""
    cmdline: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    cwd: str = ""
    listen_ports: frozenset[int] = frozenset()
    parent: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """The identity under which exchanges are reported (the OpenTelemetry resource's core).

    Attributes:
        name: service.name.
        namespace: service.namespace; empty if none.
        instance_id: service.instance.id; stable over restarts and the same for all workers.
        attributes: further resource attributes of the application (OTEL_RESOURCE_ATTRIBUTES).
    """

    name: str
    namespace: str = ""
    instance_id: str = ""
    attributes: Attributes = ()


Exports: TypeAlias = "frozenset[Literal['metrics', 'traces']]"


@dataclass(frozen=True, slots=True)
class Target:
    """A process that is instrumented, and why.

    Attributes:
        process: the process.
        service: its identity.
        selector: index of the entry of discovery.instrument that selected it; -1: inherited
            from its parent by fork.
        name_rule: which rule named it: "selector", "OTEL_SERVICE_NAME",
            "OTEL_RESOURCE_ATTRIBUTES", "systemd unit", "script", "executable".
        exports: which signals are exported for it.
    """

    process: Process
    service: Service
    selector: int
    name_rule: str
    exports: Exports = frozenset({"metrics", "traces"})


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the catalogue.

    Attributes:
        name: OpenTelemetry name; the Prometheus name is the standard translation of it.
        kind: counter is monotonic and cumulative; updown is a sum that may fall; gauge is a
            last value.
        unit: UCUM, such as "s", "By", "1", "{request}".
    """

    name: str
    kind: Literal["histogram", "counter", "updown", "gauge"]
    unit: str
    description: str


@dataclass(frozen=True, slots=True)
class HistogramPoint:
    """A cumulative explicit-bucket histogram.

    Attributes:
        bounds: upper bounds, inclusive, ascending, without infinity.
        counts: one more than bounds; not cumulative over the buckets.
        fine: optional finer buckets, upper bound (inclusive) and count, for quantiles only.
    """

    attributes: Attributes
    start_unix_nano: int
    sum: float
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    fine: tuple[tuple[float, int], ...] = ()

    @property
    def count(self) -> int:
        """Number of observations."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class NumberPoint:
    """A value of a counter, an updown sum or a gauge."""

    attributes: Attributes
    start_unix_nano: int
    value: int | float


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """A metric and its points: all HistogramPoint if metric.kind is "histogram"."""

    metric: Metric
    points: tuple[HistogramPoint, ...] | tuple[NumberPoint, ...]


@dataclass(frozen=True, slots=True)
class ResourceMetrics:
    """The families of one resource.

    Attributes:
        resource: the complete resource attributes (service.name, host.name, ...).
        internal: True for the agent's own metrics.
    """

    resource: Attributes
    families: tuple[MetricFamily, ...]
    internal: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything there is to export at one moment.

    Attributes:
        time_unix_nano: when the kernel's maps were read.
    """

    time_unix_nano: int
    resources: tuple[ResourceMetrics, ...]


#: Attributes of a span, in no order; a header has a list of values.
SpanAttributes: TypeAlias = "tuple[tuple[str, AttributeValue | tuple[str, ...]], ...]"


@dataclass(frozen=True, slots=True)
class Span:
    """One sampled exchange, ready to be exported.

    Attributes:
        resource: the complete resource attributes; spans of one service share the object.
        trace_id: 16 bytes.
        span_id: 8 bytes.
        parent_id: 8 bytes; empty: the span is a root.
        remote_parent: the parent is another process's.
        trace_state: the tracestate header of the request; empty: none.
        failed: its status is Error; otherwise it is not set.
    """

    resource: Attributes
    name: str
    kind: Literal["server", "client"]
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    remote_parent: bool
    trace_state: str
    start_unix_nano: int
    end_unix_nano: int
    attributes: SpanAttributes
    failed: bool = False


#: Reads the kernel's maps now and returns the cumulative state; safe to call from any thread.
Collect: TypeAlias = Callable[[], Snapshot]


def sorted_attributes(items: Iterable[tuple[str, AttributeValue]]) -> Attributes:
    """The canonical form of a set of attributes."""
    return tuple(sorted(items))
