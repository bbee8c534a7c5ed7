"""The page of all metrics, from the catalogue that the agent itself exports from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelauto.export._prometheus_names import labels, metric_name
from otelauto.metrics.catalog import CATALOG, KERNEL_COUNTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otelauto.metrics.catalog import Entry

__all__ = ["page"]

HEAD = """\
<!-- Generated from agent/otelauto/metrics/catalog.py; do not edit. -->
# Metrics

Each metric by its OpenTelemetry name, then by its Prometheus name with labels in braces.
A Prometheus histogram has the series `_bucket`, `_count` and `_sum`.
Every point belongs to a service: `service.name`, `service.namespace` and \
`service.instance.id` are in its resource; Prometheus has `service_name`, `service_namespace`, \
`job` and `instance`.

| metric | kind, unit | Prometheus | meaning |
|---|---|---|---|
"""
COUNTS = """
## What the kernel programs count

| metric | attribute | meaning |
|---|---|---|
"""


def _row(entry: Entry) -> str:
    metric = entry.metric
    name = metric_name(metric) + ("_total" if metric.kind == "counter" else "")
    names = ", ".join(labels(tuple((attribute, "x") for attribute in entry.attributes)))
    series = f"`{name}{{{names}}}`" if names else f"`{name}`"
    attributes = "".join(f"<br>`{attribute}`" for attribute in entry.attributes)
    kind = f"{metric.kind}, `{metric.unit}`"
    return f"| `{metric.name}`{attributes} | {kind} | {series} | {metric.description} |\n"


def _lines() -> Iterator[str]:
    yield HEAD
    yield from map(_row, CATALOG)
    yield COUNTS
    for count in KERNEL_COUNTS:
        pairs = ", ".join(f"`{name}={value}`" for name, value in count.attributes)
        yield f"| `{count.metric.name}` | {pairs} | {count.help} |\n"


def page() -> bytes:
    """The whole page."""
    return "".join(_lines()).encode()
