"""Spans on their way: from the kernel's ring to whoever exports or prints them.

Only this passage lives here. The main loop takes the records out of the ring and does nothing else
with them; a thread makes spans of them, so that no number of spans holds up an event.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from otelauto.spans.build import SpanRules, decoded, head_of, span_of
from otelauto.spans.clock import unix_offset_nano

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otelauto.abi import _layout as abi
    from otelauto.app.span_sinks import SpanSinks
    from otelauto.config.schema import Config
    from otelauto.kernel.ring import RingReader
    from otelauto.metrics.selfstats import ExporterFacts
    from otelauto.spans.build import Traced

__all__ = ["SpanPipeline", "span_rules"]

#: Records that are made into spans together, while the session is held up.
_TOGETHER = 512
#: A ring that always has more must not keep the main loop to itself.
_READ_MAX = 8192


def span_rules(config: Config) -> SpanRules:
    """What of a request is exported."""
    export = config.otel_traces_export
    return SpanRules(
        url_query=export.url_query,
        redacted=frozenset(name.lower() for name in export.redacted_query_keys),
        request_headers=frozenset(name.lower() for name in export.request_headers),
    )


class SpanPipeline:
    """Makes spans of records and hands them on.

    Args:
        config: in force at the start; reload() gives another one.
        ring: the span ring.
        traced: what the services of spans say of them (Session.traced).
        sinks: where the spans go; they are started and stopped with this.
        log: a structlog logger.
    """

    def __init__(
        self,
        config: Config,
        *,
        ring: RingReader,
        traced: Callable[[Sequence[tuple[abi.EventSpan, bytes]]], list[Traced | None]],
        sinks: SpanSinks,
        log: Any,
    ) -> None:
        self._ring = ring
        self._traced = traced
        self._sinks = sinks
        self._log = log
        self._changed = threading.Condition()  # guards what follows
        self._waiting: deque[bytes] = deque()
        self._counts: Counter[str] = Counter()
        self._stopping = False
        self._adopt(config)
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)

    @property
    def counts(self) -> Mapping[str, int]:
        """What became of the spans that the kernel sent."""
        with self._changed:
            return self._counts + Counter(self._sinks.counts)

    @property
    def facts(self) -> tuple[ExporterFacts, ...]:
        """What the exporter has done."""
        return self._sinks.facts

    def reload(self, config: Config) -> None:
        """Apply another configuration: all of it, or nothing.

        Raises:
            OtelautoError: an exporter cannot work with its settings; the old ones go on.
        """
        self._sinks.reload(config)
        self._adopt(config)

    def _adopt(self, config: Config) -> None:
        self._rules = span_rules(config)
        self._room = config.otel_traces_export.max_queue_size

    def start(self) -> None:
        """Begin to make spans, and to export them."""
        self._sinks.start()
        self._thread.start()

    def fileno(self) -> int:
        """For the main loop: readable while there are records."""
        return self._ring.fileno()

    def on_readable(self) -> None:
        """The ring has records."""
        records = self._ring.read(_READ_MAX)
        if not records:
            return
        with self._changed:
            room = max(0, self._room - len(self._waiting))
            self._waiting.extend(records[:room])
            if len(records) > room:
                self._counts["queue_full"] += len(records) - room
            self._changed.notify()

    def stop(self, timeout_seconds: float) -> None:
        """Make spans of what is there and export them, then end, within the time.

        To be called from the main loop's thread, when nothing comes any more.
        """
        deadline = time.monotonic() + timeout_seconds
        self.on_readable()
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds / 2)
        with self._changed:
            if self._waiting:
                self._counts["shutdown"] += len(self._waiting)
                self._waiting.clear()
        self._sinks.stop(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while records := self._next():
            try:
                self._pass_on(records)
            except Exception as error:  # noqa: BLE001, PERF203 - it must not cost the others
                self._count("invalid", len(records))
                self._log.error("spans were not made", exc_info=error)

    def _next(self) -> list[bytes]:
        """Waits for records; empty: the end."""
        with self._changed:
            while not self._waiting and not self._stopping:
                self._changed.wait()
            size = min(len(self._waiting), _TOGETHER)
            return [self._waiting.popleft() for _ in range(size)]

    def _pass_on(self, records: list[bytes]) -> None:
        rules, offset = self._rules, unix_offset_nano()
        events = [event for record in records if (event := decoded(record)) is not None]
        heads = [head_of(event, rules) for event in events]
        paths = [head.path.encode("utf-8", "surrogateescape") for head in heads]
        traced = self._traced(list(zip(events, paths, strict=True)))
        spans = [
            span_of(event, head, said, rules, offset_nano=offset)
            for event, head, said in zip(events, heads, traced, strict=True)
            if said is not None
        ]
        self._count("invalid", len(records) - len(events))
        self._count("ignored", len(events) - len(spans))
        self._sinks.take(spans)

    def _count(self, cause: str, number: int) -> None:
        if number:
            with self._changed:
                self._counts[cause] += number
