"""From the text of /proc/PID/cgroup to the systemd unit that a process belongs to.

Only the parser lives here: bytes in, a value out, no I/O (cgroups(7), systemd.unit(5)).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Place", "parse_cgroup"]

_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})")
_UNIT_SUFFIXES = (".service", ".scope")


@dataclass(frozen=True, slots=True)
class Place:
    r"""Where the service manager, or managers, put a process.

    Attributes:
        unit: the innermost .service or .scope of its path, with escapes such as \x2d decoded:
            "nginx.service", "session-3.scope", "docker-<id>.scope". A service inside a booted
            container (systemd-nspawn, LXC) is that container's unit, since that names the program.
        machine: the container that was booted around the unit, such as "machine-web1.scope" or
            "systemd-nspawn@web1.service"; empty on the host itself. It tells apart the same unit
            of two containers on one host.
    """

    unit: str = ""
    machine: str = ""


def parse_cgroup(content: bytes) -> Place:
    """Finds the unit in any layout: unified, hybrid or legacy.

    The unified hierarchy ("0::/...") and systemd's own ("1:name=systemd:/...") come first; the
    controllers follow, for hosts that mount only those. The first path with a unit decides.

    Args:
        content: /proc/PID/cgroup; anything that is no line of it is skipped.
    """
    for _, path in sorted(_hierarchies(content), key=lambda item: item[0]):
        place = _place(path)
        if place.unit:
            return place
    return Place()


def _hierarchies(content: bytes) -> list[tuple[int, str]]:
    found = []
    for line in content.split(b"\n"):
        number, _, rest = line.partition(b":")
        controllers, colon, path = rest.partition(b":")
        if not colon or not number.isdigit():
            continue
        order = 2
        if number == b"0" and not controllers:
            order = 0
        elif controllers == b"name=systemd":
            order = 1
        found.append((order, path.decode("utf-8", "surrogateescape")))
    return found


def _place(path: str) -> Place:
    # A removed cgroup with processes left in it is marked like a removed file.
    parts = path.removesuffix(" (deleted)").split("/")
    units = [(index, _unit(part)) for index, part in enumerate(parts) if _is_unit(part)]
    if not units:
        return Place()
    innermost, unit = units[-1]
    # A user's manager (user@1000.service) nests units as a booted container does, but it is the
    # same machine: only a unit below another payload's root says that there are two.
    outer = [name for index, name in units if index < innermost and _boots_a_machine(name)]
    return Place(unit=unit, machine=outer[-1] if outer else "")


def _is_unit(part: str) -> bool:
    return part.endswith(_UNIT_SUFFIXES) and not part.startswith(".")


def _boots_a_machine(unit: str) -> bool:
    return unit.startswith(("machine-", "systemd-nspawn@", "lxc@", "libpod-", "docker-"))


def _unit(part: str) -> str:
    # systemd prefixes one underscore to names that the kernel would take for a file of its own.
    name = part.removeprefix("_")
    return _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), name)
