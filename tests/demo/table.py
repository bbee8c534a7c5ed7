"""The table of the demonstration, from the samples of two moments: pure, no I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.servers.agent import Sample

__all__ = ["Row", "quantile", "render", "rows"]

BASE = "http_server_request_duration_seconds"


@dataclass(slots=True)
class Row:
    """One line: a service's route and class of status."""

    service: str
    route: str
    status: str
    requests: float = 0
    errors: float = 0
    buckets: dict[float, float] = field(default_factory=dict)


def rows(before: Iterable[Sample], after: Iterable[Sample]) -> list[Row]:
    """What happened between two moments, by service, route and class of status."""
    found: dict[tuple[str, str, str], Row] = {}
    for samples, sign in ((before, -1), (after, 1)):
        for sample in samples:
            if sample.name not in {f"{BASE}_count", f"{BASE}_bucket"}:
                continue
            key = _key(sample)
            row = found.setdefault(key, Row(*key))
            if sample.name == f"{BASE}_bucket":
                bound = float(sample.labels["le"])
                row.buckets[bound] = row.buckets.get(bound, 0) + sign * sample.value
                continue
            row.requests += sign * sample.value
            # As for spans of servers: 5xx, and whatever had no response, is an error.
            if sample.labels.get("error_type"):
                row.errors += sign * sample.value
    order = sorted(found.values(), key=lambda row: (row.service, row.route, row.status))
    return [row for row in order if row.requests > 0]


def _key(sample: Sample) -> tuple[str, str, str]:
    labels = sample.labels
    status = labels.get("http_response_status_code", "")
    method = labels.get("http_request_method", "")
    return (
        labels.get("service_name") or labels.get("job", "").rpartition("/")[2],
        f"{method} {labels.get('http_route', '')}".strip(),
        f"{status[0]}xx" if status else "none",
    )


def quantile(buckets: dict[float, float], share: float) -> float:
    """Seconds below which this share lies, by interpolation in the buckets, as Prometheus does."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0
    if not total:
        return math.nan
    rank = share * total
    lower, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if math.isinf(bound):
                return lower
            inside = buckets[bound] - below
            return lower + (bound - lower) * ((rank - below) / inside if inside else 1)
        lower, below = bound, buckets[bound]
    return lower


def render(found: Sequence[Row], seconds: float) -> str:
    """The table as text; durations in milliseconds."""
    head = ("service", "route", "status", "req/s", "error %", "p50 ms", "p95 ms", "p99 ms")
    lines = [head]
    for row in found:
        times = [f"{1000 * quantile(row.buckets, share):.1f}" for share in (0.5, 0.95, 0.99)]
        rate, errors = row.requests / seconds, 100 * row.errors / row.requests
        lines.append((row.service, row.route, row.status, f"{rate:.1f}", f"{errors:.1f}", *times))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = []
    for line in lines:
        left = [cell.ljust(width) for cell, width in zip(line[:3], widths[:3], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(line[3:], widths[3:], strict=True)]
        text.append("  ".join([*left, *right]).rstrip())
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text)
