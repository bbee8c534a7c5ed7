# ruff: noqa: RUF009 - opt() and section() make the dataclass fields themselves
"""The whole configuration: the root class and the kernel side's options.

Only declarations live here and in ``selection``, ``exports`` and ``exposition`` (see ``options``).
They are the one source of the file's keys, the variables, the defaults, the checks and the
documentation.
"""

from __future__ import annotations

from dataclasses import dataclass

from otelauto.config.exports import OtelMetricsExport, OtelTracesExport
from otelauto.config.exposition import Buckets, InternalMetrics, PrometheusExport
from otelauto.config.kinds import (
    BOOLEAN,
    GLOBS,
    PATH,
    PORTS,
    REGEXP,
    STANDARD_BOOLEAN,
    TEXT,
    choice,
    duration,
    integer,
)
from otelauto.config.selection import Discovery, Routes
from otelauto.config.values import Ports
from otelauto.config.web_kinds import PAIRS
from otelauto.options import Variable, opt, section

__all__ = [
    "Attributes",
    "Config",
    "Ebpf",
    "HostId",
    "InstanceId",
]

_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
_NOT_BATCHED = "requests are counted in the kernel, there are no batches of them in user space"


@dataclass(frozen=True, slots=True)
class Ebpf:
    """The kernel side, and quick ways to select processes."""

    open_port: Ports = opt(
        Ports(),
        kind=PORTS,
        help="Instrument the processes that listen on one of these ports: a number, a range or a"
        " list such as `80,443,8000-8999`.",
        env=("OPEN_PORT", "BEYLA_OPEN_PORT"),
        aliases=("open_ports",),
        elsewhere=("open_port", "open_ports"),
        example="443",
    )
    executable_name: str = opt(
        "",
        kind=TEXT,
        help="Instrument the processes whose executable's path ends with this text. With"
        " `open_port` both must hold.",
        env=("EXECUTABLE_NAME",),
        example="nginx",
    )
    executable_regexp: str = opt(
        "",
        kind=REGEXP,
        help="Instrument the processes in whose executable's path this regular expression is"
        " found; what later versions of Beyla call `executable_name` at the top level.",
        env=("BEYLA_EXECUTABLE_NAME",),
        elsewhere=("executable_name",),
    )
    exe_path: tuple[str, ...] = opt(
        (),
        kind=GLOBS,
        help="Instrument the processes whose executable's path matches one of these globs, in"
        " the form of `discovery.instrument[].exe_path`.",
        env=("BEYLA_AUTO_TARGET_EXE",),
        example='"*/nginx"',
    )
    system_wide: bool = opt(
        False,
        kind=BOOLEAN,
        help="Instrument every process of the host that is not excluded.",
        env=("SYSTEM_WIDE", "BEYLA_SYSTEM_WIDE"),
        elsewhere=("system_wide", "discovery.system_wide"),
    )
    headers: str = opt(
        "auto",
        kind=choice("auto", "bundled", "kernel"),
        help="Headers to compile against: `bundled` are the agent's own and need nothing on the"
        " host, `kernel` are those of the running kernel, `auto` tries both in this order.",
        reload="restart",
    )
    hook: str = opt(
        "auto",
        kind=choice("auto", "sock", "syscall"),
        help="Where traffic is seen: `sock` at the socket (Linux 6.3 or newer), `syscall` at the"
        " end of the system calls, `auto` takes the first that passes its test.",
        reload="restart",
    )
    max_connections: int = opt(
        65536,
        kind=integer(64, 4_194_304),
        help="How many connections of instrumented processes are followed at once.",
        reload="restart",
    )
    max_series: int = opt(
        4096,
        kind=integer(64, 262_144),
        help="How many distinct series the kernel counts, at 600 bytes for each CPU up to eight;"
        " requests beyond them are counted under one explicit overflow series of their service.",
        reload="restart",
    )
    wakeup_len: int = opt(
        0,
        kind=integer(0, 2**31),
        help="Events after which Beyla wakes user space.",
        env=("BPF_WAKEUP_LEN", "BEYLA_BPF_WAKEUP_LEN"),
        inert=_NOT_BATCHED,
    )
    batch_length: int = opt(
        100,
        kind=integer(1, 2**31),
        help="Requests in one batch of Beyla.",
        env=("BPF_BATCH_LENGTH", "BEYLA_BPF_BATCH_LENGTH"),
        inert=_NOT_BATCHED,
    )
    batch_timeout_seconds: float = opt(
        1.0,
        kind=duration(),
        key="batch_timeout",
        help="Time after which Beyla passes on a batch that is not full.",
        env=("BPF_BATCH_TIMEOUT", "BEYLA_BPF_BATCH_TIMEOUT"),
        inert=_NOT_BATCHED,
    )
    bfp_debug: bool = opt(
        False,
        kind=BOOLEAN,
        help="Whether Beyla's kernel programs print to the kernel's trace log.",
        env=("BPF_DEBUG", "BEYLA_BPF_DEBUG"),
        aliases=("bpf_debug",),
        inert="the kernel programs do not print; what they meet is counted and exported",
    )
    bpf_fs_base_dir: str = opt(
        "/var/run/otelauto",
        kind=PATH,
        help="Where Beyla mounts its BPF file system.",
        env=("BPF_FS_BASE_DIR", "BEYLA_BPF_FS_BASE_DIR"),
        inert="nothing is pinned, so that nothing is left behind after any exit",
    )
    track_request_headers: bool = opt(
        False,
        kind=BOOLEAN,
        help="Whether Beyla reads the trace context of incoming requests.",
        env=("BEYLA_BPF_TRACK_REQUEST_HEADERS", "BPF_TRACK_REQUEST_HEADERS"),
        inert="trace context is read wherever traces are exported",
    )


@dataclass(frozen=True, slots=True)
class InstanceId:
    """The host's name in the telemetry."""

    override_hostname: str = opt(
        "",
        kind=TEXT,
        help="Value of `host.name` instead of the kernel's host name.",
        env=("BEYLA_HOSTNAME",),
        reload="restart",
    )
    dns: bool = opt(
        True,
        kind=BOOLEAN,
        help="Whether Beyla asks the DNS for the host's name.",
        env=("BEYLA_HOSTNAME_DNS_RESOLUTION",),
        inert="the kernel's host name is used, which no resolver can change",
    )


@dataclass(frozen=True, slots=True)
class HostId:
    """The host's identity in the telemetry."""

    override: str = opt(
        "",
        kind=TEXT,
        help="Value of `host.id` instead of the machine id.",
        env=("BEYLA_HOST_ID",),
        reload="restart",
    )


@dataclass(frozen=True, slots=True)
class Attributes:
    """The host in the telemetry."""

    instance_id: InstanceId = section(InstanceId, help="The host's name.")
    host_id: HostId = section(HostId, help="The host's identity.")


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, checked; it never changes, a reload makes another one."""

    log_level: str = opt(
        "INFO",
        kind=choice(*_LEVELS, also={"WARNING": "WARN"}),
        help="Lowest level of the agent's own log.",
        env=(
            "LOG_LEVEL",
            "BEYLA_LOG_LEVEL",
            Variable("OTEL_LOG_LEVEL", lenient=True),
        ),
        elsewhere=("ebpf.log_level",),
    )
    log_format: str = opt(
        "auto",
        kind=choice("auto", "text", "json"),
        help="Form of the log: `text` for people, `json` for machines, `auto` is `text` on a"
        " terminal and `json` elsewhere.",
        env=("BEYLA_LOG_FORMAT",),
        reload="restart",
    )
    print_traces: bool = opt(
        False,
        kind=BOOLEAN,
        help="Print what is seen on the standard output; the same as `trace_printer: text`.",
        env=("PRINT_TRACES", "BEYLA_PRINT_TRACES"),
        reload="restart",
    )
    trace_printer: str = opt(
        "disabled",
        kind=choice("disabled", "text", "json", "counter", also={"json_indent": "json"}),
        help="Print what is seen on the standard output as `text` or `json`; `counter` counts"
        " and prints nothing.",
        env=("BEYLA_TRACE_PRINTER",),
        reload="restart",
    )
    noop: bool = opt(
        False,
        kind=BOOLEAN,
        help="Count without exporting; it satisfies the need for an exporter.",
        env=("NOOP_TRACES", "BEYLA_NOOP_TRACES"),
        reload="restart",
    )
    sdk_disabled: bool = opt(
        False,
        kind=BOOLEAN,
        help="Whether the agent stays idle: it attaches nothing and exports nothing.",
        env=(Variable("OTEL_SDK_DISABLED", STANDARD_BOOLEAN, lenient=True),),
        reload="restart",
    )
    service_name: str = opt(
        "",
        kind=TEXT,
        help="Service name of the processes that `ebpf.open_port`, `ebpf.executable_name` or"
        " `ebpf.executable_regexp` select; entries of `discovery.instrument` have their own.",
        env=("OTEL_SERVICE_NAME", "BEYLA_SERVICE_NAME", "PROMETHEUS_SERVICE_NAME"),
        elsewhere=(
            "otel_metrics_export.service_name",
            "otel_traces_export.service_name",
            "prometheus_export.service_name",
        ),
    )
    service_namespace: str = opt(
        "",
        kind=TEXT,
        help="Service namespace of every service that has none of its own.",
        env=("SERVICE_NAMESPACE", "BEYLA_SERVICE_NAMESPACE"),
        elsewhere=(
            "otel_metrics_export.service_namespace",
            "otel_traces_export.service_namespace",
            "prometheus_export.service_namespace",
        ),
    )
    resource_attributes: tuple[tuple[str, str], ...] = opt(
        (),
        kind=PAIRS,
        help="Resource attributes of everything that is exported, unless the service has its own"
        " of that name. `service.name` and `service.namespace` in it stand for the options"
        " `service_name` and `service_namespace` where those are not given.",
        env=(Variable("OTEL_RESOURCE_ATTRIBUTES", lenient=True),),
        reload="restart",
        example="{deployment.environment.name: production}",
    )
    shutdown_timeout_seconds: float = opt(
        5.0,
        kind=duration(0, 300),
        key="shutdown_timeout",
        help="How long the last export may take when the agent stops.",
        env=("BEYLA_SHUTDOWN_TIMEOUT",),
    )
    ebpf: Ebpf = section(Ebpf, help="The kernel side, and quick ways to select processes.")
    discovery: Discovery = section(Discovery, help="Which processes are instrumented.")
    routes: Routes = section(Routes, help="How paths become values of `http.route`.")
    buckets: Buckets = section(
        Buckets,
        help="Bounds of the histograms' buckets.",
        elsewhere=("otel_metrics_export.buckets", "prometheus_export.buckets"),
    )
    otel_metrics_export: OtelMetricsExport = section(OtelMetricsExport, help="Metrics over OTLP.")
    otel_traces_export: OtelTracesExport = section(
        OtelTracesExport, help="Traces over OTLP, and what they hold."
    )
    prometheus_export: PrometheusExport = section(
        PrometheusExport, help="Metrics to be scraped by Prometheus."
    )
    internal_metrics: InternalMetrics = section(InternalMetrics, help="The agent's own metrics.")
    attributes: Attributes = section(Attributes, help="The host in the telemetry.")
    channel_buffer_len: int = opt(
        10,
        kind=integer(0, 2**31),
        help="Length of Beyla's queues between its stages.",
        env=("CHANNEL_BUFFER_LEN", "BEYLA_CHANNEL_BUFFER_LEN"),
        inert="requests do not pass through queues in user space",
    )
    profile_port: int = opt(
        0,
        kind=integer(0, 65535),
        help="Port of Beyla's Go profiler.",
        env=("PROFILE_PORT", "BEYLA_PROFILE_PORT"),
        inert="the agent is not a Go program",
    )

    @property
    def printer(self) -> str:
        """How what is seen is printed: disabled, text, json or counter."""
        if self.trace_printer == "disabled":
            return "text" if self.print_traces else "counter" if self.noop else "disabled"
        return self.trace_printer

    @property
    def has_quick_selector(self) -> bool:
        """Whether ``ebpf.open_port``, ``executable_name``, ``_regexp`` or ``exe_path`` is given.

        Together they are one entry: what is given must all hold.
        """
        ebpf = self.ebpf
        return bool(
            ebpf.open_port or ebpf.executable_name or ebpf.executable_regexp or ebpf.exe_path
        )

    @property
    def has_selector(self) -> bool:
        """Whether anything is to be instrumented."""
        return self.has_quick_selector or self.ebpf.system_wide or bool(self.discovery.instrument)

    @property
    def has_metrics_exporter(self) -> bool:
        """Whether metrics go anywhere."""
        return (
            self.otel_metrics_export.enabled
            or self.prometheus_export.enabled
            or self.printer != "disabled"
        )

    @property
    def has_traces_exporter(self) -> bool:
        """Whether spans go anywhere."""
        return self.otel_traces_export.enabled or self.printer in {"text", "json"}
