"""Pushing metrics over OTLP, periodically and for as long as the agent lives.

Here lives the policy: when to collect, what to send, when to try again, what to count and what to
say. How bytes reach a receiver is the transports' business (``_otlp_http``, ``_otlp_grpc``), which
are imported only when a protocol asks for them.

Retries follow the OTLP specification ("Failures"): HTTP 429, 502, 503, 504, the retryable gRPC
codes and connection errors, with exponential back-off and the receiver's Retry-After. A retry does
not repeat the old data: it collects anew, since cumulative values and owed deltas hold whatever
the failed request held. So nothing is queued, and memory does not grow while a receiver is away.
Anything else is dropped at once and counted by reason. A delta that was refused stays owed. After
an answer that says "too large" the following requests are smaller.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from otelauto.export import _outcome
from otelauto.export._connect import connected
from otelauto.export._delta import Delta
from otelauto.export._merge import batches, merged
from otelauto.export._outcome import Outcome
from otelauto.logs import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otelauto.export._outcome import Transport
    from otelauto.export.settings import OtlpSettings
    from otelauto.model import Collect, Snapshot

__all__ = ["OtlpExporter", "OtlpStatus"]

#: Requests that are too large for the receiver are halved down to this.
_BATCH_POINTS_MIN = 100
_DELTA_KINDS: Mapping[str, frozenset[str]] = {
    "cumulative": frozenset(),
    "delta": frozenset({"counter", "histogram"}),
    # Synchronous counters would be deltas as well; all counters here are observed ones.
    "lowmemory": frozenset({"histogram"}),
}


@dataclass(frozen=True, slots=True)
class OtlpStatus:
    """What an exporter has done since it was made.

    Attributes:
        successes: requests that the receiver accepted.
        errors: failed requests by reason.
        retries: requests that were made because one before had failed.
        dropped_points: points that were rejected or given up, by reason.
        last_success_unix_nano: 0: never.
    """

    successes: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    retries: int = 0
    dropped_points: Mapping[str, int] = field(default_factory=dict)
    last_success_unix_nano: int = 0


class OtlpExporter:
    """Collects and pushes at each interval from a thread of its own.

    Args:
        settings: checked here; see OtlpSettings.
        collect: called from the exporter's thread only.
        version: of the agent, for the user agent and the instrumentation scope.
        log: a structlog logger; None: structlog's own.
        clock: monotonic seconds.
        backoff_seconds: the first and the longest pause after a failure that may pass.

    Raises:
        ExportError: the settings cannot work (endpoint, header, unreadable certificate).
    """

    def __init__(
        self,
        settings: OtlpSettings,
        collect: Collect,
        *,
        version: str = "",
        log: Any = None,
        clock: Callable[[], float] = time.monotonic,
        backoff_seconds: tuple[float, float] = (1.0, 30.0),
    ) -> None:
        if log is None:
            import structlog  # noqa: PLC0415 - only if nobody gives a logger

            log = structlog.get_logger("otelauto.export.otlp")
        self._log = log
        self._collect = collect
        self._version = version
        self._clock = clock
        self._backoff_seconds = backoff_seconds
        self._throttle = Throttle(clock)
        self._said: set[tuple[str, str]] = set()
        self._status = OtlpStatus()
        self._wake = threading.Event()
        self._stopping = False
        self._swap = threading.Lock()
        self._next: tuple[OtlpSettings, Transport] | None = None
        self._turn = threading.Lock()  # one export at a time
        self._failures = 0
        self._thread: threading.Thread | None = None
        self._settings = settings
        self._transport = self._connected(settings)
        self._delta = Delta(_DELTA_KINDS[settings.temporality])
        self._batch_points = settings.batch_points

    @property
    def status(self) -> OtlpStatus:
        """The counters so far; a value that does not change afterwards."""
        return self._status

    def start(self) -> None:
        """Begin; the first export is one interval from now."""
        self._thread = threading.Thread(target=self._run, name="otlp-metrics", daemon=True)
        self._thread.start()

    def shutdown(self, timeout_seconds: float = 3.0) -> bool:
        """Collect and send a last time, then end.

        Returns:
            Whether the receiver has everything. It is False, after the timeout at the latest, if
            the receiver does not answer; the thread is a daemon and holds nobody up.
        """
        deadline = self._clock() + timeout_seconds
        self._stopping = True
        self._wake.set()
        accepted = False
        if self._turn.acquire(timeout=max(0.0, timeout_seconds)):
            try:
                left = deadline - self._clock()
                accepted = left > 0 and self._export_all(time_limit_seconds=left).accepted
                self._transport.close()
            finally:
                self._turn.release()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - self._clock()))
        return accepted

    def reconfigure(self, settings: OtlpSettings) -> None:
        """Use other settings from the next export on; what is owed stays owed.

        Returns at once, also while a request waits for its answer. The pause of a failure, however
        long the receiver asked for, ends: the next export is one interval from now.

        Raises:
            ExportError: they cannot work; the ones in use stay.
        """
        transport = self._connected(settings)
        with self._swap:
            replaced, self._next = self._next, (settings, transport)
        if replaced is not None:
            replaced[1].close()
        self._wake.set()

    def export(self, *, timeout_seconds: float | None = None) -> bool:
        """Collect and send now, once; whether everything was accepted."""
        with self._turn:
            limit = timeout_seconds or self._settings.export_timeout_seconds
            return self._export_all(time_limit_seconds=limit).accepted

    def _adopt(self) -> None:
        with self._swap:
            following, self._next = self._next, None
        if following is None:
            return
        old, self._transport = self._transport, following[1]
        if following[0].temporality != self._settings.temporality:
            self._delta = Delta(_DELTA_KINDS[following[0].temporality])
        self._settings = following[0]
        self._batch_points = following[0].batch_points
        self._failures = 0
        old.close()

    def _connected(self, settings: OtlpSettings) -> Transport:
        return connected(settings, signal="metrics", version=self._version, log=self._log)

    def _run(self) -> None:
        tick = due = self._clock() + self._settings.interval_seconds
        while True:
            woken = self._wake.wait(max(0.0, due - self._clock()))
            with self._turn:
                if self._stopping:
                    return
                self._adopt()
                interval = self._settings.interval_seconds
                if woken:
                    self._wake.clear()
                    tick = due = self._clock() + interval
                    continue
                limit = self._settings.export_timeout_seconds
                outcome = self._export_all(time_limit_seconds=limit)
            now = self._clock()
            if outcome.retryable:
                due = now + self._pause_seconds(outcome)
                continue
            # The grid stays where it was: an export that takes long does not shift the next one.
            tick += interval * max(1, 1 + int((now - tick) // interval))
            due = tick

    def _pause_seconds(self, outcome: Outcome) -> float:
        return _outcome.pause_seconds(
            self._failures, self._backoff_seconds, outcome.retry_after_seconds
        )

    def _export_all(self, *, time_limit_seconds: float) -> Outcome:
        """One collection in as many requests as it needs; the first failure ends it."""
        from otelauto.export._otlp_data import metrics_data  # noqa: PLC0415 - loads the SDK

        self._adopt()
        deadline = self._clock() + time_limit_seconds
        kinds = _DELTA_KINDS[self._settings.temporality]
        outcome = Outcome()
        try:
            snapshot = merged(self._collect())
            owed = self._delta.take(snapshot) if kinds else snapshot
            for batch in batches(owed, self._batch_points):
                data = metrics_data(batch, delta_kinds=kinds, version=self._version)
                left = max(0.05, deadline - self._clock())
                limit = min(left, self._settings.timeout_seconds)
                outcome = self._transport.send(data, timeout_seconds=limit)
                self._account(outcome, batch)
                if not outcome.accepted and outcome.reason != "encode":
                    break
                if outcome.accepted and kinds:
                    self._delta.accept(batch)
        except Exception as error:  # noqa: BLE001 - the thread must outlive any fault of a collect
            outcome = Outcome("collect", _outcome.root_cause(error))
            self._account(outcome, None)
        self._failures = self._failures + 1 if outcome.retryable else 0
        if outcome.reason in _outcome.TOO_LARGE and not outcome.retryable:
            self._batch_points = max(_BATCH_POINTS_MIN, self._batch_points // 2)
        return outcome

    def _account(self, outcome: Outcome, batch: Snapshot | None) -> None:
        status = self._status
        dropped = dict(status.dropped_points)
        if self._delta.dropped_points:
            dropped["backlog"] = self._delta.dropped_points
        if self._failures:
            status = replace(status, retries=status.retries + 1)
        if outcome.accepted:
            status = replace(
                status, successes=status.successes + 1, last_success_unix_nano=time.time_ns()
            )
            if outcome.rejected:
                _count(dropped, "rejected", outcome.rejected)
        else:
            errors = dict(status.errors)
            _count(errors, outcome.reason, 1)
            status = replace(status, errors=errors)
            if batch is not None and not outcome.retryable:
                _count(dropped, outcome.reason, _points(batch))
        self._status = replace(status, dropped_points=dropped)
        self._say(outcome)

    def _say(self, outcome: Outcome) -> None:
        endpoint = _outcome.scrubbed(self._settings.endpoint)
        if outcome.accepted:
            if outcome.rejected or outcome.detail:
                self._warn(
                    "the receiver accepted the metrics only in part",
                    cause="partial",
                    endpoint=endpoint,
                    rejected_points=outcome.rejected,
                    detail=outcome.detail,
                )
            return
        if outcome.reason == "404":
            if ("404", endpoint) in self._said:
                return
            self._said.add(("404", endpoint))
        self._warn(
            "metrics were not exported",
            cause=outcome.reason,
            endpoint=endpoint,
            reason=outcome.reason,
            detail=outcome.detail,
            will_retry=outcome.retryable,
        )

    def _warn(self, message: str, *, cause: str, **fields: Any) -> None:
        held = self._throttle.admit(cause)
        if held is not None:
            self._log.warning(message, **fields, **held)


def _count(counts: dict[str, int], reason: str, number: int) -> None:
    counts[reason] = counts.get(reason, 0) + number


def _points(batch: Snapshot) -> int:
    return sum(len(one.points) for resource in batch.resources for one in resource.families)
