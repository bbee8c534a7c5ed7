"""Writes agent/otelauto/abi/_layout.py from bpf/abi.h.

Only the generator lives here. It reads the small C subset that abi.h allows itself (see the rules
at the top of that file) and refuses everything else, so that a type it does not know cannot slip
through. Run with ``--check`` it compares instead of writing and fails if the file is stale.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "bpf" / "abi.h"
OUTPUT = ROOT / "agent" / "otelauto" / "abi" / "_layout.py"
SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "s32": 4, "s64": 8, "char": 1}
CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "s32": "i", "s64": "q"}
PYTHON_KEYWORDS = {"None"}

Member = tuple[str, str, int, int]  # name, type, count (0: scalar), offset


class HeaderError(Exception):
    """abi.h holds something that its own rules forbid."""


def strip_comments(text: str) -> str:
    """The text without its // comments, the only ones that abi.h has."""
    return re.sub(r"//[^\n]*", "", text)


def comments_of(text: str, enum: str) -> dict[str, str]:
    """The comment behind each enumerator: help texts of the counters are taken from there."""
    block = re.search(rf"enum {enum} \{{(.*?)\}};", text, re.DOTALL)
    if block is None:
        raise HeaderError(f"no enum {enum}")
    found = re.findall(r"^\s*(\w+) = \d+,\s*//\s*(.*)$", block.group(1), re.MULTILINE)
    return {name: re.sub(r"^.*?struct \w+: ", "", comment) for name, comment in found}


def constants(text: str) -> dict[str, int]:
    """The macros that are plain numbers."""
    return {k: int(v) for k, v in re.findall(r"^#define (\w+) (\d+)\s*$", text, re.MULTILINE)}


def enums(text: str) -> dict[str, dict[str, int]]:
    """The enumerators of each enum but the methods, which are a list of their own."""
    result: dict[str, dict[str, int]] = {}
    for name, body in re.findall(r"enum (\w+) \{(.*?)\};", text, re.DOTALL):
        if name == "method":
            continue
        members = re.findall(r"(\w+) = (\d+)", body)
        left = re.sub(r"\w+ = \d+\s*,?", "", body).strip()
        if left:
            raise HeaderError(f"enum {name}: values must be written out: {left!r}")
        result[name] = {k: int(v) for k, v in members}
    return result


def evaluate(expression: str, known: dict[str, int]) -> int:
    """The value of sums and products of numbers and known constants."""
    if not re.fullmatch(r"[\w\s+*()]+", expression):
        raise HeaderError(f"cannot evaluate {expression!r}")
    names = {name: known[name] for name in re.findall(r"[A-Za-z_]\w*", expression)}
    return int(eval(expression, {"__builtins__": {}}, names))  # noqa: S307 - checked just above


def structs(text: str, known: dict[str, int]) -> dict[str, tuple[int, list[Member]]]:
    """Size and members of each struct; a struct may hold those above it.

    Raises:
        HeaderError: a struct has hidden padding, or does not assert its size.
    """
    done: dict[str, tuple[int, list[Member]]] = {}
    for name, body in re.findall(r"^struct (\w+) \{(.*?)^\};", text, re.DOTALL | re.MULTILINE):
        offset, members, alignment = 0, [], 1
        for line in filter(None, (part.strip() for part in body.split(";"))):
            match = re.fullmatch(r"(struct \w+|\w+) (\w+)(?:\[(\w+)\])?", line)
            if match is None:
                raise HeaderError(f"struct {name}: cannot read {line!r}")
            kind, member, count = match.groups()
            kind = kind.removeprefix("struct ")
            size = SIZES[kind] if kind in SIZES else done[kind][0]
            align = size if kind in SIZES else 8 if size % 8 == 0 else 4
            if offset % align:
                raise HeaderError(f"struct {name}.{member}: hidden padding at {offset}")
            number = 0 if count is None else known.get(count) or int(count)
            members.append((member, kind, number, offset))
            offset += size * (number or 1)
            alignment = max(alignment, align)
        if offset % alignment:
            raise HeaderError(f"struct {name}: hidden padding at its end ({offset})")
        stated = re.search(
            rf"_Static_assert\(sizeof\(struct {name}\) == (.*?),\s*\"", text, re.DOTALL
        )
        if stated is None or evaluate(stated.group(1), known) != offset:
            raise HeaderError(f"struct {name}: the assertion of its size is missing or wrong")
        done[name] = (offset, members)
    return done


def camel(name: str) -> str:
    """event_kind -> EventKind."""
    return "".join(part.capitalize() for part in name.split("_"))


def render_enum(name: str, members: dict[str, int]) -> list[str]:
    """The lines of an IntEnum."""
    prefix = f"{name.upper()}_"
    if name == "event_kind":
        prefix = "EVENT_"
    lines = [f"class {camel(name)}(IntEnum):", f'    """enum {name}."""', ""]
    for key, value in members.items():
        short = key.removeprefix(prefix)
        lines.append(f"    {short + '_' if short in PYTHON_KEYWORDS else short} = {value}")
    return [*lines, "", ""]


def flat(
    name: str, all_structs: dict[str, tuple[int, list[Member]]]
) -> tuple[str, list[tuple[str, str]]]:
    """The struct format, and (field, annotation) of the values it yields, without padding."""
    code, fields = "", []
    for member, kind, count, _offset in all_structs[name][1]:
        if member.startswith("_pad"):
            code += f"{SIZES[kind] * (count or 1)}x"
        elif kind in SIZES and count and kind in {"u8", "char"}:
            code += f"{count}s"
            fields.append((member, "bytes"))
        elif kind in SIZES and count:
            code += f"{count}{CODES[kind]}"
            fields += [(f"{member}[{i}]", "int") for i in range(count)]
        elif kind in SIZES:
            code += CODES[kind]
            fields.append((member, "int"))
        else:
            inner_code, inner_fields = flat(kind, all_structs)
            code += inner_code
            fields += [(f"{member}_{field}", annotation) for field, annotation in inner_fields]
    return code, fields


def render_struct(name: str, all_structs: dict[str, tuple[int, list[Member]]]) -> list[str]:
    """The lines of a struct's format, its offsets, and a tuple with names or slices."""
    size, members = all_structs[name]
    code, fields = flat(name, all_structs)
    upper = name.upper()
    lines = [
        f"#: struct {name}, {size} bytes.",
        f'{upper} = Struct("={code}")',
        f"{upper}_OFFSETS: Final = {{",
        *(f'    "{member}": {offset},' for member, _k, _c, offset in members),
        "}",
    ]
    if not any("[" in field for field, _ in fields):
        lines += [
            "",
            "",
            f"class {camel(name)}(NamedTuple):",
            f'    """struct {name}, in the order of {upper}."""',
            "",
        ]
        lines += [f"    {field}: {annotation}" for field, annotation in fields]
    else:
        arrays, index = [], 0
        for member, kind, count, _offset in members:
            if member.startswith("_pad"):
                continue
            width = count if kind in CODES and count and kind != "u8" else 1
            arrays.append(f'    "{member}": slice({index}, {index + width}),')
            index += width
        lines += [
            f"#: Where each member is in the tuple that {upper} unpacks.",
            f"{upper}_SLICES: Final = {{",
            *arrays,
            "}",
        ]
    return [*lines, "", ""]


def render() -> str:
    """The whole text of the generated module."""
    raw = HEADER.read_text()
    text = strip_comments(raw)
    known = constants(text)
    all_structs = structs(text, known)
    methods = re.findall(r'X\((\d+), \w+, "([A-Z-]+)"\)', raw)
    if [int(i) for i, _ in methods] != list(range(1, len(methods) + 1)):
        raise HeaderError("method ids must be 1, 2, 3, ...")
    out = [
        (
            '"""Layout of the kernel-user contract. GENERATED from bpf/abi.h by `make generate`: '
            'do not edit."""'
        ),
        "",
        "from __future__ import annotations",
        "",
        "from enum import IntEnum",
        "from struct import Struct",
        "from typing import Final, NamedTuple",
        "",
        f'ABI_SHA256: Final = "{hashlib.sha256(raw.encode()).hexdigest()}"',
        "",
        *(f"{key}: Final = {value}" for key, value in known.items()),
        "",
        "#: Index: enum method.",
        "METHODS: Final = (",
        '    "_OTHER",',
        *(f'    "{text}",' for _, text in methods),
        ")",
        "",
        "",
    ]
    for name, members in enums(text).items():
        out += render_enum(name, members)
    out += ["#: Help texts of the counters.", "COUNT_HELP: Final = {"]
    out += [
        f'    Count.{k.removeprefix("COUNT_")}: "{v}",'
        for k, v in comments_of(raw, "count").items()
    ]
    out += ["}", ""]
    out += [
        "#: Keys and values that are plain numbers, and the key of the kernel's map methods.",
        'U32 = Struct("=I")',
        'U64 = Struct("=Q")',
        'METHOD_TEXT = Struct(f"={METHOD_BYTES}s")',
        "",
        "",
    ]
    for name in all_structs:
        out += render_struct(name, all_structs)
    out += ["#: Size of every struct, for the handshake at load time.", "SIZES: Final = {"]
    out += [f'    "{name}": {size},' for name, (size, _) in all_structs.items()]
    out += ["}", ""]
    return "\n".join(out)


def main() -> int:
    """Writes the module, or compares it; the exit code is the result."""
    new = render()
    if "--check" in sys.argv[1:]:
        if OUTPUT.read_text() != new:
            sys.stderr.write(f"{OUTPUT.relative_to(ROOT)} is stale: run make generate\n")
            return 1
        return 0
    OUTPUT.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
