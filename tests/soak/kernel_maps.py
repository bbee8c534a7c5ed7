"""How many entries the hash maps of the kernel hold. Only readings live here."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from tests.live.gate import bpf_syscall

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["entries"]

_GET_NEXT_KEY, _GET_FD_BY_ID = 4, 14
#: Hash, per-CPU hash, and both with the oldest replaced; of an array all entries always exist.
_COUNTED_TYPES = frozenset({1, 5, 9, 10})


def entries(map_ids: Iterable[int]) -> dict[int, int]:
    """The number of keys of each of these maps that is a hash and still exists."""
    found = {}
    for number in map_ids:
        try:
            descriptor = bpf_syscall(
                _GET_FD_BY_ID, ctypes.create_string_buffer(struct.pack("=III", number, 0, 0), 12)
            )
        except FileNotFoundError:
            continue
        try:
            lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
            facts = dict(line.split(":", 1) for line in lines if ":" in line)
            if int(facts["map_type"]) in _COUNTED_TYPES:
                size, limit = int(facts["key_size"]), int(facts["max_entries"])
                found[number] = _keys(descriptor, size, limit)
        finally:
            os.close(descriptor)
    return found


def _keys(descriptor: int, size: int, limit: int) -> int:
    """Walk the keys; a map that changes meanwhile may start anew, hence the limit."""
    here, after = ctypes.create_string_buffer(size), ctypes.create_string_buffer(size)
    for number in range(limit):
        address = ctypes.addressof(here) if number else 0
        request = struct.pack("=IIQQ", descriptor, 0, address, ctypes.addressof(after))
        try:
            bpf_syscall(_GET_NEXT_KEY, ctypes.create_string_buffer(request, 24))
        except FileNotFoundError:
            return number
        here[:] = after[:]
    return limit
