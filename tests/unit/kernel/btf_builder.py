"""Writes small BTF blobs, the counterpart of the reader under test (Documentation/bpf/btf.rst)."""

from __future__ import annotations

import struct

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST = range(1, 11)
FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = 12, 13, 14, 15, 16, 17, 18, 19


class Blob:
    """Types are numbered from 1 in the order in which they are added."""

    def __init__(self, order: str = "<") -> None:
        self.order = order
        self._types = b""
        self._count = 0
        self._strings = b"\0"

    def string(self, text: str) -> int:
        if not text:
            return 0
        position = len(self._strings)
        self._strings += text.encode() + b"\0"
        return position

    def position(self, text: str) -> int:
        """Where a string that was added is."""
        return self._strings.index(b"\0" + text.encode() + b"\0") + 1

    def add(self, kind, name="", size_or_type=0, *, vlen=0, flag=0, tail=b"") -> int:
        info = flag << 31 | kind << 24 | vlen
        head = struct.pack(self.order + "III", self.string(name), info, size_or_type)
        self._types += head + tail
        self._count += 1
        return self._count

    def integer(self, name="int", size=4) -> int:
        return self.add(INT, name, size, tail=struct.pack(self.order + "I", size * 8))

    def array(self, element: int, count: int) -> int:
        return self.add(ARRAY, tail=struct.pack(self.order + "III", element, 0, count))

    def struct(self, name, size, *members, kind=STRUCT, bit_fields=False) -> int:
        """Members are (name, type, offset in bits) or, with bit_fields, (…, width in bits)."""
        tail = b""
        for member in members:
            offset = member[2]
            if bit_fields:
                offset |= (member[3] if len(member) > 3 else 0) << 24
            tail += struct.pack(self.order + "III", self.string(member[0]), member[1], offset)
        return self.add(kind, name, size, vlen=len(members), flag=int(bit_fields), tail=tail)

    def raw(self) -> bytes:
        header = struct.pack(
            self.order + "HBBIIIII",
            0xEB9F, 1, 0, 24, 0, len(self._types), len(self._types), len(self._strings),
        )  # fmt: skip
        return header + self._types + self._strings
