"""What options mean together.

Each rule is a generator of findings over a finished configuration; none reads the configuration
file. A finding that something is missing is left out if something near was not understood.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from otelauto.config.exports import OtelMetricsExport, OtelTracesExport
    from otelauto.config.schema import Config
    from otelauto.config.selection import Selector
    from otelauto.config.values import Url

__all__ = ["Finding", "findings", "settled"]

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_SELECTORS = ("ebpf", "discovery")
_EXPORTERS = (
    "otel_metrics_export",
    "prometheus_export",
    "print_traces",
    "trace_printer",
    "noop",
    "otel_traces_export",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of the whole, or a notice.

    Attributes:
        paths: the options it concerns; the first that is given is its place.
        fatal: it makes the configuration invalid.
        missing: it says that something is not there.
        idle: it says that there is nothing to do.
    """

    message: str
    paths: tuple[str, ...]
    fatal: bool = True
    missing: bool = False
    idle: bool = False


def settled(config: Config, given: Collection[str]) -> Config:
    """The configuration with the name and namespace that resource_attributes gives.

    Source: OpenTelemetry, SDK environment variables: OTEL_SERVICE_NAME wins over service.name in
    OTEL_RESOURCE_ATTRIBUTES.
    """
    attributes = dict(config.resource_attributes)
    name = attributes.pop("service.name", "")
    namespace = attributes.pop("service.namespace", "")
    attributes.pop("service.instance.id", "")
    if len(attributes) == len(config.resource_attributes):
        return config
    return dataclasses.replace(
        config,
        service_name=config.service_name if "service_name" in given else name,
        service_namespace=(
            config.service_namespace if "service_namespace" in given else namespace
        ),
        resource_attributes=tuple(attributes.items()),
    )


def findings(config: Config) -> Iterator[Finding]:
    """All faults and notices of the configuration as a whole."""
    if not config.sdk_disabled:
        yield from _selection(config)
        yield from _exporters(config)
    for key in ("instrument", "exclude_instrument", "default_exclude_instrument"):
        yield from _entries(getattr(config.discovery, key), f"discovery.{key}")
    yield from _names(config)
    for section, prefix in (
        (config.otel_metrics_export, "otel_metrics_export"),
        (config.otel_traces_export, "otel_traces_export"),
    ):
        if section.enabled:
            yield from _otlp(section, prefix)
    yield from _batches(config)
    if config.prometheus_export.enabled:
        yield from _prometheus(config)


def _selection(config: Config) -> Iterator[Finding]:
    ebpf = config.ebpf
    if not config.has_selector:
        yield Finding(
            "nothing is selected; set ebpf.open_port, ebpf.executable_name, ebpf.system_wide or"
            " discovery.instrument (variables OPEN_PORT, EXECUTABLE_NAME, SYSTEM_WIDE)",
            _SELECTORS,
            missing=True,
            idle=True,
        )
    if ebpf.system_wide and config.has_quick_selector:
        yield Finding(
            "ebpf.system_wide selects every process; remove it, or ebpf.open_port and"
            " ebpf.executable_name",
            ("ebpf.system_wide", "ebpf.open_port", "ebpf.executable_name"),
        )
    elif ebpf.open_port and (ebpf.executable_name or ebpf.executable_regexp):
        yield Finding(
            "ebpf.open_port and ebpf.executable_name must both hold for a process (Beyla"
            " ignores the name then)",
            ("ebpf.executable_name", "ebpf.executable_regexp"),
            fatal=False,
        )


def _exporters(config: Config) -> Iterator[Finding]:
    if not config.has_metrics_exporter and not config.has_traces_exporter:
        yield Finding(
            "no exporter is enabled; set otel_metrics_export.endpoint,"
            " otel_traces_export.endpoint, prometheus_export.port or print_traces (variables"
            " OTEL_EXPORTER_OTLP_ENDPOINT, PROMETHEUS_PORT, PRINT_TRACES)",
            _EXPORTERS,
            missing=True,
        )


def _entries(entries: tuple[Selector, ...], prefix: str) -> Iterator[Finding]:
    for index, entry in enumerate(entries):
        if not entry.has_criterion:
            yield Finding(
                f"{prefix}[{index}] selects nothing; give it open_ports, exe_path, cmd_args,"
                " systemd_unit or pids",
                (f"{prefix}[{index}]",),
                missing=True,
            )


def _names(config: Config) -> Iterator[Finding]:
    if config.service_name and not config.has_quick_selector and not config.sdk_disabled:
        yield Finding(
            "service_name names only what ebpf.open_port or ebpf.executable_name selects; use"
            " the name of an entry of discovery.instrument",
            ("service_name", "resource_attributes"),
            fatal=False,
        )


def _otlp(export: OtelMetricsExport | OtelTracesExport, prefix: str) -> Iterator[Finding]:
    places = (f"{prefix}.exact_endpoint", f"{prefix}.endpoint")
    url = export.exact_endpoint or export.endpoint
    port = url.parts.port if url else None
    if export.protocol == "http/protobuf" and port == 4317:
        yield Finding(
            f"{prefix} sends HTTP to port 4317, where gRPC is usual; use port 4318, or"
            " protocol grpc",
            places,
            fatal=False,
        )
    if export.protocol == "grpc" and port == 4318:
        yield Finding(
            f"{prefix} sends gRPC to port 4318, where HTTP is usual; use port 4317, or"
            " protocol http/protobuf",
            places,
            fatal=False,
        )
    if bool(export.client_key) != bool(export.client_certificate):
        yield Finding(
            f"{prefix}.client_key and {prefix}.client_certificate need each other; give both",
            (f"{prefix}.client_key", f"{prefix}.client_certificate"),
        )
    if export.headers and url and _in_clear(url):
        yield Finding(
            f"{prefix} sends its headers in clear to another host; use an https:// endpoint",
            (f"{prefix}.headers",),
            fatal=False,
        )
    for key in ("certificate", "client_key", "client_certificate"):
        yield from _readable(getattr(export, key), f"{prefix}.{key}")


def _in_clear(url: Url) -> bool:
    return url.parts.scheme == "http" and url.parts.hostname not in _LOOPBACK


def _batches(config: Config) -> Iterator[Finding]:
    traces = config.otel_traces_export
    if traces.max_export_batch_size > traces.max_queue_size:
        yield Finding(
            f"otel_traces_export.max_export_batch_size ({traces.max_export_batch_size}) is larger"
            f" than max_queue_size ({traces.max_queue_size})",
            ("otel_traces_export.max_export_batch_size", "otel_traces_export.max_queue_size"),
        )


def _prometheus(config: Config) -> Iterator[Finding]:
    export = config.prometheus_export
    tls, auth = export.tls, export.basic_auth
    prefix = "prometheus_export"
    if bool(tls.cert_file) != bool(tls.key_file):
        yield Finding(
            f"{prefix}.tls.cert_file and {prefix}.tls.key_file need each other; give both",
            (f"{prefix}.tls.cert_file", f"{prefix}.tls.key_file"),
        )
    yield from _readable(tls.cert_file, f"{prefix}.tls.cert_file")
    yield from _readable(tls.key_file, f"{prefix}.tls.key_file")
    places = tuple(f"{prefix}.basic_auth.{k}" for k in ("username", "password", "password_file"))
    given = bool(auth.password) + bool(auth.password_file)
    if given > 1:
        yield Finding(f"{prefix}.basic_auth has a password and a password_file; keep one", places)
    elif ":" in auth.username:
        # RFC 7617 section 2: the first colon ends the user name.
        yield Finding(f"{prefix}.basic_auth.username must not hold a colon", places)
    elif bool(auth.username) != bool(given):
        yield Finding(
            f"{prefix}.basic_auth needs a username, and a password or password_file", places
        )
    yield from _readable(auth.password_file, f"{prefix}.basic_auth.password_file")
    if auth.username and not tls.cert_file and export.listen_address not in _LOOPBACK:
        yield Finding(
            f"{prefix} takes its password in clear from other hosts; set {prefix}.tls",
            (f"{prefix}.listen_address",),
            fatal=False,
        )


def _readable(name: str, path: str) -> Iterator[Finding]:
    """A finding if a file is named that cannot be read."""
    if not name:
        return
    try:
        with Path(name).open("rb"):
            return
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        yield Finding(f'{path}: cannot read "{name}": {reason}', (path,))
