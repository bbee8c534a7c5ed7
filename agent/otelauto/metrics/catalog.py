"""The one list of everything the agent exports.

Only declarations live here: each metric once, with its unit, its help text and the names of its
attributes. Whoever makes points takes the metric from here; exporters derive every other spelling
(Prometheus names, for example) from it. HTTP metrics follow the stable semantic conventions of
OpenTelemetry; the agent's own begin with ``otelauto.``.

A unit in braces counts things and leaves no trace in the Prometheus name.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    "SPANS",
    "SPANS_EXPORTED",
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


def _histogram(name: str, unit: str, *, text: str) -> Metric:
    return Metric(name, "histogram", unit, text)


def _counter(name: str, unit: str, *, text: str) -> Metric:
    return Metric(name, "counter", unit, text)


def _updown(name: str, unit: str, *, text: str) -> Metric:
    return Metric(name, "updown", unit, text)


def _gauge(name: str, unit: str, *, text: str) -> Metric:
    return Metric(name, "gauge", unit, text)


# --- HTTP: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/ (stable) ---------------

HTTP_SERVER_DURATION = _histogram(
    "http.server.request.duration", "s", text="Duration of HTTP server requests."
)
HTTP_SERVER_REQUEST_SIZE = _histogram(
    "http.server.request.body.size", "By", text="Size of HTTP server request bodies."
)
HTTP_SERVER_RESPONSE_SIZE = _histogram(
    "http.server.response.body.size", "By", text="Size of HTTP server response bodies."
)
HTTP_CLIENT_DURATION = _histogram(
    "http.client.request.duration", "s", text="Duration of HTTP client requests."
)
HTTP_CLIENT_REQUEST_SIZE = _histogram(
    "http.client.request.body.size", "By", text="Size of HTTP client request bodies."
)
HTTP_CLIENT_RESPONSE_SIZE = _histogram(
    "http.client.response.body.size", "By", text="Size of HTTP client response bodies."
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

BUILD_INFO = _gauge(
    "otelauto.build.info", "{info}", text="Always 1; the attributes name the agent's build."
)
START_TIME = _gauge(
    "otelauto.start.timestamp", "s", text="When the agent started, in seconds since the epoch."
)
TARGETS = _updown("otelauto.targets", "{process}", text="Processes that are instrumented now.")
INSTRUMENTATION_ERRORS = _counter(
    "otelauto.instrumentation.errors",
    "{error}",
    text="Processes that were selected and could not be instrumented, by reason.",
)
SERIES = _updown(
    "otelauto.series", "{series}", text="Distinct series held in the kernel's aggregate."
)
ROUTES_LEARNED = _updown(
    "otelauto.routes.learned",
    "{route}",
    text="Routes that were learned from successful requests and are in use.",
)
ROUTES_OVERFLOW = _updown(
    "otelauto.routes.overflow",
    "{service}",
    text="Services that learn no more routes, because they have as many as they may have or"
    " because there is no more room for any.",
)

# --- what the kernel programs counted ------------------------------------------------------------

EXCHANGES = _counter(
    "otelauto.exchanges",
    "{exchange}",
    text="HTTP exchanges seen, by outcome: aggregated (counted with its attributes), overflow "
    "(counted without them) or lost.",
)
LOSSES = _counter(
    "otelauto.losses",
    "{event}",
    text="What the kernel programs saw and could not follow, by cause.",
)
CONNECTIONS_UNREAD = _counter(
    "otelauto.connections.unread",
    "{connection}",
    text="Connections of targets whose content is not HTTP/1 in clear, by protocol.",
)
RING_EVENTS_LOST = _counter(
    "otelauto.ring.events.lost", "{event}", text="Events that the full event ring could not take."
)

SPANS = _counter(
    "otelauto.spans",
    "{span}",
    text="Exchanges of traced services by what the kernel programs made of their span: sent to "
    "the agent, sampled out, or lost by cause.",
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
    *(
        KernelCount(name, CONNECTIONS_UNREAD, (("otelauto.protocol", protocol),), text)
        for name, protocol, text in (
            ("COUNT_TLS_CONNECTION", "tls", "Connections that speak TLS and cannot be read."),
            ("COUNT_HTTP2_CONNECTION", "http2", "Connections that speak HTTP/2, not read yet."),
            ("COUNT_TUNNEL", "tunnel", "Connections that left HTTP by 101 or CONNECT."),
        )
    ),
    *(
        KernelCount(f"COUNT_SPAN_{count}", SPANS, (("otelauto.outcome", outcome),), text)
        for count, outcome, text in (
            ("SENT", "sent", "Spans that were given to the agent."),
            ("UNSAMPLED", "sampled_out", "Exchanges that the sampler left out."),
            ("LIMITED", "limited", "Sampled exchanges beyond max_spans_per_second."),
            ("EVICTED", "evicted", "Sampled exchanges whose place was taken by others."),
            ("UNKEPT", "unkept", "Sampled exchanges for which there was no room."),
            ("RING_FULL", "ring_full", "Spans that the full ring could not take."),
            ("UNSEEN", "response_unseen", "Spans whose response could not be read."),
        )
    ),
)

# --- how the agent watches, and what that costs --------------------------------------------------

HOOK_INFO = _gauge(
    "otelauto.hook.info", "{info}", text="Always 1; the attribute names the way of hooking in use."
)
DEGRADED = _gauge(
    "otelauto.degraded",
    "{feature}",
    text="1 for each optional feature that this host does not allow.",
)
SELF_TEST_PASSED = _gauge(
    "otelauto.selftest.passed",
    "{result}",
    text="1 if a known exchange was reported correctly at start, by way of hooking.",
)
BPF_PROGRAM_TIME = _counter(
    "otelauto.bpf.program.time",
    "s",
    text="Run time of the kernel programs, where the kernel measures it.",
)
BPF_PROGRAM_RUNS = _counter(
    "otelauto.bpf.program.runs",
    "{run}",
    text="Runs of the kernel programs, where the kernel counts them.",
)
CPU_TIME = _counter("otelauto.cpu.time", "s", text="CPU time of the agent's own process, by mode.")
MEMORY_USAGE = _updown(
    "otelauto.memory.usage", "By", text="Memory of the agent's own process, by kind (rss, pss)."
)

# --- exporters -----------------------------------------------------------------------------------

EXPORT_SUCCESSES = _counter(
    "otelauto.export.successes", "{request}", text="Export requests that the receiver accepted."
)
EXPORT_ERRORS = _counter(
    "otelauto.export.errors", "{request}", text="Export requests that failed, by reason."
)
EXPORT_RETRIES = _counter(
    "otelauto.export.retries",
    "{request}",
    text="Export requests made again after a failure that may pass.",
)
EXPORT_POINTS_DROPPED = _counter(
    "otelauto.export.points.dropped",
    "{point}",
    text="Data points that the receiver rejected or that were given up, by reason.",
)
EXPORT_LAST_SUCCESS = _gauge(
    "otelauto.export.last_success.timestamp",
    "s",
    text="When an export last succeeded, in seconds since the epoch.",
)
SPANS_EXPORTED = _counter(
    "otelauto.spans.exported",
    "{span}",
    text="Spans that were given to the agent, by outcome: exported, ignored (routes), or lost by "
    "cause (queue_full, rejected, export_failed, shutdown, invalid).",
)
SCRAPES = _counter(
    "otelauto.scrapes",
    "{request}",
    text="Requests answered by the Prometheus endpoint, by status code.",
)

# --- configuration -------------------------------------------------------------------------------

CONFIG_INFO = _gauge(
    "otelauto.config.info",
    "{info}",
    text="Always 1; the attribute is a hash of the configuration in use.",
)
CONFIG_RELOADS = _counter(
    "otelauto.config.reloads", "{reload}", text="Reloads of the configuration, by outcome."
)
CONFIG_LAST_RELOAD_SUCCESSFUL = _gauge(
    "otelauto.config.last_reload.successful",
    "{result}",
    text="1 if the last reload took effect, 0 if it was refused.",
)
CONFIG_LAST_SUCCESS = _gauge(
    "otelauto.config.last_success.timestamp",
    "s",
    text="When the configuration in use was read, in seconds since the epoch.",
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
    Entry(SPANS, ("otelauto.outcome",)),
    Entry(SPANS_EXPORTED, ("otelauto.outcome",)),
    Entry(SCRAPES, ("http.response.status_code",)),
    Entry(CONFIG_INFO, ("otelauto.config.hash",)),
    Entry(CONFIG_RELOADS, ("otelauto.outcome",)),
    Entry(CONFIG_LAST_RELOAD_SUCCESSFUL),
    Entry(CONFIG_LAST_SUCCESS),
)

CATALOG: tuple[Entry, ...] = HTTP_METRICS + AGENT_METRICS
