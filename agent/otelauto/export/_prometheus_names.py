"""OpenTelemetry names, units and attributes in Prometheus' spelling.

Pure functions; the rules are those of the OpenTelemetry specification, "Prometheus and OpenMetrics
Compatibility".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otelauto.export._merge import valid_text

if TYPE_CHECKING:
    from otelauto.model import Attributes, AttributeValue, Metric

__all__ = [
    "LABEL_VALUE_MAX_BYTES",
    "identity_labels",
    "information_labels",
    "label_value",
    "labels",
    "metric_name",
    "unit_name",
]

#: A label value is cut after so many bytes, at the end of a character.
LABEL_VALUE_MAX_BYTES = 1024

_UNITS = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "min": "minutes",
    "h": "hours",
    "d": "days",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "%": "percent",
    "Hz": "hertz",
    "Cel": "celsius",
}
_PER = {"s": "second", "min": "minute", "h": "hour", "d": "day"}
_ANNOTATION = re.compile(r"\{[^}]*\}")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9]+")
_IDENTITY = ("service.name", "service.namespace", "service.instance.id")
_OWN_LABELS = frozenset(
    {"job", "instance", "service_name", "service_namespace", "le", "quantile", "__name__"}
)


def unit_name(metric: Metric) -> str:
    """The unit's word in the name, such as "seconds"; empty for counts of things."""
    unit = _ANNOTATION.sub("", metric.unit)
    if unit in {"", "1"}:
        return "ratio" if unit and metric.kind == "gauge" else ""
    amount, _, per = unit.partition("/")
    word = _UNITS.get(amount, _legal(amount))
    return "_per_".join(filter(None, (word, _PER.get(per, _legal(per))))) if per else word


def metric_name(metric: Metric) -> str:
    """The family's name, without the _total of a counter."""
    name = _legal(metric.name)
    unit = unit_name(metric)
    if unit and not name.endswith(f"_{unit}"):
        name = f"{name}_{unit}"
    return name.removesuffix("_total") if metric.kind == "counter" else name


def label_value(value: AttributeValue) -> str:
    """The value as UTF-8 text of bounded length.

    NUL becomes U+FFFD, because Prometheus' parser takes it for the end of the page.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    text = valid_text(str(value)).replace("\0", "\N{REPLACEMENT CHARACTER}")
    if len(text) * 4 <= LABEL_VALUE_MAX_BYTES:
        return text
    return text.encode()[:LABEL_VALUE_MAX_BYTES].decode(errors="ignore")


def labels(attributes: Attributes) -> dict[str, str]:
    """A point's labels; empty values are left out, which is the same to Prometheus.

    Attributes whose names become equal are joined with ";", as the specification says. A name
    that this exporter needs itself gets the prefix "attribute_".
    """
    found: dict[str, str] = {}
    for name, value in attributes:
        label = _legal(name)
        if label in _OWN_LABELS:
            label = f"attribute_{label}"
        text = label_value(value)
        if text:
            found[label] = f"{found[label]};{text}" if label in found else text
    return found


def identity_labels(resource: Attributes) -> dict[str, str]:
    """What tells the services of one page apart: job, instance and the service's names."""
    fields = {name: label_value(value) for name, value in resource}
    name, namespace = fields.get("service.name", ""), fields.get("service.namespace", "")
    identity = {
        "instance": fields.get("service.instance.id", ""),
        "job": f"{namespace}/{name}" if namespace and name else name,
        "service_name": name,
        "service_namespace": namespace,
    }
    return {label: value for label, value in identity.items() if value}


def information_labels(resource: Attributes) -> dict[str, str]:
    """The labels of target_info: everything of the resource that identity_labels leaves out."""
    rest = tuple(pair for pair in resource if pair[0] not in _IDENTITY)
    identity = identity_labels(resource)
    return labels(rest) | {
        label: value for label, value in identity.items() if label in {"instance", "job"}
    }


def _legal(name: str) -> str:
    legal = _ILLEGAL.sub("_", name).strip("_")
    return f"_{legal}" if legal[:1].isdigit() else legal or "_"
