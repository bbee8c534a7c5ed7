"""The services that have targets now, each identity with one set of attributes.

Only this bookkeeping lives here.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otelauto.model import Service

__all__ = ["ServiceTable"]


class ServiceTable:
    """Makes equal identities equal values.

    Two processes of one service may say different things of themselves (a rolling update of
    service.version). Two resources with the same name and instance would be two writers of the
    same series, so the attributes of the first process count while any of them lives.
    """

    __slots__ = ("_by_identity", "_holders")

    def __init__(self) -> None:
        self._by_identity: dict[tuple[str, str, str], Service] = {}
        self._holders: Counter[Service] = Counter()

    def canonical(self, service: Service, own: Service | None = None) -> Service:
        """The value that stands for this identity.

        Args:
            service: a new value.
            own: what the asking process holds now; if nobody else holds it, it may be replaced.
        """
        known = self._by_identity.get(_identity(service))
        if known is None or (known == own and self._holders[known] == 1):
            return service
        return known

    def hold(self, service: Service) -> None:
        """Counts one more process of a service."""
        self._by_identity[_identity(service)] = service
        self._holders[service] += 1

    def release(self, service: Service) -> None:
        """Counts one process less; the last one takes the identity with it."""
        self._holders[service] -= 1
        if self._holders[service] > 0:
            return
        del self._holders[service]
        if self._by_identity.get(_identity(service)) == service:
            del self._by_identity[_identity(service)]


def _identity(service: Service) -> tuple[str, str, str]:
    return service.namespace, service.name, service.instance_id
