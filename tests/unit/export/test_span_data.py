"""The official encoder makes of our spans what it makes of the SDK's own."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from tests.unit.export.span_samples import RESOURCE, START, span

from otelauto.export._span_data import SpanData


def theirs(**fields):
    """What the SDK would have made of span(1)."""
    context = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(1), **fields)
    return ReadableSpan(
        name="GET /users/{id}",
        context=context,
        parent=SpanContext(1, 9, is_remote=True),
        resource=Resource(dict(RESOURCE)),
        attributes={
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "http.request.header.x-a": ("1", "2"),
        },
        kind=SpanKind.SERVER,
        status=Status(StatusCode.ERROR),
        start_time=START,
        end_time=START + 1_500_000,
        instrumentation_scope=InstrumentationScope("otelauto", "1.2.3"),
    )


def test_a_span_is_encoded_as_the_sdks_own():
    ours = span(
        parent_id=(9).to_bytes(8, "big"), remote_parent=True, failed=True, trace_state="a=1, b=2"
    )
    state = TraceState([("a", "1"), ("b", "2")])
    assert encode_spans([theirs(trace_state=state)]) == encode_spans(
        SpanData("1.2.3").readable([ours])
    )


def test_a_root_has_no_parent_and_an_exchange_that_went_well_no_status():
    (found,) = encode_spans(SpanData("1").readable([span()])).resource_spans
    (one,) = found.scope_spans[0].spans
    assert (b"", 0, "") == (one.parent_span_id, one.status.code, one.trace_state)


def test_spans_of_one_service_share_their_resource_and_others_have_another():
    other = (("service.name", "cart"),)
    made = SpanData("1").readable([span(1), span(2, resource=other), span(3)])
    request = encode_spans(made)
    assert [2, 1] == [len(one.scope_spans[0].spans) for one in request.resource_spans]


def test_text_that_is_no_trace_state_gives_none():
    (found,) = SpanData("1").readable([span(trace_state="nonsense,, =")])
    assert {"": ""} == found.get_span_context().trace_state
