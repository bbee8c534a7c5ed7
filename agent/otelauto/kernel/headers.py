"""Which headers BCC compiles with: our own stand-in, or those of exactly the running kernel.

The decision and its reasons live here, with the definitions for the compiler that go with it.
Headers of another kernel are never used, and neither are those that BCC would unpack from the
kernel into a shared temporary folder (CVE-2024-2314): it only does so if it finds none, and it is
not started then.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from otelauto.errors import LoadError
from otelauto.kernel import layout
from otelauto.kernel.distro import header_package, read_os_release

__all__ = ["HeaderMode", "Headers", "find_kernel_headers", "is_there", "resolve"]

HeaderMode = Literal["auto", "bundled", "kernel"]

#: The name that libbpf and the programs have for a machine; BCC defines it in some versions only.
_TARGETS: Final = {"x86_64": "x86", "aarch64": "arm64"}
_RELEASE: Final = re.compile(r'#define\s+UTS_RELEASE\s+"([^"]+)"')
_VERSION: Final = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Headers:
    """How to compile.

    Attributes:
        mode: "bundled" or "kernel".
        kernel_source: for LoadRequest; None lets BCC take the running kernel's.
        cflags: definitions, offsets included.
        prelude: text to put before the programs.
        missing: definitions that this kernel has no value for.
    """

    mode: Literal["bundled", "kernel"]
    kernel_source: Path | None
    cflags: tuple[str, ...]
    prelude: str = ""
    missing: tuple[str, ...] = ()


def resolve(
    mode: HeaderMode,
    *,
    folder: Path,
    root: Path = Path("/"),
    release: str | None = None,
    machine: str | None = None,
) -> Headers:
    """Decide by ebpf.headers and by what this host has.

    Args:
        mode: "bundled" needs the kernel's type information (BTF), for the offsets; "kernel" needs
            headers of exactly the running kernel; "auto" takes bundled if it can.
        folder: of the kernel sources (source.bpf_folder()), which has the stand-in headers.
        root: of the file system.
        release: uname -r; None for the running kernel's.
        machine: uname -m; None for this one's.

    Raises:
        LoadError: neither BTF nor matching headers; one line with kernel and package.
    """
    release, machine = release or os.uname().release, machine or os.uname().machine
    target = f"-D__TARGET_ARCH_{_TARGETS.get(machine, machine)}"
    btf = root / "sys/kernel/btf/vmlinux"
    if mode == "kernel" or (mode == "auto" and not is_there(btf)):
        find_kernel_headers(release, root=root, because="" if mode == "kernel" else _no_btf(btf))
        constants = layout.from_btf(btf) if is_there(btf) else layout.from_headers()
        return Headers(
            mode="kernel",
            kernel_source=None,
            cflags=(target, *constants.cflags),
            prelude=constants.prelude,
            missing=constants.missing,
        )
    if not is_there(btf):
        raise LoadError(
            f"ebpf.headers is bundled, but {_no_btf(btf)}", hint="set ebpf.headers to auto"
        )
    constants = layout.from_btf(btf)
    return Headers(
        mode="bundled",
        kernel_source=folder,
        cflags=(
            target,
            f"-DLINUX_VERSION_CODE={_version_code(release)}",
            f"-DPAGE_SIZE={os.sysconf('SC_PAGE_SIZE')}UL",
            *constants.cflags,
        ),
        missing=constants.missing,
    )


def find_kernel_headers(release: str, *, root: Path = Path("/"), because: str = "") -> Path:
    """The folder in which BCC will find the headers of this kernel, complete and matching.

    Args:
        release: uname -r.
        root: of the file system.
        because: why they are needed.

    Raises:
        LoadError: missing, incomplete, or of another kernel; names the package to install.
    """
    modules = root / "lib/modules" / release
    build, source = modules / "build", modules / "source"
    # BCC's own rule: "source" if both exist.
    folder = source if is_there(build / ".") and is_there(source / ".") else build
    package = header_package(read_os_release(root), release)
    prefix = f"{because}, and " if because else ""
    hint = f"install {package}; if it is gone, boot the newest kernel and install its headers"
    if not is_there(folder / "include/linux/kconfig.h"):
        raise LoadError(
            f"{prefix}kernel {release} has no headers in {folder} (package {package})", hint=hint
        )
    found = _header_release(build)
    if found != release:
        raise LoadError(
            f"{prefix}the headers in {build} are of kernel {found or 'unknown'}, but {release} is "
            f"running (package {package})",
            hint=hint,
        )
    return folder


def is_there(path: Path) -> bool:
    """Whether we can get at it: a unit may hide folders such as /lib/modules (EACCES)."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def _no_btf(btf: Path) -> str:
    return f"the kernel has no type information ({btf})"


def _header_release(build: Path) -> str:
    try:
        text = (build / "include/generated/utsrelease.h").read_text(errors="replace")
        match = _RELEASE.search(text)
        if match:
            return match[1]
    except OSError:
        pass
    try:
        return (build / "include/config/kernel.release").read_text(errors="replace").strip()
    except OSError:
        return ""


def _version_code(release: str) -> int:
    """KERNEL_VERSION of linux/version.h. Kernels before 5.0 compare it for kprobe programs."""
    match = _VERSION.match(release)
    if match is None:
        return 0
    major, minor, patch = (int(part or 0) for part in match.groups())
    return (major << 16) + (minor << 8) + min(patch, 255)
