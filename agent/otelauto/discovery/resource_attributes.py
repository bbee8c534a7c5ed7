"""OTEL_RESOURCE_ATTRIBUTES: text in, attributes and complaints out.

Only the parser lives here (OpenTelemetry resource SDK, "Specifying resource information via an
environment variable"; the format is that of W3C baggage without properties).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ResourceAttributes", "parse_resource_attributes"]

#: Attributes of one process that are kept.
MAX_ATTRIBUTES = 64
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class ResourceAttributes:
    """The result of parsing.

    Attributes:
        values: by key; of equal keys the last one counts.
        skipped: how many entries were not used, since they have no "=", no key, a bad escape, or
            are too many.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    skipped: int = 0


def parse_resource_attributes(text: str) -> ResourceAttributes:
    """Parses "key=value,key=value"; keys and values are percent-decoded.

    The specification would have the whole text discarded for one bad entry. Here only that entry
    is, because the agent is not the application: naming a service by its good entries is better
    than losing its name. A value keeps "=" signs, which many write unescaped.
    """
    values: dict[str, str] = {}
    skipped = 0
    for entry in text.split(","):
        if not entry.strip():
            continue
        key, equals, value = entry.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not key or _BAD_ESCAPE.search(entry) or len(values) >= MAX_ATTRIBUTES:
            skipped += 1
            continue
        values[_decode(key)] = _decode(value)
    return ResourceAttributes(values, skipped)


def _decode(text: str) -> str:
    # Bytes that were not UTF-8 come as surrogates and leave as replacement characters.
    return unquote_to_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
