"""From the text of a Prometheus page to what is known of each route.

Pure functions: parsing, what happened between two pages, quantiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otelauto.export.lines import status_class

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Key", "Tally", "histogram_quantile", "read_page", "since"]

_FAMILIES: Final = {
    "http_server_request_duration_seconds": "in",
    "http_client_request_duration_seconds": "out",
}


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What one line of the table is about.

    Attributes:
        side: "in" for requests served, "out" for requests made.
        where: the route, after the other side's address for requests made.
    """

    service: str
    side: str
    method: str = ""
    where: str = ""


@dataclass(slots=True)
class Tally:
    """Requests since the series began.

    Attributes:
        buckets: upper bound (inclusive) to requests in that bucket alone or a lower one.
    """

    requests: int = 0
    errors: int = 0
    buckets: dict[float, int] = field(default_factory=dict)


def read_page(text: str) -> dict[Key, Tally]:
    """Every route of the page.

    Raises:
        ValueError: it is no Prometheus page.
    """
    # A command needs it, no agent.
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    found: dict[Key, Tally] = {}
    for family in text_string_to_metric_families(text):
        side = _FAMILIES.get(family.name)
        if side is None:
            continue
        for sample in family.samples:
            tally = found.setdefault(_key(sample.labels, side), Tally())
            if sample.name.endswith("_count"):
                tally.requests += int(sample.value)
                tally.errors += int(sample.value) if _failed(sample.labels, side) else 0
            elif sample.name.endswith("_bucket"):
                bound = float(sample.labels["le"])
                tally.buckets[bound] = tally.buckets.get(bound, 0) + int(sample.value)
    return found


def since(before: Tally | None, now: Tally) -> Tally:
    """What happened between two pages; everything if the agent was started anew between them."""
    if before is None or before.requests > now.requests:
        return now
    return Tally(
        now.requests - before.requests,
        max(0, now.errors - before.errors),
        {bound: count - before.buckets.get(bound, 0) for bound, count in now.buckets.items()},
    )


def histogram_quantile(share: float, buckets: Mapping[float, int]) -> float | None:
    """As Prometheus' function of this name, for cumulative buckets; None without observations.

    Inside a bucket the observations are taken to be spread evenly; the bound below stands for
    what lies in the bucket without one.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    rank = share * buckets[bounds[-1]]
    place = next(index for index, bound in enumerate(bounds) if buckets[bound] >= rank)
    upper = bounds[place]
    if math.isinf(upper):
        return bounds[-2] if len(bounds) > 1 else None
    if place == 0 and upper <= 0:
        return upper
    lower, below = (bounds[place - 1], buckets[bounds[place - 1]]) if place else (0.0, 0)
    inside = buckets[upper] - below
    return lower + (upper - lower) * (rank - below) / inside if inside else lower


def _key(labels: Mapping[str, str], side: str) -> Key:
    name = labels.get("service_name", labels.get("job", ""))
    namespace = labels.get("service_namespace", "")
    address, port = labels.get("server_address", ""), labels.get("server_port", "")
    peer = (f"{address}:{port}" if port else address) if side == "out" else ""
    return Key(
        service=f"{namespace}/{name}" if namespace else name,
        side=side,
        method=labels.get("http_request_method", ""),
        where=peer + labels.get("http_route", "" if peer else "-"),
    )


def _failed(labels: Mapping[str, str], side: str) -> bool:
    code, failure = labels.get("http_response_status_code", ""), labels.get("error_type")
    fields: dict[str, str | int] = {}
    if code.isdecimal():
        fields["http.response.status_code"] = int(code)
    if failure:
        fields["error.type"] = failure
    return status_class(fields, side)[1]
