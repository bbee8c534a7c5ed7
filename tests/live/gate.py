"""Whether live tests can run on this machine, and why not.

Only checks live here; conftest.py turns a reason into a skip, or into a failure where the caller
requires live tests.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from pathlib import Path

__all__ = ["DISTRIBUTION_PYTHON", "bpf_syscall", "live_reason", "program_reason"]

DISTRIBUTION_PYTHON = "/usr/bin/python3"
TRACEFS = Path("/sys/kernel/tracing")

_SYSCALL_NUMBERS = {"x86_64": 321, "aarch64": 280}
_PROG_LOAD = 5
_PROG_TYPE_RAW_TRACEPOINT = 17


def bpf_syscall(command: int, attributes: ctypes.Array[ctypes.c_char]) -> int:
    """bpf(2). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = _SYSCALL_NUMBERS[platform.machine()]
    result = libc.syscall(number, command, attributes, len(attributes))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def _bpf_reason() -> str:
    """Load the smallest program there is: r0 = 0; exit."""
    code = ctypes.create_string_buffer(bytes.fromhex("b7000000000000009500000000000000"), 16)
    license_text = ctypes.create_string_buffer(b"GPL")
    attributes = ctypes.create_string_buffer(128)
    fields = (
        _PROG_TYPE_RAW_TRACEPOINT.to_bytes(4, "little"),
        (2).to_bytes(4, "little"),
        ctypes.addressof(code).to_bytes(8, "little"),
        ctypes.addressof(license_text).to_bytes(8, "little"),
    )
    attributes[:24] = b"".join(fields)
    try:
        os.close(bpf_syscall(_PROG_LOAD, attributes))
    except (OSError, KeyError) as error:
        return f"the kernel refuses to load a BPF program: {error}"
    return ""


def _tracefs_reason() -> str:
    if (TRACEFS / "events").is_dir():
        return ""
    done = subprocess.run(
        ["mount", "-t", "tracefs", "tracefs", str(TRACEFS)], capture_output=True, check=False
    )
    if done.returncode:
        return f"tracefs is not mounted on {TRACEFS}: {done.stderr.decode().strip()}"
    return ""


def _bcc_reason() -> str:
    if not Path(DISTRIBUTION_PYTHON).exists():
        return f"there is no {DISTRIBUTION_PYTHON}"
    done = subprocess.run(
        [
            DISTRIBUTION_PYTHON,
            "-Ic",
            "import importlib.util as u; print(u.find_spec('bcc') or '')",
        ],
        capture_output=True,
        check=False,
    )
    if done.returncode or not done.stdout.strip():
        return f"{DISTRIBUTION_PYTHON} has no bcc: install python3-bpfcc"
    return ""


def live_reason() -> str:
    """Why no live test can run here; empty if they can. Mounts tracefs where it is missing."""
    if os.geteuid():
        return "needs root"
    return _bpf_reason() or _tracefs_reason() or _bcc_reason()


def program_reason(*programs: str) -> str:
    """Which of the programs are not installed, as a reason; empty if all are."""
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in programs if shutil.which(name, path=search) is None]
    return f"not installed: {', '.join(missing)} (make setup-test)" if missing else ""
