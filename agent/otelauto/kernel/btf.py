"""Offsets and sizes of kernel structures, from the running kernel's own type information.

Only the reader of the format lives here (BTF, Documentation/bpf/btf.rst); which members are wanted
is the table in layout.py. The file has 130,000 types and 5 MB: they are walked once, nothing but
the position of each type is kept, and the memory goes back to the system.

A member that is not there, that does not start at a byte, or that two structures of the same name
have at different places, is absent from the result: never a guess.
"""

from __future__ import annotations

import mmap
import re
import struct
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otelauto.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["VMLINUX", "Btf", "offsets"]

VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")

_MAGIC: Final = 0xEB9F
_MOST_BYTES: Final = 256 << 20
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM = 1, 2, 3, 4, 5, 6
_MODIFIERS: Final = frozenset({8, 9, 10, 11, 18})  # typedef, volatile, const, restrict, type tag
_COMPOUND: Final = frozenset({_STRUCT, _UNION})
_SIZED: Final = frozenset({_INT, _STRUCT, _UNION, _ENUM, 16, 19})  # and float, enum64
#: Bytes that follow a type: constant by kind, and for each of its vlen entries.
_FIXED: Final = (0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 4, 0, 0)
_EACH: Final = (0, 0, 0, 0, 12, 12, 8, 0, 0, 0, 0, 0, 0, 8, 0, 12, 0, 0, 0, 12)
_DEEPEST: Final = 64
_STEP: Final = re.compile(r"([A-Za-z_][A-Za-z_0-9]*)((?:\[\d+\])*)")
_REMEDY: Final = "set ebpf.headers to kernel and install the headers of the running kernel"


def offsets(wanted: Mapping[str, tuple[str, str]], *, path: Path = VMLINUX) -> dict[str, int]:
    """Offsets in bytes, by the same keys.

    Args:
        wanted: (structure, path of members such as "numbers[0].nr"); with an empty path, the size
            of the structure is meant.
        path: the kernel's type information.

    Returns:
        Only what was found.

    Raises:
        LoadError: no such file, or one that is not BTF.
    """
    try:
        # An anonymous mapping, not bytes: all of it is given back when it is closed.
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if not 24 <= size <= _MOST_BYTES:
                raise _broken(path, f"it has {size} bytes")
            file.seek(0)
            with mmap.mmap(-1, size) as memory:
                view = memoryview(memory)
                try:
                    got = file.readinto(view)
                finally:
                    view.release()
                if got != size:
                    raise _broken(path, f"only {got} of {size} bytes could be read")
                return Btf(memory, {name for name, _ in wanted.values()}, path=path).find(wanted)
    except OSError as error:
        raise LoadError(f"cannot read {path}: {error.strerror}", hint=_REMEDY) from error


def _broken(path: Path, why: str) -> LoadError:
    return LoadError(f"{path} is not the kernel's type information: {why}", hint=_REMEDY)


class Btf:
    """The types of one BTF blob.

    Args:
        raw: the blob; must stay open while this is used.
        names: the structures and unions that find() will be asked for.
        path: where it is from, for errors.

    Raises:
        LoadError: if it is not BTF, or cut, or has a kind of type that is not known.
    """

    def __init__(self, raw: mmap.mmap | bytes, names: set[str], *, path: Path = VMLINUX) -> None:
        self._raw = raw
        self._path = path
        self._positions = array("I", [0])  # type 0 is void
        self._structs: dict[str, list[int]] = {name: [] for name in names}
        try:
            self._read()
        except (struct.error, IndexError) as error:
            raise _broken(path, f"it ends in the middle ({error})") from error

    def find(self, wanted: Mapping[str, tuple[str, str]]) -> dict[str, int]:
        """See offsets().

        Raises:
            LoadError: if a type refers to one that does not exist.
        """
        found: dict[str, int] = {}
        try:
            for key, (name, path) in wanted.items():
                results = {
                    self._size(type_id, 0) if not path else self._offset(type_id, path)
                    for type_id in self._structs.get(name, ())
                } - {None}
                if len(results) == 1:
                    found[key] = results.pop() or 0
        except (struct.error, IndexError) as error:
            raise _broken(self._path, f"a type is cut or missing ({error})") from error
        return found

    def _read(self) -> None:
        raw = self._raw
        order = "<" if raw[:2] == b"\x9f\xeb" else ">"
        magic, version, _, header = struct.unpack_from(order + "HBBI", raw)
        types, types_bytes, strings, strings_bytes = struct.unpack_from(order + "4I", raw, 8)
        if magic != _MAGIC or version != 1:
            raise _broken(self._path, f"it starts with {magic:#06x}, version {version}")
        start, strings = header + types, header + strings
        end, strings_end = start + types_bytes, strings + strings_bytes
        if max(end, strings_end) > len(raw):
            raise _broken(self._path, "it is cut")
        self._three = struct.Struct(order + "III").unpack_from
        self._strings = strings, strings_end
        self._walk(start, end, self._name_offsets())

    def _name_offsets(self) -> dict[int, str]:
        """Where the wanted names are in the strings; a name may be the tail of another string."""
        start, end = self._strings
        found: dict[int, str] = {}
        for name in self._structs:
            text = name.encode() + b"\0"
            at = self._raw.find(text, start, end)
            while at >= 0:
                found[at - start] = name
                at = self._raw.find(text, at + 1, end)
        return found

    def _walk(self, position: int, end: int, names: dict[int, str]) -> None:
        raw, three, positions = self._raw, self._three, self._positions
        fixed, each, append = _FIXED, _EACH, self._positions.append
        while position < end:
            name, info, _ = three(raw, position)
            kind = info >> 24 & 0x1F
            if kind >= len(fixed) or kind == 0:
                raise _broken(self._path, f"type {len(positions)} has the unknown kind {kind}")
            if name in names and kind in _COMPOUND and info & 0xFFFF:
                self._structs[names[name]].append(len(positions))
            append(position)
            position += 12 + fixed[kind] + each[kind] * (info & 0xFFFF)
        if position != end:
            raise _broken(self._path, "its last type is cut")

    def _type(self, type_id: int) -> tuple[int, int, int, int]:
        """(kind, info, size or type, position), typedefs and qualifiers removed."""
        for _ in range(_DEEPEST):
            position = self._positions[type_id]
            if not type_id:
                return 0, 0, 0, 0
            _, info, size_or_type = self._three(self._raw, position)
            kind = info >> 24 & 0x1F
            if kind not in _MODIFIERS:
                return kind, info, size_or_type, position
            type_id = size_or_type
        raise _broken(self._path, f"type {type_id} refers to itself")

    def _size(self, type_id: int, depth: int) -> int | None:
        kind, _, size, position = self._type(type_id)
        if kind == _PTR:
            return 8
        if kind in _SIZED:
            return int(size)
        if kind == _ARRAY and depth < _DEEPEST:
            element, _, count = self._three(self._raw, position + 12)
            inner = self._size(element, depth + 1)
            return None if inner is None else inner * count
        return None

    def _offset(self, type_id: int, path: str) -> int | None:
        total = 0
        for step in path.split("."):
            match = _STEP.fullmatch(step)
            if match is None:
                raise ValueError(f"{path!r} is no path of members")
            member = self._member(type_id, match[1], set())
            if member is None:
                return None
            offset, type_id = member
            total += offset
            for index in re.findall(r"\d+", match[2]):
                element = self._element(type_id, int(index))
                if element is None:
                    return None
                offset, type_id = element
                total += offset
        return total

    def _member(self, type_id: int, name: str, seen: set[int]) -> tuple[int, int] | None:
        """(offset, type) of a member, those of nameless inner structures included."""
        kind, info, _, position = self._type(type_id)
        if kind not in _COMPOUND or position in seen or len(seen) > _DEEPEST:
            return None
        seen.add(position)
        for name_offset, member_type, bits in self._members(info, position):
            if name_offset:
                if self._named(name_offset, name):
                    return None if bits % 8 else (bits // 8, member_type)
                continue
            inner = self._member(member_type, name, seen)
            if inner is not None and bits % 8 == 0:
                return bits // 8 + inner[0], inner[1]
        return None

    def _members(self, info: int, position: int) -> Iterator[tuple[int, int, int]]:
        has_bit_fields = info >> 31
        for index in range(info & 0xFFFF):
            name, type_id, bits = self._three(self._raw, position + 12 + 12 * index)
            if has_bit_fields:
                width, bits = bits >> 24, bits & 0xFFFFFF
                if width % 8:  # a part of a byte has no offset
                    bits |= 1
            yield name, type_id, bits

    def _element(self, type_id: int, index: int) -> tuple[int, int] | None:
        kind, _, _, position = self._type(type_id)
        if kind != _ARRAY:
            return None
        element, _, count = self._three(self._raw, position + 12)
        size = self._size(element, 0)
        # A flexible array has no count (or 1, in old style): its first element is sure.
        if size is None or (index and index >= count):
            return None
        return index * size, element

    def _named(self, offset: int, name: str) -> bool:
        start, end = self._strings
        text = name.encode() + b"\0"
        at = start + offset
        return at + len(text) <= end and self._raw[at : at + len(text)] == text
