"""Typed access to the kernel's maps, one class a kind of map.

Bytes and struct formats only: what a key or value means belongs to the package that owns the
format (abi). Every method may be called from any thread: nothing is shared between calls. Keys and
values go in and out as the tuples of the given ``struct.Struct``; the ``raw`` methods give bytes,
for code that reads thousands of entries and looks at few of them.

Errors of the kernel are OSError with its errno: ENOSPC or E2BIG for a full map, EBADF for a closed
one. Source: Documentation/bpf/map_hash.rst, map_array.rst.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from otelauto.kernel.bpf import MapType, map_info
from otelauto.kernel.syscalls import ENOTSUPP, Buffer, Command, bpf, buffer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ArrayMap", "HashMap", "PerCpuArray", "possible_cpus"]

#: Entries a batch call; at least the longest bucket of a hash map, which is checked by the kernel.
_BATCH_ENTRIES: Final = 512
_UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, ENOTSUPP})
_ANY, _NEW_ONLY, _EXISTING_ONLY = 0, 1, 2


def possible_cpus(root: Path = Path("/")) -> int:
    """How many values a per-CPU map has: CPUs that may ever be plugged in, not those online.

    Raises:
        OSError: without sysfs.
        ValueError: if the list is not one.
    """
    text = (root / "sys/devices/system/cpu/possible").read_text().strip()
    return max(int(part.rpartition("-")[2]) for part in text.split(",")) + 1


class _Map:
    """A map's descriptor, which somebody else owns, and its sizes."""

    #: What the kernel copies for an element depends on it: a wrong one would overrun our buffers.
    _types: ClassVar[frozenset[int]]

    def __init__(self, fd: int, *, key_size: int, value_size: int) -> None:
        self.fd = fd
        info = map_info(fd)
        if info.type not in self._types:
            raise ValueError(
                f"map {info.name} has type {info.type}: not for {type(self).__name__}"
            )
        if (info.key_size, info.value_size) != (key_size, value_size):
            raise ValueError(
                f"map {info.name}: key and value have {info.key_size} and {info.value_size} bytes "
                f"in the kernel, {key_size} and {value_size} here"
            )
        self.name = info.name
        self.max_entries = info.max_entries
        self._key_size = key_size
        self._value_size = value_size

    def _lookup(self, key: bytes, size: int) -> bytes | None:
        value = buffer(size)
        try:
            self._element(Command.MAP_LOOKUP_ELEM, key, value)
        except FileNotFoundError:
            return None
        return value.raw

    def _update(self, key: bytes, value: bytes, mode: int) -> None:
        self._element(Command.MAP_UPDATE_ELEM, key, buffer(value), mode)

    def _element(
        self, command: Command, key: bytes, value: Buffer | None = None, mode: int = 0
    ) -> None:
        place = buffer(key)
        attr = struct.pack(
            "=IIQQQ",
            self.fd,
            0,
            ctypes.addressof(place),
            0 if value is None else ctypes.addressof(value),
            mode,
        )
        bpf(command, buffer(attr), what=self.name)


class HashMap(_Map):
    """A hash map, LRU or not, with one value a key.

    Args:
        fd: the map; stays the caller's.
        key: format of the keys.
        value: format of the values.

    Raises:
        ValueError: if the map is of another type, or the formats' sizes are not its.
    """

    _types = frozenset({MapType.HASH, MapType.LRU_HASH})

    def __init__(self, fd: int, key: struct.Struct, value: struct.Struct) -> None:
        super().__init__(fd, key_size=key.size, value_size=value.size)
        self._key = key
        self._value = value

    def get(self, key: Sequence[Any]) -> tuple[Any, ...] | None:
        """The value, None if there is none."""
        raw = self._lookup(self._key.pack(*key), self._value_size)
        return None if raw is None else self._value.unpack(raw)

    def set(self, key: Sequence[Any], value: Sequence[Any]) -> None:
        """Insert or replace."""
        self._update(self._key.pack(*key), self._value.pack(*value), _ANY)

    def add(self, key: Sequence[Any], value: Sequence[Any]) -> bool:
        """Insert; False if the key exists, which is left alone."""
        try:
            self._update(self._key.pack(*key), self._value.pack(*value), _NEW_ONLY)
        except FileExistsError:
            return False
        return True

    def replace(self, key: Sequence[Any], value: Sequence[Any]) -> bool:
        """Replace; False if the key does not exist."""
        try:
            self._update(self._key.pack(*key), self._value.pack(*value), _EXISTING_ONLY)
        except FileNotFoundError:
            return False
        return True

    def delete(self, key: Sequence[Any]) -> bool:
        """Remove; False if there was nothing."""
        return self.delete_raw(self._key.pack(*key))

    def delete_raw(self, key: bytes) -> bool:
        """Remove by the key's bytes; False if there was nothing."""
        try:
            self._element(Command.MAP_DELETE_ELEM, key)
        except FileNotFoundError:
            return False
        return True

    def take_raw(self, key: bytes) -> bytes | None:
        """Remove by the key's bytes and give the last value; None if there was nothing.

        Increments by a program that looked the entry up just before its removal are lost.
        """
        value = buffer(self._value_size)
        try:
            self._element(Command.MAP_LOOKUP_AND_DELETE_ELEM, key, value)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            # Hash maps have it since Linux 5.14.
            found = self._lookup(key, self._value_size)
            return found if self.delete_raw(key) else None
        return value.raw

    def items(self) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """Every entry; see raw_items()."""
        for key, value in self.raw_items():
            yield self._key.unpack(key), self._value.unpack(value)

    def raw_items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every entry as bytes, each key at most once.

        Entries that appear or vanish meanwhile may or may not be among them. Values are copied
        while programs write to them: a value may be some increments behind, never torn within one
        of its 4- or 8-byte members.
        """
        yield from self._walk(Command.MAP_LOOKUP_BATCH)

    def drain(self) -> Iterator[tuple[bytes, bytes]]:
        """Every entry as bytes, removed from the map.

        Increments by a program that looked an entry up just before its removal are lost: only for
        entries that no program updates any more.
        """
        yield from self._walk(Command.MAP_LOOKUP_AND_DELETE_BATCH)

    def _walk(self, command: Command) -> Iterator[tuple[bytes, bytes]]:
        entries = _BATCH_ENTRIES
        token: bytes | None = None
        while True:
            try:
                items, token, complete = self._batch(command, token, entries)
            except OSError as error:
                if error.errno == errno.ENOSPC:  # a bucket longer than the buffers
                    entries *= 2
                    continue
                if error.errno in _UNSUPPORTED and token is None:
                    yield from self._walk_singly(remove=command != Command.MAP_LOOKUP_BATCH)
                    return
                raise
            yield from items
            if complete:
                return

    def _batch(
        self, command: Command, token: bytes | None, entries: int
    ) -> tuple[list[tuple[bytes, bytes]], bytes, bool]:
        keys = buffer(entries * self._key_size)
        values = buffer(entries * self._value_size)
        following = buffer(max(self._key_size, 4))
        start = buffer(token) if token is not None else None
        attr = buffer(
            struct.pack(
                "=QQQQIIQQ",
                0 if start is None else ctypes.addressof(start),
                ctypes.addressof(following),
                ctypes.addressof(keys),
                ctypes.addressof(values),
                entries,
                self.fd,
                0,
                0,
            )
        )
        complete = False
        try:
            bpf(command, attr, what=self.name)
        except FileNotFoundError:
            complete = True
        (count,) = struct.unpack_from("=I", attr, 32)
        key_size, value_size = self._key_size, self._value_size
        all_keys = memoryview(keys).cast("B")
        all_values = memoryview(values).cast("B")
        items = [
            (
                all_keys[key_size * index : key_size * (index + 1)].tobytes(),
                all_values[value_size * index : value_size * (index + 1)].tobytes(),
            )
            for index in range(count)
        ]
        return items, following.raw, complete

    def _walk_singly(self, *, remove: bool) -> Iterator[tuple[bytes, bytes]]:
        """Two calls an entry, for kernels before 5.6."""
        for key in self._keys():
            value = self._lookup(key, self._value_size)
            if value is None:
                continue
            if remove and not self.delete_raw(key):
                continue
            yield key, value

    def _keys(self) -> list[bytes]:
        # A key that vanishes makes the kernel start again at the first: seen ones are skipped, and
        # the walk is bounded.
        seen: dict[bytes, None] = {}
        key: bytes | None = None
        for _ in range(2 * self.max_entries + 1):
            following = buffer(self._key_size)
            place = buffer(key) if key is not None else None
            attr = struct.pack(
                "=IIQQQ",
                self.fd,
                0,
                0 if place is None else ctypes.addressof(place),
                ctypes.addressof(following),
                0,
            )
            try:
                bpf(Command.MAP_GET_NEXT_KEY, buffer(attr), what=self.name)
            except FileNotFoundError:
                break
            key = following.raw
            seen[key] = None
        return list(seen)


class ArrayMap(_Map):
    """An array: indices 0 to max_entries - 1 always exist.

    Args:
        fd: the map; stays the caller's.
        value: format of the values.

    Raises:
        ValueError: if the map is of another type, or the format's size is not its.
    """

    _types = frozenset({MapType.ARRAY})

    def __init__(self, fd: int, value: struct.Struct) -> None:
        super().__init__(fd, key_size=4, value_size=value.size)
        self._value = value

    def get(self, index: int) -> tuple[Any, ...]:
        """The value.

        Raises:
            IndexError: beyond the end.
        """
        raw = self._lookup(struct.pack("=I", index), self._value_size)
        if raw is None:
            raise IndexError(f"map {self.name} has {self.max_entries} entries, not {index + 1}")
        return self._value.unpack(raw)

    def set(self, index: int, value: Sequence[Any]) -> None:
        """Replace the value; programs may see old and new members mixed for a moment."""
        try:
            self._update(struct.pack("=I", index), self._value.pack(*value), _ANY)
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            raise IndexError(
                f"map {self.name} has {self.max_entries} entries, not {index + 1}"
            ) from None


class PerCpuArray(_Map):
    """An array with one value a CPU.

    Args:
        fd: the map; stays the caller's.
        value: format of one CPU's value.
        cpus: possible_cpus(); None to ask.

    Raises:
        ValueError: if the map is of another type, the format's size is not its, or there are more
            possible CPUs.
    """

    _types = frozenset({MapType.PERCPU_ARRAY})

    def __init__(self, fd: int, value: struct.Struct, *, cpus: int | None = None) -> None:
        super().__init__(fd, key_size=4, value_size=value.size)
        self._value = value
        possible = possible_cpus()
        if cpus is not None and cpus < possible:
            raise ValueError(f"{possible} CPUs are possible, not {cpus}")
        self._cpus = possible
        self._stride = (value.size + 7) // 8 * 8

    def get(self, index: int) -> tuple[tuple[Any, ...], ...]:
        """The value of every possible CPU, by number.

        Raises:
            IndexError: beyond the end.
        """
        raw = self._lookup(struct.pack("=I", index), self._stride * self._cpus)
        if raw is None:
            raise IndexError(f"map {self.name} has {self.max_entries} entries, not {index + 1}")
        return tuple(self._value.unpack_from(raw, cpu * self._stride) for cpu in range(self._cpus))

    def total(self, index: int) -> tuple[int, ...]:
        """The sum over CPUs, member by member.

        Raises:
            IndexError: beyond the end.
        """
        return tuple(map(sum, zip(*self.get(index), strict=True)))

    def totals(self) -> list[tuple[int, ...]]:
        """total() of every index."""
        return [self.total(index) for index in range(self.max_entries)]
