"""Whether virtual machines can be built and run here, and why not.

They are only run where OTELAUTO_REQUIRE has "vm", as `make vm` sets it: the first run downloads
some hundreds of megabytes and takes minutes.
"""

from __future__ import annotations

import os

from tests.live.gate import program_reason

__all__ = ["required", "vm_reason"]

_PROGRAMS = (
    *("qemu-system-x86_64", "mmdebstrap", "busybox", "cpio", "depmod", "mkfs.ext4", "gcc"),
    *("lz4", "zstd"),
)


def required() -> bool:
    """Whether virtual machines are asked for."""
    return "vm" in os.environ.get("OTELAUTO_REQUIRE", "").replace(" ", "").split(",")


def vm_reason() -> str:
    """Why no virtual machine can run here; empty if one can."""
    if not required():
        return "virtual machines are run by make vm (OTELAUTO_REQUIRE=vm)"
    if os.geteuid():
        return "needs root, to build Debian systems"
    return program_reason(*_PROGRAMS)
