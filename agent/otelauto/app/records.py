"""From the records of the kernel's event ring to the events of discovery.

Only this decoding lives here (bpf/abi.h, enum event_kind); paths are the session's own affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelauto.abi import _layout as abi
from otelauto.discovery.events import ExecEvent, ExitEvent, ForkEvent, ListenEvent

if TYPE_CHECKING:
    from otelauto.discovery.events import Event

__all__ = ["life_event", "path_event"]


def path_event(record: bytes) -> abi.PathKey | None:
    """Which path a record of EVENT_PATH tells of; None for a record of another kind.

    Raises:
        struct.error: the record has another size than its kind has.
    """
    if _kind(record) != abi.EventKind.PATH:
        return None
    event = abi.EventPath(*abi.EVENT_PATH.unpack(record))
    return abi.PathKey(event.key_hash, event.key_service)


def life_event(record: bytes) -> Event | None:
    """What happened to a process; None for a record of another kind.

    Raises:
        struct.error: the record has another size than its kind has.
    """
    kind = _kind(record)
    if kind == abi.EventKind.LISTEN:
        listen = abi.EventListen(*abi.EVENT_LISTEN.unpack(record))
        return ListenEvent(listen.pid, listen.port)
    if kind not in {abi.EventKind.EXEC, abi.EventKind.EXIT, abi.EventKind.FORK}:
        return None
    process = abi.EventProcess(*abi.EVENT_PROCESS.unpack(record))
    if kind == abi.EventKind.EXEC:
        return ExecEvent(process.pid)
    if kind == abi.EventKind.EXIT:
        return ExitEvent(process.pid)
    return ForkEvent(process.pid, process.parent, process.service)


def _kind(record: bytes) -> int:
    return abi.EventHeader(*abi.EVENT_HEADER.unpack_from(record)).kind
