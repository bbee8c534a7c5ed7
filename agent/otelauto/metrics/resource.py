"""Resource attributes: who the telemetry is from (semantic conventions, resource).

Only these attributes are put together here; service names come from ``discovery``.
"""

from __future__ import annotations

import platform
import uuid
from typing import TYPE_CHECKING, Final

from otelauto import __version__
from otelauto.model import sorted_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otelauto.discovery.identity import Host
    from otelauto.model import Attributes, AttributeValue, Service

__all__ = ["agent_resource", "architecture", "service_resource"]

_DISTRO: Final = "otelauto"
#: By the kernel's name: the names that the conventions have for host.arch.
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_NAMESPACE: Final = uuid.UUID("4d63009a-8d0f-11ee-aad7-4c796ed8e320")


def service_resource(
    service: Service, host: Host, *, extra: Iterable[tuple[str, str]] = ()
) -> Attributes:
    """The resource of an instrumented service.

    Args:
        service: its identity.
        host: where it runs.
        extra: the configuration's resource_attributes; the service's own win.
    """
    found: dict[str, AttributeValue] = dict(extra)
    found.update(service.attributes)
    found.update(_common(host))
    found["service.name"] = service.name
    found["service.instance.id"] = service.instance_id
    if service.namespace:
        found["service.namespace"] = service.namespace
    return sorted_attributes(found.items())


def agent_resource(host: Host, *, extra: Iterable[tuple[str, str]] = ()) -> Attributes:
    """The resource of the agent's own metrics."""
    found: dict[str, AttributeValue] = dict(extra)
    found.update(_common(host))
    found["service.name"] = _DISTRO
    found["service.version"] = __version__
    found["service.instance.id"] = str(uuid.uuid5(_NAMESPACE, f"otelauto\0{host.id or host.name}"))
    return sorted_attributes(found.items())


def architecture() -> str:
    """host.arch of this machine."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def _common(host: Host) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {
        "host.name": host.name,
        "host.arch": architecture(),
        "os.type": "linux",
        "telemetry.sdk.name": _DISTRO,
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": __version__,
        "telemetry.distro.name": _DISTRO,
        "telemetry.distro.version": __version__,
    }
    if host.id:
        found["host.id"] = host.id
    return found
