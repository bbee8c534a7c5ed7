"""The one list of everything the agent exports.

Only declarations live here: each metric once, with its unit, its help text and the names of its
attributes. Whoever makes points takes the metric from here; exporters derive every other spelling
(Prometheus names, for example) from it. HTTP metrics follow the stable semantic conventions of
OpenTelemetry; the agent's own begin with ``otelauto.``.

A unit in braces counts things and leaves no trace in the Prometheus name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from otelauto.model import Attributes, Metric

__all__ = [
    "AGENT_METRICS",
    "BPF_PROGRAM_RUNS",
    "BPF_PROGRAM_TIME",
    "BUILD_INFO",
    "CATALOG",
    "CONFIG_INFO",
    "CONFIG_LAST_RELOAD_SUCCESSFUL",
    "CONFIG_LAST_SUCCESS",
    "CONFIG_RELOADS",
    "CONNECTIONS_UNREAD",
    "CPU_TIME",
    "DEGRADED",
    "EXCHANGES",
    "EXPORT_ERRORS",
    "EXPORT_LAST_SUCCESS",
    "EXPORT_POINTS_DROPPED",
    "EXPORT_RETRIES",
    "EXPORT_SUCCESSES",
    "HOOK_INFO",
    "HTTP_CLIENT_DURATION",
    "HTTP_CLIENT_REQUEST_SIZE",
    "HTTP_CLIENT_RESPONSE_SIZE",
    "HTTP_METRICS",
    "HTTP_SERVER_DURATION",
    "HTTP_SERVER_REQUEST_SIZE",
    "HTTP_SERVER_RESPONSE_SIZE",
    "INSTRUMENTATION_ERRORS",
    "KERNEL_COUNTS",
    "LOSSES",
    "MEMORY_USAGE",
    "RING_EVENTS_LOST",
    "ROUTES_LEARNED",
    "ROUTES_OVERFLOW",
    "SCRAPES",
    "SELF_TEST_PASSED",
    "SERIES",
    "START_TIME",
    "TARGETS",
    "Entry",
    "KernelCount",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """A metric and the names of the attributes that its points may carry."""

    metric: Metric
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KernelCount:
    """Where one counter of the kernel programs (enum count of bpf/abi.h) is exported.

    Attributes:
        name: the enumerator.
        metric: the counter whose point it becomes.
        attributes: the attributes of that point.
        help: what the counter means, in a sentence.
    """

    name: str
    metric: Metric
    attributes: Attributes
    help: str


def _metric(
    name: str,
    kind: Literal["histogram", "counter", "updown", "gauge"],
    *,
    unit: str,
    description: str,
) -> Metric:
    return Metric(name=name, kind=kind, unit=unit, description=description)


# --- HTTP: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/ (stable) ---------------

HTTP_SERVER_DURATION = _metric(
    "http.server.request.duration",
    "histogram",
    unit="s",
    description="Duration of HTTP server requests.",
)
HTTP_SERVER_REQUEST_SIZE = _metric(
    "http.server.request.body.size",
    "histogram",
    unit="By",
    description="Size of HTTP server request bodies.",
)
HTTP_SERVER_RESPONSE_SIZE = _metric(
    "http.server.response.body.size",
    "histogram",
    unit="By",
    description="Size of HTTP server response bodies.",
)
HTTP_CLIENT_DURATION = _metric(
    "http.client.request.duration",
    "histogram",
    unit="s",
    description="Duration of HTTP client requests.",
)
HTTP_CLIENT_REQUEST_SIZE = _metric(
    "http.client.request.body.size",
    "histogram",
    unit="By",
    description="Size of HTTP client request bodies.",
)
HTTP_CLIENT_RESPONSE_SIZE = _metric(
    "http.client.response.body.size",
    "histogram",
    unit="By",
    description="Size of HTTP client response bodies.",
)

_HTTP_SERVER_ATTRIBUTES = (
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "network.protocol.version",
    "server.port",
    "url.scheme",
)
_HTTP_CLIENT_ATTRIBUTES = tuple(sorted((*_HTTP_SERVER_ATTRIBUTES, "server.address")))

# --- what the agent watches ----------------------------------------------------------------------

BUILD_INFO = _metric(
    "otelauto.build.info",
    "gauge",
    unit="{info}",
    description="Always 1; the attributes name the agent's build.",
)
START_TIME = _metric(
    "otelauto.start.timestamp",
    "gauge",
    unit="s",
    description="When the agent started, in seconds since the epoch.",
)
TARGETS = _metric(
    "otelauto.targets",
    "updown",
    unit="{process}",
    description="Processes that are instrumented now.",
)
INSTRUMENTATION_ERRORS = _metric(
    "otelauto.instrumentation.errors",
    "counter",
    unit="{error}",
    description="Processes that were selected and could not be instrumented, by reason.",
)
SERIES = _metric(
    "otelauto.series",
    "updown",
    unit="{series}",
    description="Distinct series held in the kernel's aggregate.",
)
ROUTES_LEARNED = _metric(
    "otelauto.routes.learned",
    "updown",
    unit="{route}",
    description="Routes that were learned from successful requests and are in use.",
)
ROUTES_OVERFLOW = _metric(
    "otelauto.routes.overflow",
    "counter",
    unit="{route}",
    description="Routes counted as other because the service has as many as it may have.",
)

# --- what the kernel programs counted ------------------------------------------------------------

EXCHANGES = _metric(
    "otelauto.exchanges",
    "counter",
    unit="{exchange}",
    description="HTTP exchanges seen, by outcome: aggregated (the sum of the series), overflow "
    "(counted without its attributes) or lost.",
)
LOSSES = _metric(
    "otelauto.losses",
    "counter",
    unit="{event}",
    description="What the kernel programs saw and could not follow, by cause.",
)
CONNECTIONS_UNREAD = _metric(
    "otelauto.connections.unread",
    "counter",
    unit="{connection}",
    description="Connections of targets whose content is not HTTP/1 in clear, by protocol.",
)
RING_EVENTS_LOST = _metric(
    "otelauto.ring.events.lost",
    "counter",
    unit="{event}",
    description="Events that the full event ring could not take.",
)

KERNEL_COUNTS: tuple[KernelCount, ...] = (
    KernelCount(
        "COUNT_RESPONSE_UNSEEN",
        LOSSES,
        (("otelauto.cause", "response_unseen"),),
        "Exchanges whose response could not be read (io_uring, 32-bit code).",
    ),
    KernelCount(
        "COUNT_SERIES_OVERFLOW",
        EXCHANGES,
        (("otelauto.outcome", "overflow"),),
        "Exchanges counted under the overflow series because the aggregate is full.",
    ),
    KernelCount(
        "COUNT_SERIES_LOST",
        EXCHANGES,
        (("otelauto.outcome", "lost"),),
        "Exchanges that not even the overflow series could take.",
    ),
    *(
        KernelCount(f"COUNT_{cause.upper()}", LOSSES, (("otelauto.cause", cause),), text)
        for cause, text in (
            ("payload_fault", "The process's memory could not be read."),
            ("payload_unseen", "No register pointed to the payload (io_uring, splice)."),
            ("compat_task", "A 32-bit process made the call."),
            ("orphan_response", "The response's request is from before the agent started."),
            ("pipeline_overflow", "More requests were pipelined than are followed."),
            ("carry_lost", "The kept start of a head split over reads was evicted."),
            ("operation_too_long", "One operation held more messages than are followed."),
            ("parse_error", "A message had to start where bytes are that are none."),
            ("connection_lost", "The connection table was full."),
        )
    ),
    KernelCount(
        "COUNT_EVENT_LOST",
        RING_EVENTS_LOST,
        (),
        "Events that the full event ring could not take.",
    ),
    KernelCount(
        "COUNT_PATH_LOST",
        LOSSES,
        (("otelauto.cause", "path_lost"),),
        "The path table was full; the route is unknown.",
    ),
    KernelCount(
        "COUNT_TLS_CONNECTION",
        CONNECTIONS_UNREAD,
        (("otelauto.protocol", "tls"),),
        "Connections that speak TLS and cannot be read.",
    ),
    KernelCount(
        "COUNT_HTTP2_CONNECTION",
        CONNECTIONS_UNREAD,
        (("otelauto.protocol", "http2"),),
        "Connections that speak HTTP/2, which is not read yet.",
    ),
    KernelCount(
        "COUNT_TUNNEL",
        CONNECTIONS_UNREAD,
        (("otelauto.protocol", "tunnel"),),
        "Connections that left HTTP by 101 or CONNECT.",
    ),
    KernelCount(
        "COUNT_SCRATCH_LOST",
        LOSSES,
        (("otelauto.cause", "scratch_lost"),),
        "Operations whose working memory was taken over half-way.",
    ),
)

# --- how the agent watches, and what that costs --------------------------------------------------

HOOK_INFO = _metric(
    "otelauto.hook.info",
    "gauge",
    unit="{info}",
    description="Always 1; the attribute names the way of hooking in use.",
)
DEGRADED = _metric(
    "otelauto.degraded",
    "gauge",
    unit="{feature}",
    description="1 for each optional feature that this host does not allow.",
)
SELF_TEST_PASSED = _metric(
    "otelauto.selftest.passed",
    "gauge",
    unit="{result}",
    description="1 if a known exchange was reported correctly at start, by way of hooking.",
)
BPF_PROGRAM_TIME = _metric(
    "otelauto.bpf.program.time",
    "counter",
    unit="s",
    description="Run time of the kernel programs, where the kernel measures it.",
)
BPF_PROGRAM_RUNS = _metric(
    "otelauto.bpf.program.runs",
    "counter",
    unit="{run}",
    description="Runs of the kernel programs, where the kernel counts them.",
)
CPU_TIME = _metric(
    "otelauto.cpu.time",
    "counter",
    unit="s",
    description="CPU time of the agent's own process, by mode.",
)
MEMORY_USAGE = _metric(
    "otelauto.memory.usage",
    "updown",
    unit="By",
    description="Memory of the agent's own process, by kind (rss, pss).",
)

# --- exporters -----------------------------------------------------------------------------------

EXPORT_SUCCESSES = _metric(
    "otelauto.export.successes",
    "counter",
    unit="{request}",
    description="Export requests that the receiver accepted.",
)
EXPORT_ERRORS = _metric(
    "otelauto.export.errors",
    "counter",
    unit="{request}",
    description="Export requests that failed, by reason.",
)
EXPORT_RETRIES = _metric(
    "otelauto.export.retries",
    "counter",
    unit="{request}",
    description="Export requests made again after a failure that may pass.",
)
EXPORT_POINTS_DROPPED = _metric(
    "otelauto.export.points.dropped",
    "counter",
    unit="{point}",
    description="Data points that the receiver rejected or that were given up, by reason.",
)
EXPORT_LAST_SUCCESS = _metric(
    "otelauto.export.last_success.timestamp",
    "gauge",
    unit="s",
    description="When an export last succeeded, in seconds since the epoch.",
)
SCRAPES = _metric(
    "otelauto.scrapes",
    "counter",
    unit="{request}",
    description="Requests answered by the Prometheus endpoint, by status code.",
)

# --- configuration -------------------------------------------------------------------------------

CONFIG_INFO = _metric(
    "otelauto.config.info",
    "gauge",
    unit="{info}",
    description="Always 1; the attribute is a hash of the configuration in use.",
)
CONFIG_RELOADS = _metric(
    "otelauto.config.reloads",
    "counter",
    unit="{reload}",
    description="Reloads of the configuration, by outcome.",
)
CONFIG_LAST_RELOAD_SUCCESSFUL = _metric(
    "otelauto.config.last_reload.successful",
    "gauge",
    unit="{result}",
    description="1 if the last reload took effect, 0 if it was refused.",
)
CONFIG_LAST_SUCCESS = _metric(
    "otelauto.config.last_success.timestamp",
    "gauge",
    unit="s",
    description="When the configuration in use was read, in seconds since the epoch.",
)

HTTP_METRICS: tuple[Entry, ...] = (
    Entry(HTTP_SERVER_DURATION, _HTTP_SERVER_ATTRIBUTES),
    Entry(HTTP_SERVER_REQUEST_SIZE, _HTTP_SERVER_ATTRIBUTES),
    Entry(HTTP_SERVER_RESPONSE_SIZE, _HTTP_SERVER_ATTRIBUTES),
    Entry(HTTP_CLIENT_DURATION, _HTTP_CLIENT_ATTRIBUTES),
    Entry(HTTP_CLIENT_REQUEST_SIZE, _HTTP_CLIENT_ATTRIBUTES),
    Entry(HTTP_CLIENT_RESPONSE_SIZE, _HTTP_CLIENT_ATTRIBUTES),
)

AGENT_METRICS: tuple[Entry, ...] = (
    Entry(BUILD_INFO, ("host.arch", "os.kernel", "otelauto.version", "process.runtime.version")),
    Entry(START_TIME),
    Entry(TARGETS, ("otelauto.name_rule",)),
    Entry(INSTRUMENTATION_ERRORS, ("error.type",)),
    Entry(SERIES),
    Entry(ROUTES_LEARNED),
    Entry(ROUTES_OVERFLOW),
    Entry(EXCHANGES, ("otelauto.outcome",)),
    Entry(LOSSES, ("otelauto.cause",)),
    Entry(CONNECTIONS_UNREAD, ("otelauto.protocol",)),
    Entry(RING_EVENTS_LOST),
    Entry(HOOK_INFO, ("otelauto.hook",)),
    Entry(DEGRADED, ("otelauto.feature",)),
    Entry(SELF_TEST_PASSED, ("otelauto.hook",)),
    Entry(BPF_PROGRAM_TIME, ("otelauto.bpf.program",)),
    Entry(BPF_PROGRAM_RUNS, ("otelauto.bpf.program",)),
    Entry(CPU_TIME, ("cpu.mode",)),
    Entry(MEMORY_USAGE, ("otelauto.memory.kind",)),
    Entry(EXPORT_SUCCESSES, ("otelauto.exporter",)),
    Entry(EXPORT_ERRORS, ("error.type", "otelauto.exporter")),
    Entry(EXPORT_RETRIES, ("otelauto.exporter",)),
    Entry(EXPORT_POINTS_DROPPED, ("error.type", "otelauto.exporter")),
    Entry(EXPORT_LAST_SUCCESS, ("otelauto.exporter",)),
    Entry(SCRAPES, ("http.response.status_code",)),
    Entry(CONFIG_INFO, ("otelauto.config.hash",)),
    Entry(CONFIG_RELOADS, ("otelauto.outcome",)),
    Entry(CONFIG_LAST_RELOAD_SUCCESSFUL),
    Entry(CONFIG_LAST_SUCCESS),
)

CATALOG: tuple[Entry, ...] = HTTP_METRICS + AGENT_METRICS
