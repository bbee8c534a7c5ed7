"""Which exported series an entry of the kernel's aggregate belongs to.

Only the mapping from struct red_key to attributes lives here (semantic conventions of
OpenTelemetry, HTTP metrics, stable). No counting, no kernel.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otelauto.abi import _layout as abi
from otelauto.model import sorted_attributes

if TYPE_CHECKING:
    from otelauto.model import Attributes, AttributeValue

__all__ = ["SeriesKey", "series_key"]

_VERSIONS: Final = {abi.Version.HTTP_1_0: "1.0", abi.Version.HTTP_1_1: "1.1"}
_FAMILY_IPV4: Final = 4
_FAMILY_IPV6: Final = 6
_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400
#: Attribute of the series that holds what found no room (OpenTelemetry, metrics SDK, cardinality
#: limits).
_OVERFLOW: Final = sorted_attributes((("otel.metric.overflow", True),))


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """An exported series.

    Attributes:
        service: id of the service.
        role: abi.Role.
        attributes: of its points.
    """

    service: int
    role: int
    attributes: Attributes

    @property
    def is_overflow(self) -> bool:
        """Whether it is the one that holds what found no room."""
        return self.attributes == _OVERFLOW


def series_key(key: abi.RedKey, route: str | None) -> SeriesKey:
    """The series of an entry.

    Args:
        key: the entry's key, whatever its shard.
        route: the name of its route; None: it has none.
    """
    if key.route == abi.Route.OVERFLOW:
        return SeriesKey(key.service, key.role, _OVERFLOW)
    found: list[tuple[str, AttributeValue]] = [
        ("http.request.method", abi.METHODS[key.method]),
        ("url.scheme", "https" if key.tls else "http"),
    ]
    if key.status:
        found.append(("http.response.status_code", key.status))
    if route is not None:
        found.append(("http.route", route))
    version = _VERSIONS.get(abi.Version(key.version))
    if version:
        found.append(("network.protocol.version", version))
    if key.server_port:
        found.append(("server.port", key.server_port))
    address = _address(key)
    if address:
        found.append(("server.address", address))
    error = _error_type(key)
    if error:
        found.append(("error.type", error))
    return SeriesKey(key.service, key.role, sorted_attributes(found))


def _address(key: abi.RedKey) -> str:
    if key.family == _FAMILY_IPV4:
        return str(ipaddress.IPv4Address(key.address[:4]))
    if key.family == _FAMILY_IPV6:
        return str(ipaddress.IPv6Address(key.address))
    return ""


def _error_type(key: abi.RedKey) -> str:
    """What went wrong, if anything did; a status is named by its number."""
    if key.fault:
        return abi.Fault(key.fault).name.lower()
    failing = _CLIENT_ERROR if key.role == abi.Role.CLIENT else _SERVER_ERROR
    return str(key.status) if key.status >= failing else ""
