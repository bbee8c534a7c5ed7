"""Which processes the kernel programs look at, and the table that makes looking quick.

Only the maps targets and target_slots are written here, by the law that bpf/abi.h states: a slot
holds the only target that has it, or says that several share it and targets has to be asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelauto.abi import _layout as abi

if TYPE_CHECKING:
    from otelauto.kernel.maps import ArrayMap, HashMap

__all__ = ["TargetMaps"]


class TargetMaps:
    """The two maps, kept in step.

    The kernel adds the children of targets and removes what exits; the caller repeats the first
    and tells of the second, so that a slot which two writers wrote at the same moment is set
    right.

    Args:
        targets: the map targets.
        slots: the map target_slots.
    """

    def __init__(self, targets: HashMap, slots: ArrayMap) -> None:
        self._targets = targets
        self._slots = slots
        self._known: dict[int, dict[int, int]] = {}  # slot -> process id -> service

    def set(self, pid: int, service: int) -> None:
        """Make a process a target, or give it another service.

        Raises:
            OSError: the map is full.
        """
        self._targets.set((pid,), (service, 0))
        index = pid % abi.TARGET_SLOTS
        self._known.setdefault(index, {})[pid] = service
        self._write(index)

    def drop(self, pid: int) -> None:
        """Make a process none; one that is none already does no harm."""
        self._targets.delete((pid,))
        index = pid % abi.TARGET_SLOTS
        self._known.get(index, {}).pop(pid, None)
        self._write(index)

    def services(self) -> dict[int, int]:
        """Service id by process id, as the kernel has them."""
        return {key[0]: value[0] for key, value in self._targets.items()}

    def _write(self, index: int) -> None:
        known = self._known.get(index, {})
        if len(known) > 1:
            self._slots.set(index, (abi.TARGET_SLOT_SHARED, 0))
        elif known:
            self._slots.set(index, *known.items())
        else:
            self._known.pop(index, None)
            self._slots.set(index, (0, 0))
