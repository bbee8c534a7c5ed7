"""What a receiver got, decoded with opentelemetry-proto, and how it is told to answer."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TEMPORALITY = {0: "unspecified", 1: "delta", 2: "cumulative"}


@dataclass(frozen=True, slots=True)
class Answer:
    """One scripted answer.

    Attributes:
        status: HTTP status; for gRPC the name of a code, such as "UNAVAILABLE"; None: accept.
        headers: of the HTTP answer.
        retry_after_seconds: gRPC: a RetryInfo detail; HTTP: the Retry-After header.
        rejected: partial success with so many rejected points and the message.
        silent: accept the request and never answer (until the receiver is closed).
        body: HTTP: another body than the protobuf one.
    """

    status: int | str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_seconds: float | None = None
    rejected: tuple[int, str] | None = None
    silent: bool = False
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in; its data counts only if it was accepted."""

    path: str
    headers: Mapping[str, str]
    size_bytes: int
    message: ExportMetricsServiceRequest | ExportTraceServiceRequest
    accepted: bool
    at_seconds: float


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One data point, with all that stands around it in OTLP.

    Attributes:
        kind: histogram, counter, updown or gauge.
        temporality: cumulative or delta; empty for a gauge.
        value: of a number; the sum of a histogram.
    """

    resource: Mapping[str, Any]
    scope: str
    name: str
    unit: str
    description: str
    kind: str
    temporality: str
    attributes: Mapping[str, Any]
    start_unix_nano: int
    time_unix_nano: int
    value: float
    count: int = 0
    counts: tuple[int, ...] = ()
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """One span, with the resource around it; ids in hexadecimal.

    Attributes:
        kind: server, client or internal.
        status: unset, ok or error.
    """

    resource: Mapping[str, Any]
    scope: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    start_unix_nano: int
    end_unix_nano: int
    status: str
    flags: int
    attributes: Mapping[str, Any]


def attributes(pairs: Any) -> dict[str, Any]:
    """KeyValue messages as a dict; every value as its own Python type."""
    return {one.key: _value(one.value) for one in pairs}


def _value(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, which)


def is_traces(path: str) -> bool:
    """Whether a request to this path, or of this method, brings spans."""
    return path.endswith("/traces") or "TraceService" in path


def response(path: str, rejected: tuple[int, str] | None) -> Any:
    """The answer of a receiver that takes a request, at least in part."""
    message: Any = (
        ExportTraceServiceResponse() if is_traces(path) else ExportMetricsServiceResponse()
    )
    if rejected is not None:
        field_name = "rejected_spans" if is_traces(path) else "rejected_data_points"
        setattr(message.partial_success, field_name, rejected[0])
        message.partial_success.error_message = rejected[1]
    return message


def spans(message: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    """Every span of a request, in order."""
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    resource=attributes(resource.resource.attributes),
                    scope=scope.scope.name,
                    name=span.name,
                    kind={1: "internal", 2: "server", 3: "client"}[span.kind],
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    trace_state=span.trace_state,
                    start_unix_nano=span.start_time_unix_nano,
                    end_unix_nano=span.end_time_unix_nano,
                    status={0: "unset", 1: "ok", 2: "error"}[span.status.code],
                    flags=span.flags,
                    attributes=attributes(span.attributes),
                )


def points(message: ExportMetricsServiceRequest) -> Iterator[MetricPoint]:
    """Every data point of a request, in order."""
    for resource in message.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                data = getattr(metric, metric.WhichOneof("data"))
                which = metric.WhichOneof("data")
                kind = which
                if which == "sum":
                    kind = "counter" if data.is_monotonic else "updown"
                temporality = "" if which == "gauge" else TEMPORALITY[data.aggregation_temporality]
                for point in data.data_points:
                    shared = {
                        "resource": attributes(resource.resource.attributes),
                        "scope": scope.scope.name,
                        "name": metric.name,
                        "unit": metric.unit,
                        "description": metric.description,
                        "kind": kind,
                        "temporality": temporality,
                        "attributes": attributes(point.attributes),
                        "start_unix_nano": point.start_time_unix_nano,
                        "time_unix_nano": point.time_unix_nano,
                    }
                    if which == "histogram":
                        yield MetricPoint(
                            **shared,
                            value=point.sum,
                            count=point.count,
                            counts=tuple(point.bucket_counts),
                            bounds=tuple(point.explicit_bounds),
                        )
                    else:
                        yield MetricPoint(
                            **shared, value=getattr(point, point.WhichOneof("value"))
                        )


class Inbox:
    """What came in, and the script of answers; the last answer repeats for ever."""

    def __init__(self, answers: tuple[Answer, ...]) -> None:
        self._changed = threading.Condition()
        self._answers: deque[Answer] = deque(answers or (Answer(),))
        self._requests: list[Request] = []
        self.closed = threading.Event()

    def next_answer(self) -> Answer:
        with self._changed:
            return self._answers.popleft() if len(self._answers) > 1 else self._answers[0]

    def script(self, *answers: Answer) -> None:
        """Answer like this from now on."""
        with self._changed:
            self._answers = deque(answers or (Answer(),))

    def put(self, request: Request) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request so far, accepted or not."""
        with self._changed:
            return tuple(self._requests)

    def wait(
        self, condition: Callable[[tuple[Request, ...]], bool], timeout_seconds: float = 10.0
    ) -> tuple[Request, ...]:
        """Wait until the condition holds for the requests; an AssertionError if it never does."""
        with self._changed:
            held = self._changed.wait_for(
                lambda: condition(tuple(self._requests)), timeout_seconds
            )
            assert held, f"after {timeout_seconds} s: {len(self._requests)} requests"
            return tuple(self._requests)

    def wait_for_requests(self, number: int, timeout_seconds: float = 10.0) -> tuple[Request, ...]:
        """Wait until so many requests have come, accepted or not."""
        return self.wait(lambda requests: len(requests) >= number, timeout_seconds)

    def all_points(self) -> list[MetricPoint]:
        """Every point of every accepted request, in the order of arrival."""
        return [
            point
            for request in self.requests
            if request.accepted
            if not is_traces(request.path)
            for point in points(request.message)
        ]

    def spans(self, name: str | None = None, **resource: Any) -> list[ReceivedSpan]:
        """Every span of every accepted request, in the order of arrival.

        Args:
            name: only those with this name.
            resource: as for metrics().
        """
        wanted = {key.replace("_", "."): value for key, value in resource.items()}
        return [
            span
            for request in self.requests
            if request.accepted and is_traces(request.path)
            for span in spans(request.message)
            if name in {None, span.name}
            and all(span.resource.get(key) == value for key, value in wanted.items())
        ]

    def metrics(self, name: str | None = None, **resource: Any) -> list[MetricPoint]:
        """The newest accepted point of each series (cumulative and gauge: the state).

        Args:
            name: only this metric.
            resource: only resources with these attributes, "_" for "." in the name.
        """
        newest: dict[Any, MetricPoint] = {}
        wanted = {key.replace("_", "."): value for key, value in resource.items()}
        for point in self.all_points():
            if name is not None and point.name != name:
                continue
            if any(point.resource.get(key) != value for key, value in wanted.items()):
                continue
            key = (
                tuple(sorted(point.resource.items())),
                point.name,
                tuple(sorted(point.attributes.items())),
            )
            newest[key] = point
        return list(newest.values())

    def counts(
        self, *by: str, name: str = "http.server.request.duration", **resource: Any
    ) -> dict[tuple[Any, ...], int]:
        """The observations of a cumulative histogram, by the values of some attributes.

        Args:
            by: names of attributes, such as "http.route"; an absent one counts as None.
            name: of the histogram.
            resource: as for metrics().
        """
        found: dict[tuple[Any, ...], int] = {}
        for point in self.metrics(name, **resource):
            key = tuple(point.attributes.get(one) for one in by)
            found[key] = found.get(key, 0) + point.count
        return found

    def record(
        self,
        *,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        answer: Answer,
    ) -> None:
        message: Any = (
            ExportTraceServiceRequest() if is_traces(path) else ExportMetricsServiceRequest()
        )
        message.ParseFromString(body)
        accepted = answer.status is None and not answer.silent
        self.put(Request(path, headers, len(body), message, accepted, time.monotonic()))
