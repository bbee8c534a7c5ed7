"""Spans, and exporters of them with pauses short enough for tests."""

from __future__ import annotations

from dataclasses import replace

from otelauto.export.otlp_spans import OtlpSpanExporter
from otelauto.export.settings import OtlpSettings, SpanBatches
from otelauto.model import Span

RESOURCE = (("service.name", "shop"), ("service.namespace", "eu"))
START = 1_700_000_000_000_000_000
QUICK = (0.02, 0.1)


def span(number=1, **fields):
    known = {
        "resource": RESOURCE,
        "name": "GET /users/{id}",
        "kind": "server",
        "trace_id": number.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "parent_id": b"",
        "remote_parent": False,
        "trace_state": "",
        "start_unix_nano": START,
        "end_unix_nano": START + 1_500_000,
        "attributes": (
            ("http.request.method", "GET"),
            ("http.response.status_code", 200),
            ("http.request.header.x-a", ("1", "2")),
        ),
    }
    return Span(**(known | fields))


def spans(number):
    return [span(one) for one in range(1, number + 1)]


BATCHES = SpanBatches(delay_seconds=0.05)


def exporter(receiver, protocol, log, *, batches=BATCHES, **changes):
    settings = OtlpSettings(
        endpoint=receiver.traces_endpoint, protocol=protocol, timeout_seconds=3.0
    )
    return OtlpSpanExporter(
        replace(settings, **changes), batches, version="1.2.3", log=log, backoff_seconds=QUICK
    )
