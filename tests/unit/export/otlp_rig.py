"""Exporters on receivers, with pauses short enough for tests."""

from __future__ import annotations

from dataclasses import replace

from tests.receivers import OtlpGrpcReceiver, OtlpHttpReceiver
from tests.unit.export.samples import NOW, START, histogram, service, snapshot

from otelauto.export.otlp import OtlpExporter
from otelauto.export.settings import OtlpSettings

RECEIVERS = {"http/protobuf": OtlpHttpReceiver, "grpc": OtlpGrpcReceiver}
QUICK = (0.02, 0.1)


def settings(receiver, protocol, **changes):
    return replace(
        OtlpSettings(
            endpoint=receiver.endpoint,
            protocol=protocol,
            interval_seconds=0.1,
            timeout_seconds=3.0,
        ),
        **changes,
    )


def exporter(receiver, protocol, collect, **changes):
    return OtlpExporter(
        settings(receiver, protocol, **changes), collect, version="1.2.3", backoff_seconds=QUICK
    )


class Service:
    """A service whose cumulative histogram the test moves."""

    def __init__(self):
        self.count, self.start, self.at, self.present = 0, START, NOW, True

    def __call__(self):
        self.at += 1_000_000_000
        if not self.present:
            return snapshot(at=self.at)
        point = histogram(
            (0, self.count, 0, 0, 0, 0), total=self.count * 0.25, start=self.start, method="GET"
        )
        return snapshot(service(point), at=self.at)
