"""A snapshot as a Prometheus page, written by prometheus_client and joined here.

The client spends 13 µs on a line, most of it on labels that it sorts and escapes again for each of
a histogram's lines at each scrape: seconds for some thousand series. So it writes every part that
needs knowledge of the format (heads, label sets, numbers) once, label sets are kept from scrape to
scrape, and this module joins the parts. The tests read the result with the client's parsers and
with Prometheus itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import exposition
from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from otelauto.export._merge import added
from otelauto.export._prometheus_names import (
    identity_labels,
    information_labels,
    labels,
    metric_name,
    unit_name,
)
from otelauto.model import HistogramPoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otelauto.export._merge import Point
    from otelauto.model import Attributes, Metric, Snapshot

__all__ = ["Page"]

_CHUNK_LINES = 400
_KINDS = {"histogram": "histogram", "counter": "counter", "updown": "gauge", "gauge": "gauge"}


class Page:
    """One page, scraped again and again; the label sets of the last scrape are kept.

    Not safe for two threads at a time.
    """

    def __init__(self) -> None:
        self._labels: dict[tuple[Attributes, Attributes], str] = {}

    def chunks(self, snapshot: Snapshot, *, open_metrics: bool) -> Iterator[bytes]:
        """The page in pieces of some ten kilobytes.

        Series that became equal by the translation of names are added up, so that the page is
        always valid.
        """
        grouped = self._grouped(snapshot)
        lines: list[str] = [*self._information(snapshot, open_metrics=open_metrics)]
        for metric, series in grouped:
            lines.append(_text(_family(metric), open_metrics=open_metrics))
            name = metric_name(metric)
            if metric.kind == "counter":
                name += "_total"
            bounds: dict[tuple[float, ...], tuple[str, ...]] = {}
            for text, point in series.items():
                if isinstance(point, HistogramPoint):
                    limits = bounds.get(point.bounds)
                    if limits is None:
                        limits = bounds[point.bounds] = _limits(point.bounds)
                    lines += _histogram_lines(name, text, limits, point)
                else:
                    lines.append(f"{name}{_braced(text)} {_number(point.value)}\n")
                if len(lines) >= _CHUNK_LINES:
                    yield "".join(lines).encode()
                    lines = []
        if open_metrics:
            lines.append("# EOF\n")
        yield "".join(lines).encode()

    def _grouped(self, snapshot: Snapshot) -> list[tuple[Metric, dict[str, Point]]]:
        known = self._labels
        used: dict[tuple[Attributes, Attributes], str] = {}
        families: dict[str, tuple[Metric, dict[str, Point]]] = {}
        for resource in snapshot.resources:
            for one in resource.families:
                name = metric_name(one.metric)
                metric, series = families.setdefault(name, (one.metric, {}))
                if metric.kind != one.metric.kind:
                    continue  # two types under one name would make the whole page invalid
                for point in one.points:
                    key = (resource.resource, point.attributes)
                    text = used.get(key) or known.get(key)
                    if text is None:
                        text = _label_text(
                            {**labels(point.attributes), **identity_labels(resource.resource)}
                        )
                    used[key] = text
                    if text in series and metric.kind != "gauge":
                        series[text] = added(series[text], point)
                    else:
                        series[text] = point
        self._labels = used
        return [group for group in families.values() if group[1]]

    def _information(self, snapshot: Snapshot, *, open_metrics: bool) -> Iterator[str]:
        targets: dict[tuple[str | None, str | None], dict[str, str]] = {}
        for resource in snapshot.resources:
            found = information_labels(resource.resource)
            identity = (found.get("job"), found.get("instance"))
            targets[identity] = {**found, **targets.get(identity, {})}
        if not targets:
            return
        family = Family("target", "What is known of each service.", "info")
        family.samples = [
            Sample("target_info", found, 1, None, None) for found in targets.values()
        ]
        yield _text(family, open_metrics=open_metrics)


def _family(metric: Metric) -> Family:
    return Family(metric_name(metric), metric.description, _KINDS[metric.kind], _unit(metric))


def _unit(metric: Metric) -> str:
    """The unit if the name ends with it, as OpenMetrics demands; a name may hold it elsewhere."""
    unit = unit_name(metric)
    return unit if unit and metric_name(metric).endswith(f"_{unit}") else ""


class _Collector:
    """What prometheus_client calls a collector."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterator[Family]:
        yield self._family


def _text(family: Family, *, open_metrics: bool) -> str:
    """The family as prometheus_client writes it, without the end of the page."""
    write: Any = (
        openmetrics_exposition.generate_latest if open_metrics else exposition.generate_latest
    )
    text: str = write(_Collector(family)).decode()
    return text.removesuffix("# EOF\n")


def _label_text(found: dict[str, str]) -> str:
    """The labels as prometheus_client writes them, without the braces."""
    if not found:
        return ""
    family = Family("x", "", "gauge")
    family.add_sample("x", found, 0)
    text = _text(family, open_metrics=False)
    return text[text.index("\nx{") + 3 : text.rindex("} ")]


def _limits(bounds: tuple[float, ...]) -> tuple[str, ...]:
    """The label of each bucket's upper bound."""
    return tuple(f'le="{_go_float(bound)}"' for bound in (*bounds, float("inf")))


def _histogram_lines(
    name: str, text: str, limits: tuple[str, ...], point: HistogramPoint
) -> Iterator[str]:
    start = f"{name}_bucket{{{text}," if text else f"{name}_bucket{{"
    total = 0
    for limit, count in zip(limits, point.counts, strict=True):
        total += count
        yield f"{start}{limit}}} {total}\n"
    labels_of_point = _braced(text)
    yield f"{name}_count{labels_of_point} {total}\n"
    yield f"{name}_sum{labels_of_point} {_go_float(point.sum)}\n"


def _braced(text: str) -> str:
    return f"{{{text}}}" if text else ""


def _go_float(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else _go_float(value)
