"""From the configuration to running exporters.

Only this wiring lives here: which exporters there are, and what a reload changes of them. The
exporters' packages are heavy and are imported when one is made.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from otelauto import __version__
from otelauto.config.credentials import scrape_password
from otelauto.errors import ExportError
from otelauto.export.settings import OtlpSettings, PrometheusSettings
from otelauto.metrics.selfstats import ExporterFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otelauto.config.exports import OtelMetricsExport, OtelTracesExport
    from otelauto.config.schema import Config
    from otelauto.export.otlp import OtlpExporter
    from otelauto.export.prometheus import PrometheusExporter
    from otelauto.model import Collect, Snapshot

__all__ = ["Exporters", "otlp_settings", "prometheus_settings", "transport_settings"]

_PRINT_SECONDS = 5.0
#: Share of the time to stop that is kept for closing what listens and for ending the process.
_CLOSING_SHARE = 0.2
_CLOSING_SECONDS_MAX = 1.0


def transport_settings(export: OtelMetricsExport | OtelTracesExport) -> OtlpSettings | None:
    """What an OTLP exporter of either signal is told of its receiver; None: it is off."""
    url = export.url
    if not export.enabled or url is None:
        return None
    return OtlpSettings(
        endpoint=url.reveal(),
        protocol=cast("Literal['http/protobuf', 'grpc']", export.resolved_protocol),
        headers=tuple((name, value.reveal()) for name, value in export.headers),
        timeout_seconds=export.timeout_seconds,
        export_timeout_seconds=export.export_timeout_seconds,
        compression=cast("Literal['none', 'gzip']", export.compression),
        certificate=export.certificate,
        client_key=export.client_key,
        client_certificate=export.client_certificate,
        insecure_skip_verify=export.insecure_skip_verify,
    )


def otlp_settings(config: Config) -> OtlpSettings | None:
    """What the OTLP exporter is told; None: it is off."""
    export = config.otel_metrics_export
    settings = transport_settings(export)
    if settings is None:
        return None
    return replace(
        settings,
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
        clock: monotonic seconds.

    Raises:
        ExportError: one cannot work with its settings.
    """

    def __init__(
        self,
        config: Config,
        collect: Collect,
        log: Any,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._collect = collect
        self._log = log
        self._clock = clock
        self._past_facts: ExporterFacts | None = None  # of OTLP exporters that are gone
        self._past_scrapes: Counter[int] = Counter()
        self._otlp = self._new_otlp(config)
        self._prometheus = self._new_prometheus(prometheus_settings(config))
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
        """Send what there is, then end, all within the time."""
        deadline = self._clock() + timeout_seconds
        closing = min(_CLOSING_SECONDS_MAX, timeout_seconds * _CLOSING_SHARE)
        self._printing.set()
        if self._otlp is not None and not self._otlp.shutdown(timeout_seconds - closing):
            self._log.warning("the last export was not accepted", exporter="otlp")
        if self._printer is not None:
            self._printer.join(max(0.0, min(closing / 2, deadline - self._clock())))
        if self._prometheus is not None:
            self._prometheus.stop(max(0.0, min(closing / 2, deadline - self._clock())))

    def reload(self, config: Config) -> None:
        """Apply another configuration: all of it, or nothing.

        Raises:
            OtelautoError: an exporter cannot work with its settings; the old ones go on.
        """
        old, served = self._config, self._prometheus_now
        wanted = prometheus_settings(config)
        replaced = wanted != served
        if replaced:
            self._replace_prometheus(wanted)
        try:
            self._reload_otlp(old, config)
        except BaseException:
            if replaced:
                self._replace_prometheus(served)
            raise
        self._config = config

    @property
    def facts(self) -> tuple[ExporterFacts, ...]:
        """What the exporters that push have done since the start, over all reloads."""
        now = None if self._otlp is None else _facts(self._otlp)
        found = [facts for facts in (self._past_facts, now) if facts is not None]
        return (_sum(found),) if found else ()

    @property
    def scrapes(self) -> Mapping[int, int]:
        """Requests that the Prometheus endpoint answered since the start, by status code."""
        now = {} if self._prometheus is None else self._prometheus.scrapes
        return self._past_scrapes + Counter(now)

    # --- OTLP -----------------------------------------------------------------------------------

    def _new_otlp(self, config: Config) -> OtlpExporter | None:
        settings = otlp_settings(config)
        if settings is None:
            return None
        from otelauto.export.otlp import OtlpExporter  # noqa: PLC0415 - 20 MB

        return OtlpExporter(settings, self._for("otel"), version=__version__, log=self._log)

    def _reload_otlp(self, old: Config, config: Config) -> None:
        settings = otlp_settings(config)
        if settings == otlp_settings(old):
            return
        if self._otlp is not None and settings is not None:
            self._otlp.reconfigure(settings)
            return
        replacement = self._new_otlp(config)
        if self._otlp is not None:
            self._otlp.shutdown(1.0)
            self._past_facts = self.facts[0]
        self._otlp = replacement
        if replacement is not None:
            replacement.start()

    # --- Prometheus -----------------------------------------------------------------------------

    def _new_prometheus(self, settings: PrometheusSettings | None) -> PrometheusExporter | None:
        self._prometheus_now = settings
        if settings is None:
            return None
        from otelauto.export.prometheus import PrometheusExporter  # noqa: PLC0415 - 5 MB

        return PrometheusExporter(settings, self._for("prometheus"), log=self._log)

    def _replace_prometheus(self, settings: PrometheusSettings | None) -> None:
        """Serve with other settings; with the old ones if that fails."""
        before, running = self._prometheus_now, self._prometheus
        try:
            replacement = self._new_prometheus(settings)
        except BaseException:
            self._prometheus_now = before
            raise
        # Whoever scrapes should not notice; only a port that both have must be free in between.
        shared = running is not None and _ports(before) & _ports(settings)
        if running is not None and shared:
            self._retire(running)
        try:
            if replacement is not None:
                replacement.start()
        except ExportError:
            self._prometheus_now = before
            if shared:
                self._prometheus = self._new_prometheus(before)
                if self._prometheus is not None:
                    self._prometheus.start()
            raise
        if running is not None and not shared:
            self._retire(running)
        self._prometheus = replacement

    def _retire(self, running: PrometheusExporter) -> None:
        running.stop()
        self._past_scrapes += Counter(running.scrapes)
        self._prometheus = None

    def _for(self, exporter: str) -> Collect:
        """Everything that an exporter exports, as the configuration of that moment says."""
        narrowed = _without_internal(self._collect)

        def collect() -> Snapshot:
            wanted = self._config.internal_metrics.exporter
            return self._collect() if wanted in {"all", exporter} else narrowed()

        return collect

    # --- printing -------------------------------------------------------------------------------

    def _print(self) -> None:
        from otelauto.export.lines import LinePrinter  # noqa: PLC0415 - only if printed

        printer = LinePrinter(
            _without_internal(self._collect),
            sys.stdout,
            interval_seconds=_PRINT_SECONDS,
            as_json=self._config.printer == "json",
        )
        if not printer.run(self._printing, self._print_failed):
            self._log.warning("the standard output is closed: nothing more is printed")
            # What is left in the buffer must not make the end of the process fail.
            os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())

    def _print_failed(self, error: Exception) -> None:
        self._log.error("nothing was printed", reason=f"{type(error).__name__}: {error}")


def _ports(settings: PrometheusSettings | None) -> set[int]:
    given = () if settings is None else (settings.port, settings.internal_port)
    return {port for port in given if port is not None}


def _facts(exporter: OtlpExporter) -> ExporterFacts:
    status = exporter.status
    return ExporterFacts(
        "otlp_metrics",
        successes=status.successes,
        errors=status.errors,
        retries=status.retries,
        dropped_points=status.dropped_points,
        last_success_unix_nano=status.last_success_unix_nano,
    )


def _sum(found: list[ExporterFacts]) -> ExporterFacts:
    """What several exporters of one name did, one after the other."""
    total = found[0]
    for facts in found[1:]:
        total = ExporterFacts(
            total.name,
            successes=total.successes + facts.successes,
            errors=Counter(total.errors) + Counter(facts.errors),
            retries=total.retries + facts.retries,
            dropped_points=Counter(total.dropped_points) + Counter(facts.dropped_points),
            last_success_unix_nano=max(total.last_success_unix_nano, facts.last_success_unix_nano),
        )
    return total
