"""What packages are called on this distribution.

Only names, from /etc/os-release and the kernel's release; nothing is installed or looked up here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Distro", "bcc_package", "header_package", "read_os_release"]

_LINE: Final = re.compile(r"""([A-Z_]+)=(?:"([^"]*)"|'([^']*)'|(\S*))\s*""")
_DEBIAN: Final = frozenset({"debian", "ubuntu", "raspbian"})
_FEDORA: Final = frozenset({"fedora", "rhel", "centos", "rocky", "almalinux", "ol", "amzn"})
_SUSE: Final = frozenset({"suse", "opensuse", "sles"})


@dataclass(frozen=True, slots=True)
class Distro:
    """A distribution.

    Attributes:
        ids: ID and ID_LIKE, lower case, the distribution's own first; empty if unknown.
        version: VERSION_ID.
        name: for people.
    """

    ids: tuple[str, ...] = ()
    version: str = ""
    name: str = "this distribution"

    def is_like(self, family: frozenset[str]) -> bool:
        """Whether it is one of them or derives from one."""
        return any(ident in family or ident.partition("-")[0] in family for ident in self.ids)


def read_os_release(root: Path = Path("/")) -> Distro:
    """From etc/os-release or usr/lib/os-release (os-release(5)); an unknown one if neither is."""
    for place in ("etc/os-release", "usr/lib/os-release"):
        try:
            text = (root / place).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        found = {}
        for line in text.splitlines():
            match = _LINE.fullmatch(line)
            if match:
                found[match[1]] = match[2] or match[3] or match[4] or ""
        ids = f"{found.get('ID', '')} {found.get('ID_LIKE', '')}".lower().split()
        return Distro(
            ids=tuple(ids),
            version=found.get("VERSION_ID", ""),
            name=found.get("PRETTY_NAME", "") or found.get("ID", "") or Distro().name,
        )
    return Distro()


def bcc_package(distro: Distro) -> str:
    """The package with BCC's Python binding."""
    if distro.is_like(_DEBIAN):
        return "python3-bpfcc"
    if "arch" in distro.ids:
        return "python-bcc"
    if "alpine" in distro.ids:
        return "py3-bcc"
    return "python3-bcc"


def header_package(distro: Distro, release: str) -> str:
    """The package with the headers of exactly this kernel.

    Args:
        distro: the distribution.
        release: uname -r.
    """
    if distro.is_like(_DEBIAN):
        return f"linux-headers-{release}"
    if distro.is_like(_SUSE):
        version, _, flavour = release.rpartition("-")
        return f"kernel-{flavour}-devel={version}" if version else "kernel-default-devel"
    if distro.is_like(_FEDORA):
        return _fedora_header_package(distro, release)
    if "arch" in distro.ids:
        return "linux-headers"
    if "alpine" in distro.ids:
        return f"linux-{release.rpartition('-')[2]}-dev"
    return f"the development package of kernel {release}"


def _fedora_header_package(distro: Distro, release: str) -> str:
    if "uek" in release:
        return f"kernel-uek-devel-{release}"
    # Variants of a build: 5.14.0-427.el9.aarch64+64k, 5.14.0-427.el9.x86_64+rt.
    base, plus, variant = release.partition("+")
    if plus:
        return f"kernel-{variant}-devel-{base}"
    if "amzn" in distro.ids and distro.version == "2023" and not release.startswith("6.1."):
        return f"kernel{'.'.join(release.split('.')[:2])}-devel-{release}"
    return f"kernel-devel-{release}"
