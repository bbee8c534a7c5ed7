"""OTLP over gRPC: which answers are retried."""

from __future__ import annotations

import pytest
from tests.receivers import Answer, OtlpGrpcReceiver
from tests.unit.export.otlp_rig import exporter


@pytest.mark.parametrize(
    ("code", "wait", "retried"),
    [
        ("UNAVAILABLE", None, True),
        ("DEADLINE_EXCEEDED", None, True),
        ("RESOURCE_EXHAUSTED", 0.01, True),
        ("RESOURCE_EXHAUSTED", None, False),
        ("INVALID_ARGUMENT", None, False),
        ("UNAUTHENTICATED", None, False),
        ("UNIMPLEMENTED", None, False),
    ],
)
def test_grpc_retries_by_the_table_of_the_specification(rich, code, wait, retried):
    with OtlpGrpcReceiver(Answer(code, retry_after_seconds=wait), Answer()) as receiver:
        one = exporter(receiver, "grpc", lambda: rich, interval_seconds=0.05)
        one.start()
        receiver.wait_for_requests(2)
        one.shutdown()
    assert int(retried) == one.status.retries
    assert sum(one.status.errors.values()) == 1
    assert (8 if not retried else 0) == sum(one.status.dropped_points.values())
