"""The composition root: from a configuration to the parts of one run, wired.

Everything is built here, then everything is started (``run``). It shows the whole agent on a page:
kernel -> session (watch, routes, aggregate) -> exporters, and kernel -> spans -> their exporters.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from otelauto.app.exporters import Exporters
from otelauto.app.report import Report
from otelauto.app.session import Session
from otelauto.app.span_sinks import SpanSinks
from otelauto.app.spans import SpanPipeline
from otelauto.app.start import bring_up
from otelauto.discovery.configured import configured_selection
from otelauto.discovery.identity import Host, read_host
from otelauto.discovery.watch import Watch
from otelauto.kernel.programs import KernelSettings
from otelauto.metrics.aggregate import Aggregate, Bounds
from otelauto.routes.store import RouteStore
from otelauto.routes.table import RouteTable

if TYPE_CHECKING:
    from typing import Literal

    from otelauto.config.load import Loaded
    from otelauto.config.schema import Config
    from otelauto.kernel.driver import Kernel

__all__ = ["Parts", "build"]

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Parts:
    """The agent, built and not yet started."""

    kernel: Kernel
    session: Session
    report: Report
    exporters: Exporters
    spans: SpanPipeline | None = None


def build(loaded: Loaded, log: Any) -> Parts:
    """Bring the kernel side up and wire the rest to it.

    Raises:
        OtelautoError: of any part; nothing stays attached then.
    """
    config = loaded.config
    selection = configured_selection(config)
    seed = secrets.randbits(64)
    kernel, self_tests = bring_up(config, _kernel_settings(config, seed), log)
    try:
        start_unix_nano = time.time_ns()
        host = _host(config)
        session = Session(
            config,
            kernel=kernel,
            watch=Watch(selection, _PROC, host=host, own_pid=os.getpid(), log=log),
            routes=RouteTable(seed=seed, store=_store(config, log)),
            aggregate=Aggregate(
                _bounds(config),
                start_unix_nano=start_unix_nano,
                fine=config.printer in {"text", "json"},
            ),
            host=host,
            proc=_PROC,
            log=log,
        )
        report = Report(
            config,
            session,
            kernel,
            self_tests=self_tests,
            start_unix_nano=start_unix_nano,
            host=host,
        )
        exporters = Exporters(config, report.collect, log)
        spans = _spans(config, kernel, session, log)
        report.watch_exporters(exporters, spans)
    except BaseException:
        kernel.close()
        raise
    return Parts(kernel, session, report, exporters, spans)


def _spans(config: Config, kernel: Kernel, session: Session, log: Any) -> SpanPipeline | None:
    if kernel.span_events is None:
        return None
    sinks = SpanSinks(config, stream=sys.stdout, log=log)
    return SpanPipeline(
        config, ring=kernel.span_events, traced=session.traced, sinks=sinks, log=log
    )


def _kernel_settings(config: Config, seed: int) -> KernelSettings:
    return KernelSettings(
        headers=cast("Literal['auto', 'bundled', 'kernel']", config.ebpf.headers),
        duration_bounds_seconds=config.buckets.duration_histogram_seconds,
        request_bounds_bytes=config.buckets.request_size_histogram_bytes,
        response_bounds_bytes=config.buckets.response_size_histogram_bytes,
        max_connections=config.ebpf.max_connections,
        max_series=config.ebpf.max_series,
        route_seed=seed,
        state_dir=_state_dir(),
        spans=config.has_traces_exporter,
    )


def _bounds(config: Config) -> Bounds:
    return Bounds(
        duration_seconds=config.buckets.duration_histogram_seconds,
        request_bytes=config.buckets.request_size_histogram_bytes,
        response_bytes=config.buckets.response_size_histogram_bytes,
    )


def _host(config: Config) -> Host:
    found = read_host(name=config.attributes.instance_id.override_hostname)
    return Host(found.name, config.attributes.host_id.override or found.id)


def _store(config: Config, log: Any) -> RouteStore | None:
    directory = config.routes.state_directory
    return RouteStore(Path(directory), log.warning) if directory else None


def _state_dir() -> Path | None:
    """Where the logs of failed loads go: systemd's directory, or the usual one; None: nowhere."""
    path = Path(os.environ.get("STATE_DIRECTORY", "/var/lib/otelauto").partition(":")[0])
    try:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError:
        return None
    return path if os.access(path, os.W_OK) else None
