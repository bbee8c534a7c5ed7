"""Whether this host and this privilege can run the probes, said before anything is loaded.

Each check gives one Finding, a line for people: what is wrong, why, and what to do. Nothing is
changed on the host but by mount_tracefs() and raise_memlock(), which say so. Files are read below
``root``; what cannot be read from files is a parameter.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otelauto.errors import LoadError
from otelauto.kernel.bpf import MapType, create_map
from otelauto.kernel.distro import bcc_package, read_os_release
from otelauto.kernel.headers import HeaderMode, find_kernel_headers, is_there
from otelauto.kernel.loader import interpreters

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CAPABILITIES", "Finding", "check", "import_bcc", "mount_tracefs", "raise_memlock",
           "try_bpf"]  # fmt: skip

#: Number of each capability that is looked at (include/uapi/linux/capability.h).
CAPABILITIES: Final = {
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_RESOURCE": 24,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
_MACHINES: Final = frozenset({"x86_64", "aarch64"})
_IMPORT_SECONDS: Final = 30
#: An empty folder of that name imports as well.
_IMPORT: Final = "import bcc; bcc.BPF; print(getattr(bcc, '__version__', '?'))"
_PROBE_MAP_BYTES: Final = 1 << 20
_SECCOMP_FILTER: Final = "2"
#: /proc/self/uid_map in the first user namespace (user_namespaces(7)); an identity map of less is
#: another one.
_EVERY_USER: Final = ["0", "0", "4294967295"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        name: what was looked at.
        ok: whether it is as it should be.
        why: one sentence; also if it is ok.
        remedy: what to do if it is not ok.
        required: False if the agent works without it, with the loss that ``why`` states.
    """

    name: str
    ok: bool
    why: str = ""
    remedy: str = ""
    required: bool = True


def import_bcc(candidates: tuple[str, ...]) -> tuple[str, str]:
    """(version, "") of the first bcc that imports, or ("", what the first interpreter said).

    Costs a process and 0.3 s: LLVM is loaded.
    """
    reason = ""
    for python in candidates:
        try:
            done = subprocess.run(
                [python, "-I", "-c", _IMPORT],
                capture_output=True,
                timeout=_IMPORT_SECONDS,
                check=False,
                text=True,
                errors="replace",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = reason or f"{python}: {error}"
            continue
        if done.returncode == 0:
            return done.stdout.strip(), ""
        lines = done.stderr.strip().splitlines()
        reason = reason or f"{python}: {lines[-1] if lines else f'status {done.returncode}'}"
    return "", reason or "there is no python3 under /usr"


def try_bpf() -> int:
    """Errno with which the kernel refuses a small map, 0 if it gives one."""
    try:
        fd = create_map(MapType.ARRAY, key_size=4, value_size=_PROBE_MAP_BYTES, max_entries=1)
    except OSError as error:
        return error.errno or errno.EIO
    os.close(fd)
    return 0


def mount_tracefs(root: Path = Path("/")) -> bool:
    """Mount tracefs at /sys/kernel/tracing unless it is there; whether it is there afterwards.

    Needs CAP_SYS_ADMIN, and a /sys that is not read-only.
    """
    place = root / "sys/kernel/tracing"
    if _tracefs(root) is not None:
        return True
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
    libc.mount(b"none", os.fsencode(place), b"tracefs", 0, None)
    return _tracefs(root) is not None


def raise_memlock() -> bool:
    """Lift RLIMIT_MEMLOCK, which bounds maps before Linux 5.11; whether it is unlimited now."""
    unlimited = resource.RLIM_INFINITY
    if resource.getrlimit(resource.RLIMIT_MEMLOCK) == (unlimited, unlimited):
        return True
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (unlimited, unlimited))
    except (OSError, ValueError):
        return False
    return True


def check(
    *,
    root: Path = Path("/"),
    mode: HeaderMode = "auto",
    release: str | None = None,
    machine: str | None = None,
    bcc: Callable[[tuple[str, ...]], tuple[str, str]] | None = import_bcc,
    bpf: Callable[[], int] = try_bpf,
) -> list[Finding]:
    """Every check, in the order in which a person would repair.

    Args:
        root: of the file system: /proc, /sys, /etc, /lib/modules, /usr/bin.
        mode: ebpf.headers.
        release: uname -r; None for the running kernel's.
        machine: uname -m; None for this one's.
        bcc: imports bcc; None to leave that check out, because the loader will say it anyway.
        bpf: tries bpf(2).
    """
    name = os.uname()
    release, machine = release or name.release, machine or name.machine
    status = _status(root)
    findings = [
        _check_machine(machine),
        _check_capabilities(root, status),
        _check_lockdown(root),
        _check_bpf(root, status, bpf()),
        _check_types(root, mode, release),
        _check_tracefs(root),
        _check_tracepoints(root, status),
        _check_uprobes(status),
        _check_foreign_processes(status),
    ]
    if bcc is not None:
        findings.insert(4, _check_bcc(root, bcc))
    return [replace(finding, remedy="") if finding.ok else finding for finding in findings]


def _check_machine(machine: str) -> Finding:
    return Finding(
        "machine",
        ok=machine in _MACHINES,
        why=f"this machine is {machine}",
        remedy="otelauto runs on x86_64 and aarch64",
    )


def _check_bcc(root: Path, bcc: Callable[[tuple[str, ...]], tuple[str, str]]) -> Finding:
    version, reason = bcc(interpreters(root))
    if version:
        return Finding("bcc", ok=True, why=f"BCC {version}")
    distro = read_os_release(root)
    package = bcc_package(distro)
    if "No module named 'bcc'" in reason or not reason.count(":"):
        return Finding(
            "bcc",
            ok=False,
            why=f"BCC is not installed ({reason})",
            remedy=f"install {package} on {distro.name}",
        )
    return Finding(
        "bcc",
        ok=False,
        why=f"BCC is installed but broken ({reason})",
        remedy=f"reinstall {package} on {distro.name}",
    )


def _check_capabilities(root: Path, status: dict[str, str]) -> Finding:
    name = "capabilities"
    if _first_line(root / "proc/self/uid_map").split() not in ([], _EVERY_USER):
        return Finding(
            name,
            ok=False,
            why="this process is in a user namespace, whose capabilities do not count for bpf(2)",
            remedy="run it in the host's user namespace (systemd: PrivateUsers=no)",
        )
    wanted: tuple[str, ...] = ("CAP_BPF", "CAP_PERFMON")
    if _last_capability(root) < CAPABILITIES["CAP_BPF"]:
        wanted = ("CAP_SYS_ADMIN",)
    held = _held(status)
    missing = [] if "CAP_SYS_ADMIN" in held else [one for one in wanted if one not in held]
    return Finding(
        name,
        ok=not missing,
        why=f"missing: {', '.join(missing)}" if missing else f"has {', '.join(sorted(held))}",
        remedy=f"run as root, or with AmbientCapabilities={' '.join(wanted)} in the unit",
    )


def _check_lockdown(root: Path) -> Finding:
    text = _first_line(root / "sys/kernel/security/lockdown")
    mode = text.partition("[")[2].partition("]")[0] or "none"
    return Finding(
        "lockdown",
        ok=mode != "confidentiality",
        why=f"kernel lockdown is {mode}",
        remedy="confidentiality forbids BPF to read memory: boot with lockdown=integrity",
    )


def _check_bpf(root: Path, status: dict[str, str], number: int) -> Finding:
    name = "bpf"
    if not number:
        return Finding(name, ok=True, why="bpf(2) works")
    why = f"bpf(2) says {errno.errorcode.get(number, number)}"
    if number == errno.ENOSYS:
        remedy = "the kernel needs CONFIG_BPF_SYSCALL, or a seccomp filter must allow bpf"
    elif status.get("Seccomp") == _SECCOMP_FILTER and _check_capabilities(root, status).ok:
        why += ", although the capabilities are there: a seccomp filter is active"
        remedy = "add bpf and perf_event_open to SystemCallFilter, or to the container's profile"
    elif number in {errno.EPERM, errno.ENOMEM} and _check_capabilities(root, status).ok:
        remedy = "set LimitMEMLOCK=infinity in the unit (kernels before 5.11 count maps)"
    else:
        remedy = "see the capabilities above"
    return Finding(name, ok=False, why=why, remedy=remedy)


def _check_types(root: Path, mode: HeaderMode, release: str) -> Finding:
    name = "kernel types"
    btf = root / "sys/kernel/btf/vmlinux"
    if is_there(btf) and mode != "kernel":
        return Finding(name, ok=True, why=f"{btf} is there: no kernel headers are needed")
    if mode == "bundled":
        return Finding(
            name,
            ok=False,
            why=f"ebpf.headers is bundled, but kernel {release} has no type information ({btf})",
            remedy="set ebpf.headers to auto",
        )
    because = "" if mode == "kernel" else "the kernel has no type information"
    try:
        folder = find_kernel_headers(release, root=root, because=because)
    except LoadError as error:
        return Finding(name, ok=False, why=error.message, remedy=error.hint)
    return Finding(name, ok=True, why=f"headers of kernel {release} in {folder}")


def _check_tracefs(root: Path) -> Finding:
    name, loss = "tracefs", "static tracepoints cannot be used"
    place = _tracefs(root)
    if place is None:
        why, remedy = f"not mounted: {loss}", "mount -t tracefs none /sys/kernel/tracing"
    elif not os.access(place / "events", os.X_OK, effective_ids=True):
        why, remedy = f"{place} is not readable: {loss}", "CAP_DAC_READ_SEARCH is needed"
    else:
        return Finding(name, ok=True, why=f"mounted at {place}", required=False)
    return Finding(name, ok=False, why=why, remedy=remedy, required=False)


def _check_tracepoints(root: Path, status: dict[str, str]) -> Finding:
    text = _first_line(root / "proc/sys/kernel/perf_event_paranoid")
    ok = text == "-1" or bool(_held(status) & {"CAP_PERFMON", "CAP_SYS_ADMIN"})
    return Finding(
        "perf events",
        ok=ok,
        why=f"kernel.perf_event_paranoid is {text or 'unknown'}"
        + ("" if ok else ": static tracepoints cannot be used"),
        remedy="CAP_PERFMON is needed",
        required=False,
    )


def _check_uprobes(status: dict[str, str]) -> Finding:
    # perf_event_open gives them to CAP_SYS_ADMIN alone, whatever perf_event_paranoid says.
    ok = "CAP_SYS_ADMIN" in _held(status)
    return Finding(
        "uprobes",
        ok=ok,
        why="allowed" if ok else "missing: CAP_SYS_ADMIN: what TLS libraries encrypt is not seen",
        remedy="add CAP_SYS_ADMIN to AmbientCapabilities in the unit if TLS is to be read",
        required=False,
    )


def _check_foreign_processes(status: dict[str, str]) -> Finding:
    missing = sorted({"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"} - _held(status))
    return Finding(
        "other processes",
        ok=not missing,
        why=f"missing: {', '.join(missing)}: services of other users cannot be named by their "
        "executable, environment or sockets"
        if missing
        else "readable",
        remedy="add them to AmbientCapabilities in the unit",
        required=False,
    )


def _tracefs(root: Path) -> Path | None:
    for place in ("sys/kernel/tracing", "sys/kernel/debug/tracing"):
        try:
            (root / place / "events").stat()
        except PermissionError:  # it is there, and it is root's alone
            pass
        except OSError:
            continue
        return root / place
    return None


def _first_line(path: Path) -> str:
    try:
        return (path.read_text(errors="replace").splitlines() or [""])[0].strip()
    except OSError:
        return ""


def _status(root: Path) -> dict[str, str]:
    try:
        text = (root / "proc/self/status").read_text(errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {key: value.strip() for key, _, value in pairs}


def _held(status: dict[str, str]) -> set[str]:
    try:
        mask = int(status.get("CapEff", "0"), 16)
    except ValueError:
        mask = 0
    return {name for name, number in CAPABILITIES.items() if mask >> number & 1}


def _last_capability(root: Path) -> int:
    try:
        return int(_first_line(root / "proc/sys/kernel/cap_last_cap"))
    except ValueError:
        return max(CAPABILITIES.values())
