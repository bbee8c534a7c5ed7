"""Finished kernel programs: the instructions that BCC made, and the maps that they use.

From an image the programs can be loaded again without BCC, LLVM or a child, which spares a second
of CPU at each start. Only the value, its JSON form and the loading live here; where images are
kept is told in ``image_store``.
"""

from __future__ import annotations

import base64
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otelauto.kernel.bpf import MapInfo, MapType, ProgramType, create_map, load_program, map_info

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Image", "MapSpecification", "ProgramImage", "image_text", "load_image", "parse_image"]

_INSTRUCTION_BYTES: Final = 8
_IMMEDIATE: Final = 4


@dataclass(frozen=True, slots=True)
class MapSpecification:
    """From which a map is made."""

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


@dataclass(frozen=True, slots=True)
class ProgramImage:
    """A program.

    Attributes:
        name: as in LoadRequest.
        type: a ProgramType.
        code: instructions, with 0 where a map's descriptor has to be.
        uses: offset of such an instruction, and the index of the map.
    """

    name: str
    type: int
    code: bytes
    uses: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Image:
    """All programs of one load, and all maps that they use."""

    maps: tuple[MapSpecification, ...]
    programs: tuple[ProgramImage, ...]


def parse_image(raw: Any) -> Image:
    """The image in parsed JSON.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    maps = tuple(
        MapSpecification(str(one["name"]), *(int(one[key]) for key in _NUMBERS))
        for one in raw["maps"]
    )
    programs = tuple(
        ProgramImage(
            name=str(one["name"]),
            type=int(one["type"]),
            code=base64.b64decode(one["code"], validate=True),
            uses=tuple((int(at), int(number)) for at, number in one["uses"]),
        )
        for one in raw["programs"]
    )
    for program in programs:
        size = len(program.code)
        if size % _INSTRUCTION_BYTES:
            raise ValueError(f"program {program.name} ends in the middle of an instruction")
        for at, number in program.uses:
            if not (0 <= at <= size - _INSTRUCTION_BYTES and 0 <= number < len(maps)):
                raise ValueError(f"program {program.name} uses a map that is not there")
    return Image(maps, programs)


_NUMBERS: Final = ("type", "key_size", "value_size", "max_entries", "flags")


def image_text(image: Image) -> dict[str, Any]:
    """The image as JSON can have it."""
    return {
        "maps": [
            {"name": one.name, **{key: getattr(one, key) for key in _NUMBERS}}
            for one in image.maps
        ],
        "programs": [
            {
                "name": one.name,
                "type": one.type,
                "code": base64.b64encode(one.code).decode(),
                "uses": [list(use) for use in one.uses],
            }
            for one in image.programs
        ],
    }


def load_image(image: Image, names: Sequence[str]) -> tuple[dict[str, int], Mapping[str, MapInfo]]:
    """Make the maps and load the programs.

    Args:
        image: see Image.
        names: of the maps to return; the others live as long as the programs that use them.

    Returns:
        Descriptors of the programs by name, and the maps, which are the caller's to close.

    Raises:
        OSError: the kernel refused one; nothing is left open.
        KeyError: a map is not in the image.
    """
    maps: dict[str, int] = {}
    programs: dict[str, int] = {}
    try:
        for one in image.maps:
            maps[one.name] = _make(one)
        order = [maps[one.name] for one in image.maps]
        for program in image.programs:
            programs[program.name] = load_program(
                ProgramType(program.type), _linked(program, order), name=program.name
            )
        wanted = {name: map_info(maps[name]) for name in names}
    except BaseException:
        _close([*programs.values(), *maps.values()])
        raise
    _close([fd for name, fd in maps.items() if name not in wanted])
    return programs, wanted


def _make(one: MapSpecification) -> int:
    return create_map(
        MapType(one.type),
        key_size=one.key_size,
        value_size=one.value_size,
        max_entries=one.max_entries,
        flags=one.flags,
        name=one.name,
    )


def _linked(program: ProgramImage, maps: Sequence[int]) -> bytes:
    code = bytearray(program.code)
    for at, number in program.uses:
        struct.pack_into("=i", code, at + _IMMEDIATE, maps[number])
    return bytes(code)


def _close(descriptors: Sequence[int]) -> None:
    for fd in descriptors:
        os.close(fd)
