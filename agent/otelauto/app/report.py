"""The snapshot that the exporters export: the services' series and the agent's own metrics.

Only the collecting of facts lives here.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from otelauto.config.changes import fingerprint
from otelauto.metrics.resource import agent_resource
from otelauto.metrics.selfstats import Facts, self_families
from otelauto.model import ResourceMetrics, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otelauto.app.exporters import Exporters
    from otelauto.app.session import Session
    from otelauto.app.spans import SpanPipeline
    from otelauto.config.schema import Config
    from otelauto.discovery.identity import Host
    from otelauto.kernel.driver import Kernel

__all__ = ["Report"]


class Report:
    """Makes snapshots; safe to use from any thread.

    Args:
        config: in force.
        session: what was counted.
        kernel: its counters and programs.
        self_tests: results by way of hooking.
        start_unix_nano: when the probes were attached.
        host: for the agent's own resource.
    """

    def __init__(
        self,
        config: Config,
        session: Session,
        kernel: Kernel,
        *,
        self_tests: Mapping[str, bool],
        start_unix_nano: int,
        host: Host,
    ) -> None:
        self._config = config
        self._session = session
        self._kernel = kernel
        self._self_tests = self_tests
        self._start_unix_nano = start_unix_nano
        self._host = host
        self._exporters: Exporters | None = None
        self._spans: SpanPipeline | None = None
        # The agent's own counts belong to the series of the same snapshot.
        self._lock = threading.Lock()
        self._config_unix_nano = time.time_ns()
        self._hash = fingerprint(config)
        self._reloads: Counter[str] = Counter()
        self._last_reload_successful = True

    def watch_exporters(self, exporters: Exporters, spans: SpanPipeline | None = None) -> None:
        """The exporters, which are built after this."""
        self._exporters, self._spans = exporters, spans

    def reloaded(self, config: Config | None) -> None:
        """A reload took effect, or was refused (None)."""
        self._last_reload_successful = config is not None
        self._reloads["refused" if config is None else "applied"] += 1
        if config is not None:
            self._config = config
            self._hash = fingerprint(config)
            self._config_unix_nano = time.time_ns()

    def collect(self) -> Snapshot:
        """Everything there is to export now (model.Collect)."""
        with self._lock:
            resources = self._session.collect()
            now = time.time_ns()
            if self._config.internal_metrics.exporter != "disabled":
                own = ResourceMetrics(
                    agent_resource(self._host, extra=self._config.resource_attributes),
                    self_families(self._facts()),
                    internal=True,
                )
                resources = (*resources, own)
            return Snapshot(now, resources)

    def _facts(self) -> Facts:
        exporters, spans = self._exporters, self._spans
        return Facts(
            start_unix_nano=self._start_unix_nano,
            hook=self._kernel.way,
            counts=self._kernel.counts(),
            exchanges=self._session.exchanges,
            series=self._session.series,
            targets=self._session.targets_by_rule(),
            instrumentation_errors=dict(self._session.instrumentation_errors),
            routes_learned=self._session.routes_learned,
            routes_overflow=self._session.routes_overflow,
            degraded=tuple(result.name for result in self._kernel.degraded),
            self_tests=self._self_tests,
            programs={
                name: (info.run_time_ns / 1e9, info.run_count)
                for name, info in self._kernel.program_infos().items()
                if info.run_count
            },
            exporters=(
                *(exporters.facts if exporters else ()),
                *(spans.facts if spans else ()),
            ),
            spans=spans.counts if spans else {},
            scrapes=exporters.scrapes if exporters else {},
            config_hash=self._hash,
            config_unix_nano=self._config_unix_nano,
            reloads=dict(self._reloads),
            last_reload_successful=self._last_reload_successful,
        )
