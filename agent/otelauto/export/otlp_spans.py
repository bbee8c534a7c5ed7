"""Pushing spans over OTLP: a bounded queue, batches, and retries within a time.

Here lives the policy, as ``otlp`` has it for metrics; both use the same transports. Unlike
metrics, spans are not collected again: a batch is kept while its export is tried (OTLP
specification, "Failures"), for export_timeout_seconds at most, and what comes meanwhile waits in
the queue. What finds no room, is refused or is given up is counted by cause.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otelauto.export import _outcome
from otelauto.export._connect import connected
from otelauto.export._outcome import Outcome
from otelauto.logs import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otelauto.export._outcome import Transport
    from otelauto.export._span_data import SpanData
    from otelauto.export.settings import OtlpSettings, SpanBatches
    from otelauto.model import Span

__all__ = ["OtlpSpanExporter", "SpanStatus"]

#: Requests that are too large for the receiver are halved down to this.
_BATCH_MIN = 64
#: No request is given less time than this.
_REQUEST_SECONDS_MIN = 0.05


@dataclass(frozen=True, slots=True)
class SpanStatus:
    """What an exporter has done since it was made.

    Attributes:
        successes: requests that the receiver accepted.
        errors: failed requests by reason.
        retries: requests that were made because one before had failed.
        spans: by outcome: exported, or the cause of their loss: queue_full, rejected (by the
            receiver, in part), export_failed, shutdown.
        last_success_unix_nano: 0: never.
    """

    successes: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    retries: int = 0
    spans: Mapping[str, int] = field(default_factory=dict)
    last_success_unix_nano: int = 0


class OtlpSpanExporter:
    """Queues spans and pushes them in batches from a thread of its own.

    Args:
        settings: checked here; see OtlpSettings.
        batches: how spans wait.
        version: of the agent, for the user agent and the instrumentation scope.
        log: a structlog logger.
        clock: monotonic seconds.
        backoff_seconds: the first and the longest pause after a failure that may pass.

    Raises:
        ExportError: the settings cannot work (endpoint, header, unreadable certificate).
    """

    def __init__(
        self,
        settings: OtlpSettings,
        batches: SpanBatches,
        *,
        version: str = "",
        log: Any,
        clock: Callable[[], float] = time.monotonic,
        backoff_seconds: tuple[float, float] = (1.0, 30.0),
    ) -> None:
        self._settings = settings
        self._batches = batches
        self._version = version
        self._log = log
        self._clock = clock
        self._backoff_seconds = backoff_seconds
        self._throttle = Throttle(clock)
        self._changed = threading.Condition()  # guards what follows
        self._queue: deque[tuple[float, Span]] = deque()
        self._next: tuple[OtlpSettings, Transport] | None = None
        self._stop_at: float | None = None
        self._on_the_way = 0
        self._closed = False
        self._spans: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._successes = self._retries = self._last_success_unix_nano = 0
        self._transport = self._connected(settings)
        self._batch_size = batches.batch_size
        self._data: SpanData | None = None
        self._thread = threading.Thread(target=self._run, name="otlp-traces", daemon=True)

    @property
    def status(self) -> SpanStatus:
        """The counters so far; a value that does not change afterwards."""
        with self._changed:
            return SpanStatus(
                self._successes,
                dict(self._errors),
                self._retries,
                dict(self._spans),
                self._last_success_unix_nano,
            )

    def start(self) -> None:
        """Begin to push."""
        self._thread.start()

    def offer(self, spans: Sequence[Span]) -> None:
        """Take spans; those that find no room are counted as lost. Never waits."""
        now = self._clock()
        with self._changed:
            if self._stop_at is not None:
                self._spans["shutdown"] += len(spans)
                return
            room = max(0, self._batches.queue_size - len(self._queue))
            self._queue.extend((now, span) for span in spans[:room])
            if len(spans) > room:
                self._spans["queue_full"] += len(spans) - room
            if self._is_due(now) or len(self._queue) == len(spans):
                self._changed.notify_all()

    def shutdown(self, timeout_seconds: float = 3.0) -> bool:
        """Send what there is, then end, within the time.

        Returns:
            Whether everything was sent; what was not is counted as lost.
        """
        with self._changed:
            self._stop_at = self._clock() + timeout_seconds
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        with self._changed:
            # What is still on its way may arrive; nobody will be there to count it.
            left = len(self._queue) + self._on_the_way
            self._queue.clear()
            self._on_the_way = 0
            self._closed = True
            self._spans["shutdown"] += left
        return not left

    def reconfigure(self, settings: OtlpSettings, batches: SpanBatches) -> None:
        """Use other settings from the next request on; what waits is kept.

        Raises:
            ExportError: they cannot work; the ones in use stay.
        """
        transport = self._connected(settings)
        with self._changed:
            replaced, self._next = self._next, (settings, transport)
            self._batches = batches
            self._changed.notify_all()
        if replaced is not None:
            replaced[1].close()

    def _connected(self, settings: OtlpSettings) -> Transport:
        return connected(settings, signal="traces", version=self._version, log=self._log)

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        from otelauto.export._span_data import SpanData  # noqa: PLC0415 - loads the SDK

        self._data = SpanData(self._version)
        while batch := self._next_batch():
            try:
                self._export(batch)
            except Exception as error:  # noqa: BLE001, PERF203 - the thread must outlive any fault
                self._failed(Outcome("encode", _outcome.root_cause(error)))
                self._count("export_failed", len(batch))
        self._transport.close()

    def _is_due(self, now: float) -> bool:
        """Whether there is enough for a request, or the oldest span has waited long enough."""
        if not self._queue:
            return False
        # Half a queue: what comes while a batch is encoded and sent must find room.
        enough = max(1, min(self._batch_size, self._batches.queue_size // 2))
        waited = now - self._queue[0][0] >= self._batches.delay_seconds
        return waited or len(self._queue) >= enough

    def _next_batch(self) -> list[Span]:
        """Waits for a batch; empty: the end."""
        with self._changed:
            while True:
                now = self._clock()
                if self._stop_at is not None and (now >= self._stop_at or not self._queue):
                    return []
                if self._stop_at is not None or self._is_due(now):
                    break
                left = None
                if self._queue:
                    left = max(0.0, self._queue[0][0] + self._batches.delay_seconds - now)
                self._changed.wait(left)
            size = self._on_the_way = min(len(self._queue), self._batch_size)
            return [self._queue.popleft()[1] for _ in range(size)]

    def _export(self, batch: list[Span]) -> None:
        """One batch, in as many requests and tries as it needs."""
        assert self._data is not None  # noqa: S101 - made by the thread before
        data = self._data.readable(batch)
        begin, failures = self._clock(), 0
        while data:
            self._adopt()
            size = self._batch_size
            deadline = begin + self._settings.export_timeout_seconds
            outcome = self._send(data[:size], deadline)
            if outcome.accepted:
                done = min(size, len(data))
                self._accepted(outcome, done)
                del data[:size]
                failures = 0
                continue
            self._failed(outcome)
            failures += 1
            if (
                outcome.reason in _outcome.TOO_LARGE
                and not outcome.retryable
                and size > _BATCH_MIN
            ):
                self._batch_size = max(_BATCH_MIN, min(size, len(data)) // 2)
            elif not (outcome.retryable and self._pause(outcome, failures, deadline)):
                cause = "shutdown" if outcome.retryable and self._stopping else "export_failed"
                self._count(cause, len(data))
                return
            self._count_retry()

    def _send(self, data: list[Any], deadline: float) -> Outcome:
        with self._changed:
            if self._stop_at is not None:
                deadline = min(deadline, self._stop_at)
        left = max(_REQUEST_SECONDS_MIN, deadline - self._clock())
        limit = min(left, self._settings.timeout_seconds)
        return self._transport.send(data, timeout_seconds=limit)

    def _pause(self, outcome: Outcome, failures: int, deadline: float) -> bool:
        """Waits before another try; False: there is no time for one."""
        pause = _outcome.pause_seconds(
            failures, self._backoff_seconds, outcome.retry_after_seconds
        )
        until = self._clock() + pause
        if until >= deadline:
            return False
        with self._changed:
            while (now := self._clock()) < until:
                if self._next is not None:
                    return True  # other settings: at once
                if self._stop_at is not None and until >= self._stop_at:
                    return False
                self._changed.wait(until - now)
        return True

    def _adopt(self) -> None:
        with self._changed:
            following, self._next = self._next, None
            if following is None:
                return
            old, self._transport = self._transport, following[1]
            self._settings = following[0]
            self._batch_size = self._batches.batch_size
        old.close()

    @property
    def _stopping(self) -> bool:
        with self._changed:
            return self._stop_at is not None

    # --- counting -------------------------------------------------------------------------------

    def _count(self, outcome: str, number: int) -> None:
        with self._changed:
            self._settle(outcome, number)

    def _settle(self, outcome: str, number: int) -> None:
        """Spans that were on the way have come to an end; after the shutdown they had one."""
        if not self._closed:
            self._on_the_way -= number
            self._spans[outcome] += number

    def _count_retry(self) -> None:
        with self._changed:
            self._retries += 1

    def _accepted(self, outcome: Outcome, number: int) -> None:
        rejected = min(outcome.rejected, number)
        with self._changed:
            self._successes += 1
            self._last_success_unix_nano = time.time_ns()
            self._settle("exported", number - rejected)
            self._settle("rejected", rejected)
        if rejected or outcome.detail:
            self._warn(
                "the receiver accepted the spans only in part",
                cause="partial",
                rejected=rejected,
                detail=outcome.detail,
            )

    def _failed(self, outcome: Outcome) -> None:
        with self._changed:
            self._errors[outcome.reason] += 1
        self._warn(
            "spans were not exported",
            cause=outcome.reason,
            reason=outcome.reason,
            detail=outcome.detail,
            will_retry=outcome.retryable,
        )

    def _warn(self, message: str, *, cause: str, **fields: Any) -> None:
        held = self._throttle.admit(cause)
        if held is not None:
            endpoint = _outcome.scrubbed(self._settings.endpoint)
            self._log.warning(message, endpoint=endpoint, **fields, **held)
