"""The identity of a service on this host: from names to model.Service.

Only pure functions of values live here, and the two reads that tell who the host is.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from otelauto.model import Service, sorted_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Host", "bounded", "instance_id", "make_service", "read_host"]

#: Characters of a name that are kept.
MAX_NAME_LENGTH = 128
#: Characters of another attribute's value that are kept.
MAX_VALUE_LENGTH = 1024
#: The namespace of the semantic conventions for ids that are made from an inherent one.
_NAMESPACE = uuid.UUID("4d63009a-8d0f-11ee-aad7-4c796ed8e320")
_OWN = frozenset({"service.name", "service.namespace", "service.instance.id"})


@dataclass(frozen=True, slots=True)
class Host:
    """The host that the agent watches.

    Attributes:
        name: host.name.
        id: host.id, from the machine id; empty if there is none.
    """

    name: str
    id: str = ""


def read_host(root: Path = Path("/"), *, name: str = "") -> Host:
    """Who this host is: its name from the kernel, its id from machine-id(5).

    Args:
        root: where etc and proc are found.
        name: overrides the kernel's name.
    """
    return Host(
        name=bounded(name or _first_line(root / "proc/sys/kernel/hostname")) or "localhost",
        id=bounded(
            _first_line(root / "etc/machine-id") or _first_line(root / "var/lib/dbus/machine-id")
        ),
    )


def bounded(text: str, limit: int = MAX_NAME_LENGTH) -> str:
    r"""Makes a hostile text a fit name: printable, one line, of limited length.

    What is not printable (control characters, line ends, bytes that are not UTF-8, marks that
    reorder text) becomes "_"; quotes and backslashes stay, since exporters quote.
    """
    cut = text.strip()[:limit].strip()
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "_" for c in cut)


def instance_id(host: Host, *, namespace: str, name: str, part: str = "") -> str:
    """service.instance.id: the same after a restart, on all workers, and nowhere else.

    The semantic conventions ask for a UUID version 5 under their own namespace where the instance
    has an inherent identity, and for underlying data such as the machine id not to show. They
    advise against one id for all workers of an application server; it is given all the same, since
    the kernel counts per service, and an id per worker would make new series with each restart.

    Args:
        host: its id, or its name if it has none.
        namespace: service.namespace.
        name: service.name.
        part: tells several instances of one service on one host apart, such as the instance of a
            template unit.
    """
    return str(uuid.uuid5(_NAMESPACE, "\0".join((host.id or host.name, namespace, name, part))))


def make_service(
    host: Host,
    *,
    name: str,
    namespace: str = "",
    default_namespace: str = "",
    part: str = "",
    attributes: Mapping[str, str] | None = None,
) -> Service:
    """Builds the identity, all texts bounded.

    Args:
        host: where it runs.
        name: service.name.
        namespace: service.namespace from the entry; empty: the attributes decide.
        default_namespace: what holds if they do not.
        part: see `instance_id`.
        attributes: what the application says of itself (OTEL_RESOURCE_ATTRIBUTES).
    """
    given = dict(attributes or {})
    name = bounded(name) or "unknown"
    namespace = bounded(namespace or given.get("service.namespace") or default_namespace)
    instance = bounded(given.get("service.instance.id", ""))
    if not instance:
        instance = instance_id(host, namespace=namespace, name=name, part=part)
    return Service(
        name=name,
        namespace=namespace,
        instance_id=instance,
        attributes=sorted_attributes(
            (bounded(key), bounded(value, MAX_VALUE_LENGTH))
            for key, value in given.items()
            if key not in _OWN
        ),
    )


def _first_line(path: Path) -> str:
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[0].strip() if lines else ""
