"""A typed driver of the kernel's state machine on the host (host_stream.c).

An operation is what one system call moved: its bytes in one or several segments. User memory ends
where a segment ends (but for Python's zero behind it), so that a sanitizer sees what reads on.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from otelauto.abi._layout import METHODS, PATH_BYTES, Count, Fault, Role, Version

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Direction", "Exchange", "Half", "Machine", "Phase"]

#: As many exchanges may finish on one connection.
EXCHANGES = 4096


class Direction(IntEnum):
    """enum direction."""

    RECEIVED = 0
    SENT = 1


class Half(IntEnum):
    """enum half_index."""

    REQUEST = 0
    RESPONSE = 1


class Phase(IntEnum):
    """enum phase."""

    START = 0
    HEAD = 1
    LENGTH = 2
    CHUNK_SIZE = 3
    CHUNK_DATA = 4
    TRAILER = 5
    CLOSE = 6
    TUNNEL = 7
    LOST = 8


@dataclass(frozen=True, slots=True)
class Exchange:
    """A finished exchange. Times are those of operations; sizes are of bodies, in bytes."""

    method: str
    path: bytes | None
    status: int
    request_bytes: int
    response_bytes: int
    start_ns: int
    end_ns: int
    version: Version
    fault: Fault
    truncated: bool
    route: int


class Finished(ctypes.Structure):
    """struct host_exchange."""

    _fields_ = (
        ("start_ns", ctypes.c_uint64),
        ("end_ns", ctypes.c_uint64),
        ("request_bytes", ctypes.c_uint64),
        ("response_bytes", ctypes.c_uint64),
        ("route", ctypes.c_uint32),
        ("status", ctypes.c_uint16),
        ("path_len", ctypes.c_uint16),
        ("role", ctypes.c_uint8),
        ("method", ctypes.c_uint8),
        ("version", ctypes.c_uint8),
        ("fault", ctypes.c_uint8),
        ("truncated", ctypes.c_uint8),
        ("has_path", ctypes.c_uint8),
        ("_pad", ctypes.c_uint8 * 2),
        ("path", ctypes.c_uint8 * PATH_BYTES),
    )


class Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_uint64))


class Machine:
    """The state machine with the memory of one connection."""

    def __init__(self, library: Path) -> None:
        """Load the library; open() begins a connection."""
        code = ctypes.CDLL(str(library))
        code.host_operation.argtypes = (
            ctypes.c_uint32,
            ctypes.c_uint64,
            ctypes.c_uint32,
            ctypes.c_void_p,
            ctypes.c_uint32,
        )
        code.host_end.argtypes = (ctypes.c_uint32, ctypes.c_uint64, ctypes.c_uint32)
        code.host_close.argtypes = (ctypes.c_uint64, ctypes.c_uint32)
        code.host_exchange.restype = ctypes.POINTER(Finished)
        code.host_count.restype = ctypes.c_uint64
        self._code = code
        self._role = Role.NONE
        self._taken = 0
        self.steps = 0

    def open(self, role: Role = Role.SERVER) -> None:
        """Begin a new connection; nothing of the one before is left but what its memory holds."""
        self._code.host_open(role)
        self._role = role
        self._taken = 0
        self.steps = 0

    def direction(self, half: Half) -> Direction:
        """The direction in which a half of the connection goes."""
        return Direction(half ^ (self._role == Role.CLIENT))

    def operation(self, half: Half, now_ns: int, *segments: bytes) -> list[Exchange]:
        """Move bytes; returns the exchanges that end with it. `steps` is how many it took."""
        vectors = (Vector * max(len(segments), 1))()
        memory = []
        for vector, segment in zip(vectors, segments, strict=False):
            if segment:
                owned = ctypes.c_char_p(segment)
                memory.append(owned)
                vector.base = ctypes.cast(owned, ctypes.c_void_p)
            vector.len = len(segment)
        size = sum(map(len, segments))
        direction = self.direction(half)
        self.steps = self._code.host_operation(direction, now_ns, size, vectors, len(segments))
        return self._finished()

    def unseen(self, half: Half, now_ns: int, size: int) -> list[Exchange]:
        """Move bytes that nobody can look at, as sendfile does."""
        self.steps = self._code.host_operation(self.direction(half), now_ns, size, None, 0)
        return self._finished()

    def end(self, half: Half, now_ns: int, error: int = 0) -> list[Exchange]:
        """The stream ends (0), or an operation fails with this errno."""
        while self._code.host_end(self.direction(half), now_ns, error):
            pass
        return self._finished()

    def close(self, now_ns: int, fault: Fault) -> list[Exchange]:
        """The connection closes; the fault is that of requests that wait."""
        while self._code.host_close(now_ns, fault):
            pass
        return self._finished()

    def evict(self) -> None:
        """Let the maps lose what they hold of the connection."""
        self._code.host_evict()

    def refuse(self) -> None:
        """Let the maps take no new entry."""
        self._code.host_refuse(1)

    def phase(self, half: Half) -> Phase:
        """Where a half is."""
        return Phase(self._code.host_phase(half))

    @property
    def waiting(self) -> int:
        """Requests that wait for the end of their response."""
        return self._code.host_waiting()

    @property
    def collisions(self) -> int:
        """Paths that got the hash of another one."""
        return self._code.host_collisions()

    def counts(self) -> dict[Count, int]:
        """The counters that are not zero."""
        every = {count: self._code.host_count(count) for count in Count if count != Count.MAX}
        return {count: number for count, number in every.items() if number}

    def _finished(self) -> list[Exchange]:
        begin, self._taken = self._taken, self._code.host_exchanges()
        assert self._taken <= EXCHANGES
        return [_exchange(self._code.host_exchange(n)[0]) for n in range(begin, self._taken)]


def _exchange(raw: Finished) -> Exchange:
    return Exchange(
        method=METHODS[raw.method],
        path=bytes(raw.path[: raw.path_len]) if raw.has_path else None,
        status=raw.status,
        request_bytes=raw.request_bytes,
        response_bytes=raw.response_bytes,
        start_ns=raw.start_ns,
        end_ns=raw.end_ns,
        version=Version(raw.version),
        fault=Fault(raw.fault),
        truncated=bool(raw.truncated),
        route=raw.route,
    )
