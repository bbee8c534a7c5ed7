"""Steps of the route automaton: their key, how many there may be, and changes to them.

Only what the automaton and its users share lives here: no automaton, no services.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otelauto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otelauto.abi._layout import RouteEdge, RouteStep

__all__ = [
    "ANY_SEGMENT",
    "MAX_STEPS",
    "RoutesRefusedError",
    "StepBudget",
    "Update",
    "joined",
    "segment_hash",
]

#: Steps of all services together: the size of the kernel's map route_edges (bpf/limits.h).
MAX_STEPS = 16384
#: The segment that stands for any (bpf/abi.h).
ANY_SEGMENT = 0

_FNV_OFFSET_BASIS = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MASK = (1 << 64) - 1


class RoutesRefusedError(ConfigError):
    """The patterns cannot be compiled: too many states or steps, or two segments with one hash."""


@dataclass(slots=True)
class StepBudget:
    """How many steps the kernel's map may hold and does hold, over all services.

    Attributes:
        limit: size of the map.
        used: steps in it, those that wait for their deletion included.
    """

    limit: int = MAX_STEPS
    used: int = 0

    def take(self, steps: int) -> None:
        """Counts new steps.

        Raises:
            RoutesRefusedError: they do not fit; none is counted.
        """
        if self.used + steps > self.limit:
            raise RoutesRefusedError(
                f"the routes of all services need more than {self.limit} steps",
                hint="lower routes.max_per_service, or use fewer patterns",
            )
        self.used += steps

    def give_back(self, steps: int) -> None:
        """Counts deleted steps."""
        self.used -= steps


@dataclass(frozen=True, slots=True)
class Update:
    """Changes to the kernel's maps, to be made in this order: put, root, delete.

    Attributes:
        put: steps of route_edges with their new values, in order.
        root: new root edge of the service's entry in `services`; None: unchanged.
        delete: steps that no walk can be at any more.
    """

    put: tuple[tuple[RouteStep, RouteEdge], ...] = ()
    root: RouteEdge | None = None
    delete: tuple[RouteStep, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.put or self.root is not None or self.delete)


def joined(updates: Iterable[Update]) -> Update:
    """Several updates of one service as one."""
    put: list[tuple[RouteStep, RouteEdge]] = []
    delete: list[RouteStep] = []
    root: RouteEdge | None = None
    for update in updates:
        put += update.put
        delete += update.delete
        root = update.root if update.root is not None else root
    return Update(tuple(put), root, tuple(delete))


def segment_hash(segment: bytes, seed: int) -> int:
    """FNV-1a, 64 bits, offset basis xor seed; never 0 (bpf/abi.h, struct route_step)."""
    value = _FNV_OFFSET_BASIS ^ seed
    for byte in segment:
        value = ((value ^ byte) * _FNV_PRIME) & _MASK
    return value or 1
