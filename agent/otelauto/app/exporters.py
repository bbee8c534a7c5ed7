"""From the configuration to running exporters.

Only this wiring lives here: which exporters there are, and what a reload changes of them. The
exporters' packages are heavy and are imported when one is made.
"""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, cast

from otelauto import __version__
from otelauto.config.credentials import scrape_password
from otelauto.export.settings import OtlpSettings, PrometheusSettings
from otelauto.metrics.selfstats import ExporterFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otelauto.config.changes import Changes
    from otelauto.config.schema import Config
    from otelauto.export.otlp import OtlpExporter
    from otelauto.export.prometheus import PrometheusExporter
    from otelauto.model import Collect, Snapshot

__all__ = ["Exporters", "otlp_settings", "prometheus_settings"]

_PRINT_SECONDS = 5.0


def otlp_settings(config: Config) -> OtlpSettings | None:
    """What the OTLP exporter is told; None: it is off."""
    export = config.otel_metrics_export
    url = export.url
    if not export.enabled or url is None:
        return None
    return OtlpSettings(
        endpoint=url.reveal(),
        protocol=cast("Literal['http/protobuf', 'grpc']", export.resolved_protocol),
        headers=tuple((name, value.reveal()) for name, value in export.headers),
        timeout_seconds=export.timeout_seconds,
        compression=cast("Literal['none', 'gzip']", export.compression),
        certificate=export.certificate,
        client_key=export.client_key,
        client_certificate=export.client_certificate,
        insecure_skip_verify=export.insecure_skip_verify,
        temporality=cast("Literal['cumulative', 'delta', 'lowmemory']", export.temporality),
        interval_seconds=export.interval_seconds,
    )


def prometheus_settings(config: Config) -> PrometheusSettings | None:
    """What the Prometheus endpoint is told; None: there is none."""
    export, internal = config.prometheus_export, config.internal_metrics
    own = internal.prometheus.port if internal.exporter in {"all", "prometheus"} else 0
    if not export.enabled and not own:
        return None
    return PrometheusSettings(
        port=export.port or None,
        path=export.path,
        listen_address=export.listen_address,
        certificate=export.tls.cert_file,
        key=export.tls.key_file,
        username=export.basic_auth.username,
        password=scrape_password(export.basic_auth).reveal(),
        internal_port=own or None,
        internal_path=internal.prometheus.path,
    )


def _without_internal(collect: Collect) -> Collect:
    """The services' metrics only."""

    def narrowed() -> Snapshot:
        from dataclasses import replace  # noqa: PLC0415 - beside its only use

        snapshot = collect()
        kept = tuple(resource for resource in snapshot.resources if not resource.internal)
        return replace(snapshot, resources=kept)

    return narrowed


class Exporters:
    """All exporters that are on.

    Args:
        config: which, and how.
        collect: where they get everything from.
        log: a structlog logger.

    Raises:
        ExportError: one cannot work with its settings.
    """

    def __init__(self, config: Config, collect: Collect, log: Any) -> None:
        self._config = config
        self._collect = collect
        self._log = log
        self._otlp = self._new_otlp(config)
        self._prometheus = self._new_prometheus(config)
        self._printing = threading.Event()
        self._printer: threading.Thread | None = None

    def start(self) -> None:
        """Bind ports, begin to push.

        Raises:
            ExportError: a port is busy.
        """
        if self._prometheus is not None:
            self._prometheus.start()
        if self._otlp is not None:
            self._otlp.start()
        if self._config.printer in {"text", "json"}:
            self._printer = threading.Thread(target=self._print, name="printer", daemon=True)
            self._printer.start()

    def stop(self, timeout_seconds: float) -> None:
        """Send what there is, then end, within the time."""
        self._printing.set()
        if self._otlp is not None and not self._otlp.shutdown(timeout_seconds):
            self._log.warning("the last export was not accepted", exporter="otlp")
        if self._prometheus is not None:
            self._prometheus.stop(min(1.0, timeout_seconds))

    def reload(self, config: Config, changes: Changes) -> None:
        """Apply what changed.

        Raises:
            ExportError: an exporter cannot work with its settings; the old ones go on.
        """
        self._config = config
        if changes.touches("otel_metrics_export"):
            self._reload_otlp(config)
        if changes.touches("prometheus_export") and self._prometheus is not None:
            replacement = self._new_prometheus(config)
            self._prometheus.stop()
            self._prometheus = replacement
            if replacement is not None:
                replacement.start()

    @property
    def facts(self) -> tuple[ExporterFacts, ...]:
        """What the exporters that push have done."""
        if self._otlp is None:
            return ()
        status = self._otlp.status
        return (
            ExporterFacts(
                "otlp_metrics",
                successes=status.successes,
                errors=status.errors,
                retries=status.retries,
                dropped_points=status.dropped_points,
                last_success_unix_nano=status.last_success_unix_nano,
            ),
        )

    @property
    def scrapes(self) -> Mapping[int, int]:
        """Requests that the Prometheus endpoint answered, by status code."""
        return {} if self._prometheus is None else self._prometheus.scrapes

    def _reload_otlp(self, config: Config) -> None:
        settings = otlp_settings(config)
        if self._otlp is not None and settings is not None:
            self._otlp.reconfigure(settings)
            return
        if self._otlp is not None:
            self._otlp.shutdown(1.0)
        self._otlp = self._new_otlp(config)
        if self._otlp is not None:
            self._otlp.start()

    def _new_otlp(self, config: Config) -> OtlpExporter | None:
        settings = otlp_settings(config)
        if settings is None:
            return None
        from otelauto.export.otlp import OtlpExporter  # noqa: PLC0415 - 20 MB

        collect = self._for("otel", config)
        return OtlpExporter(settings, collect, version=__version__, log=self._log)

    def _new_prometheus(self, config: Config) -> PrometheusExporter | None:
        settings = prometheus_settings(config)
        if settings is None:
            return None
        from otelauto.export.prometheus import PrometheusExporter  # noqa: PLC0415 - 5 MB

        return PrometheusExporter(settings, self._for("prometheus", config), log=self._log)

    def _for(self, exporter: str, config: Config) -> Collect:
        wanted = config.internal_metrics.exporter
        return self._collect if wanted in {"all", exporter} else _without_internal(self._collect)

    def _print(self) -> None:
        from otelauto.export.lines import LinePrinter, rows  # noqa: PLC0415 - only if printed

        collect = _without_internal(self._collect)
        if self._config.printer == "text":
            LinePrinter(collect, sys.stdout, interval_seconds=_PRINT_SECONDS).run(self._printing)
            return
        before = collect()
        while not self._printing.wait(_PRINT_SECONDS):
            after = collect()
            for row in rows(before, after):
                sys.stdout.write(json.dumps(asdict(row)) + "\n")
            sys.stdout.flush()
            before = after
