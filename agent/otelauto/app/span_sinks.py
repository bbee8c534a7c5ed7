"""Where spans go: the OTLP exporter and the standard output, as the configuration says.

Only this wiring lives here. The exporter's packages are heavy and are imported when it is made.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from otelauto import __version__
from otelauto.app.exporters import transport_settings
from otelauto.export.settings import SpanBatches
from otelauto.export.span_lines import json_line, text_line
from otelauto.metrics.selfstats import ExporterFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

    from otelauto.config.schema import Config
    from otelauto.export.otlp_spans import OtlpSpanExporter
    from otelauto.export.settings import OtlpSettings
    from otelauto.model import Span

__all__ = ["SpanSinks", "span_batches", "span_settings"]

_REPLACED_SECONDS = 1.0


def span_settings(config: Config) -> OtlpSettings | None:
    """What the exporter of spans is told; None: it is off."""
    return transport_settings(config.otel_traces_export)


def span_batches(config: Config) -> SpanBatches:
    """How spans wait for their export."""
    export = config.otel_traces_export
    return SpanBatches(
        queue_size=export.max_queue_size,
        batch_size=export.max_export_batch_size,
        delay_seconds=export.batch_timeout_seconds,
    )


class SpanSinks:
    """All that take spans.

    Args:
        config: which, and how; how spans are printed stays as it is at the start.
        stream: where spans are printed.
        log: a structlog logger.

    Raises:
        ExportError: the exporter cannot work with its settings.
    """

    def __init__(self, config: Config, *, stream: TextIO, log: Any) -> None:
        self._log = log
        self._stream = stream
        lines = {"text": text_line, "json": json_line}
        self._line = lines.get(config.printer)
        self._running = False
        self._past: ExporterFacts | None = None
        self._past_counts: Counter[str] = Counter()
        self._settings = (span_settings(config), span_batches(config))
        self._otlp = self._new()

    def start(self) -> None:
        """Begin to push."""
        self._running = True
        if self._otlp is not None:
            self._otlp.start()

    def take(self, spans: Sequence[Span]) -> None:
        """Spans to be exported and printed."""
        exporter = self._otlp
        if exporter is not None and spans:
            exporter.offer(spans)
        if self._line is not None and spans:
            try:
                self._stream.write("".join(map(self._line, spans)))
                self._stream.flush()
            except (OSError, ValueError):  # closed at the other end, or at this one
                self._line = None
                self._log.warning("the standard output is closed: no more spans are printed")

    def stop(self, timeout_seconds: float) -> None:
        """Send what there is, within the time."""
        if self._otlp is not None and not self._otlp.shutdown(timeout_seconds):
            self._log.warning("not all spans were exported at the end", exporter="otlp")

    def reload(self, config: Config) -> None:
        """Apply another configuration.

        Raises:
            OtelautoError: the exporter cannot work with its settings; the old ones go on.
        """
        settings, batches = span_settings(config), span_batches(config)
        if (settings, batches) == self._settings:
            return
        before, self._settings = self._settings, (settings, batches)
        try:
            if self._otlp is not None and settings is not None:
                self._otlp.reconfigure(settings, batches)
                return
            replacement = self._new()
        except BaseException:
            self._settings = before
            raise
        old, self._otlp = self._otlp, replacement
        if old is not None:
            old.shutdown(_REPLACED_SECONDS)
            self._past = _sum(self._past, old)
            self._past_counts += Counter(old.status.spans)
        if replacement is not None and self._running:
            replacement.start()

    @property
    def facts(self) -> tuple[ExporterFacts, ...]:
        """What the exporter has done since the start, over all reloads."""
        if self._otlp is not None:
            return (_sum(self._past, self._otlp),)
        return () if self._past is None else (self._past,)

    @property
    def counts(self) -> Mapping[str, int]:
        """Spans by what became of them."""
        now = {} if self._otlp is None else self._otlp.status.spans
        return self._past_counts + Counter(now)

    def _new(self) -> OtlpSpanExporter | None:
        settings, batches = self._settings
        if settings is None:
            return None
        from otelauto.export.otlp_spans import OtlpSpanExporter  # noqa: PLC0415 - 20 MB

        return OtlpSpanExporter(settings, batches, version=__version__, log=self._log)


def _sum(past: ExporterFacts | None, exporter: OtlpSpanExporter) -> ExporterFacts:
    status = exporter.status
    earlier = past or ExporterFacts("otlp_traces")
    return ExporterFacts(
        earlier.name,
        successes=earlier.successes + status.successes,
        errors=Counter(earlier.errors) + Counter(status.errors),
        retries=earlier.retries + status.retries,
        last_success_unix_nano=max(earlier.last_success_unix_nano, status.last_success_unix_nano),
    )
