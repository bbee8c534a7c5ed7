# ruff: noqa: INP001 - a program of the scenarios
"""decode.py FOLDER: what OTLP metrics in a folder say, as JSON.

For each service and route: how many requests the last cumulative point counts. Needs the official
protobufs, which the agent's development environment has.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)


def plain(attributes: Any) -> dict[str, str]:
    """Attributes as texts."""
    return {one.key: one.value.string_value or str(one.value.int_value) for one in attributes}


def main(folder: str) -> None:
    """Prints {"services": {NAME: {ROUTE: COUNT}}, "resources": {NAME: {...}}}."""
    last: dict[tuple[str, ...], int] = {}
    resources: dict[str, dict[str, str]] = {}
    for path in sorted(Path(folder).rglob("*.metrics")):
        request = ExportMetricsServiceRequest.FromString(path.read_bytes())
        for group in request.resource_metrics:
            resource = plain(group.resource.attributes)
            name = resource.get("service.name", "")
            resources[name] = resource
            for scope in group.scope_metrics:
                for metric in scope.metrics:
                    if metric.name != "http.server.request.duration":
                        continue
                    for point in metric.histogram.data_points:
                        labels = plain(point.attributes)
                        series = (name, labels.get("http.route", ""), *map(str, labels.items()))
                        last[series] = point.count
    services: dict[str, dict[str, int]] = {}
    for (name, route, *_), count in last.items():
        routes = services.setdefault(name, {})
        routes[route] = routes.get(route, 0) + count
    json.dump({"services": services, "resources": resources}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
