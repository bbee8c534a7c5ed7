"""OTLP receivers for tests: real servers that decode with the official protobufs."""

from __future__ import annotations

from tests.receivers._decoded import Answer, MetricPoint, ReceivedSpan, Request
from tests.receivers._grpc import OtlpGrpcReceiver
from tests.receivers._http import OtlpHttpReceiver

__all__ = [
    "Answer",
    "MetricPoint",
    "OtlpGrpcReceiver",
    "OtlpHttpReceiver",
    "ReceivedSpan",
    "Request",
]
