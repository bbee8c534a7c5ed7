"""Spans as the official encoder of OpenTelemetry takes them.

Only this translation lives here. The encoder takes the SDK's ReadableSpan; what it reads of one is
given by a lighter class, since making the SDK's own costs more than encoding it. Resource and
scope are made once and compared by identity: the SDK's resource is serialised to be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, StatusCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otelauto.model import Attributes, Span

__all__ = ["SpanData"]

_SCOPE = "otelauto"
_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT}
#: Resources that are kept before all are made anew.
_RESOURCES_MAX = 10_000


class _Resource(Resource):
    """A resource that is equal to itself only."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class _Status:
    __slots__ = ("description", "status_code")

    def __init__(self, status_code: StatusCode) -> None:
        self.status_code = status_code
        self.description = None


_ERROR, _UNSET = _Status(StatusCode.ERROR), _Status(StatusCode.UNSET)


class _Context:
    __slots__ = ("is_remote", "span_id", "trace_id", "trace_state")

    def __init__(
        self, trace_id: bytes, span_id: bytes, *, trace_state: dict[str, str], is_remote: bool
    ) -> None:
        self.trace_id = int.from_bytes(trace_id, "big")
        self.span_id = int.from_bytes(span_id, "big")
        self.trace_state = trace_state
        self.is_remote = is_remote


class _Readable:
    """What the encoder reads of a ReadableSpan."""

    __slots__ = (
        "attributes", "context", "end_time", "instrumentation_scope", "kind", "name", "parent",
        "resource", "start_time", "status",
    )  # fmt: skip

    events = links = ()
    dropped_attributes = dropped_events = dropped_links = 0

    def __init__(self, span: Span, resource: Resource, scope: InstrumentationScope) -> None:
        self.name = span.name
        self.kind = _KINDS[span.kind]
        self.context = _Context(
            span.trace_id,
            span.span_id,
            trace_state=_members(span.trace_state) if span.trace_state else {},
            is_remote=False,
        )
        self.parent = (
            _Context(span.trace_id, span.parent_id, trace_state={}, is_remote=span.remote_parent)
            if span.parent_id
            else None
        )
        self.start_time = span.start_unix_nano
        self.end_time = span.end_unix_nano
        self.attributes = dict(span.attributes)
        self.status = _ERROR if span.failed else _UNSET
        self.resource = resource
        self.instrumentation_scope = scope

    def get_span_context(self) -> _Context:
        return self.context


class SpanData:
    """Makes what an exporter of spans takes.

    Args:
        version: of the instrumentation scope.
    """

    def __init__(self, version: str) -> None:
        self._scope = InstrumentationScope(_SCOPE, version)
        self._resources: dict[Attributes, Resource] = {}

    def readable(self, spans: Iterable[Span]) -> list[Any]:
        """The spans, for the official encoder."""
        scope = self._scope
        return [_Readable(span, self._resource(span.resource), scope) for span in spans]

    def _resource(self, attributes: Attributes) -> Resource:
        found = self._resources.get(attributes)
        if found is None:
            if len(self._resources) >= _RESOURCES_MAX:
                self._resources.clear()
            found = self._resources[attributes] = _Resource(dict(attributes))
        return found


def _members(trace_state: str) -> dict[str, str]:
    """The members of a tracestate header (W3C Trace Context, 3.3.1)."""
    pairs = (one.strip().partition("=") for one in trace_state.split(","))
    return {key: value for key, equals, value in pairs if equals}
