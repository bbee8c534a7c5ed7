"""The two system calls that everything in this package rests on: bpf(2) and perf_event_open(2).

Only the calls themselves live here: numbers, argument passing, errno. What the arguments mean is
in bpf.py. They are called through libc's ``syscall``, which every process has mapped already,
instead of libbpf (measured: 0.2 MB of the agent's memory before its first call) or libbcc_bpf
(2.2 MB): their names and versions differ between distributions, and all that they would do here is
fill in the attribute that ``struct`` fills in as well.

Source: man pages bpf(2), perf_event_open(2); include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from enum import IntEnum
from typing import Final

__all__ = ["Command", "bpf", "buffer", "kernel_error", "perf_event_open"]

#: Numbers of (bpf, perf_event_open) by machine (arch/*/include/asm/unistd*.h).
_NUMBERS: Final = {"x86_64": (321, 298), "aarch64": (280, 241), "arm64": (280, 241)}
_PERF_FLAG_FD_CLOEXEC: Final = 8
_ATTEMPTS: Final = 5
#: In-kernel errno that leaks to user space: "operation is not supported" (include/linux/errno.h).
ENOTSUPP: Final = 524

Buffer = ctypes.Array[ctypes.c_char]


class Command(IntEnum):
    """enum bpf_cmd, as far as it is used."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    MAP_GET_NEXT_KEY = 4
    PROG_LOAD = 5
    PROG_TEST_RUN = 10
    PROG_GET_NEXT_ID = 11
    MAP_GET_NEXT_ID = 12
    PROG_GET_FD_BY_ID = 13
    OBJ_GET_INFO_BY_FD = 15
    RAW_TRACEPOINT_OPEN = 17
    MAP_LOOKUP_AND_DELETE_ELEM = 21
    MAP_LOOKUP_BATCH = 24
    MAP_LOOKUP_AND_DELETE_BATCH = 25
    MAP_UPDATE_BATCH = 26
    MAP_DELETE_BATCH = 27
    LINK_CREATE = 28
    LINK_GET_NEXT_ID = 31
    ENABLE_STATS = 32


def buffer(content: bytes | int) -> Buffer:
    """Memory that the kernel reads or writes: a copy of the bytes, or so many zeros."""
    if isinstance(content, int):
        return ctypes.create_string_buffer(content)
    return ctypes.create_string_buffer(content, len(content))


def kernel_error(number: int, what: str) -> OSError:
    """The OSError of an errno, which says what was attempted."""
    reason = "operation not supported" if number == ENOTSUPP else os.strerror(number)
    return OSError(number, f"{reason} ({what})")


def bpf(command: Command, attr: Buffer, *, what: str = "") -> int:
    """Make the system call bpf: a descriptor, a count, or 0.

    Args:
        command: what to do.
        attr: union bpf_attr, possibly shorter than the kernel's; the kernel may write into it.
        what: the object, for the error message.

    Raises:
        OSError: with the kernel's errno.
    """
    number, _ = _numbers()
    for attempt in range(_ATTEMPTS):
        result = _syscall()(number, int(command), ctypes.addressof(attr), len(attr), 0, 0)
        if result >= 0:
            return int(result)
        error = ctypes.get_errno()
        # Verification is interrupted by any signal and says EAGAIN; it is safe to start again.
        if error not in {errno.EINTR, errno.EAGAIN} or attempt == _ATTEMPTS - 1:
            break
    raise kernel_error(error, f"BPF_{command.name} {what}".rstrip())


def perf_event_open(attr: Buffer, *, pid: int, cpu: int, what: str = "") -> int:
    """Open a perf event: a descriptor, closed on exec.

    Args:
        attr: struct perf_event_attr; its own size member says how long it is.
        pid: the process, or -1 for all.
        cpu: the CPU, or -1 for all (only with a process).
        what: the event, for the error message.

    Raises:
        OSError: with the kernel's errno.
    """
    _, number = _numbers()
    address = ctypes.addressof(attr)
    result = _syscall()(number, address, pid, cpu, -1, _PERF_FLAG_FD_CLOEXEC)
    if result < 0:
        raise kernel_error(ctypes.get_errno(), f"perf_event_open {what}".rstrip())
    return int(result)


@functools.cache
def _numbers() -> tuple[int, int]:
    machine = os.uname().machine
    try:
        return _NUMBERS[machine]
    except KeyError:
        raise kernel_error(errno.ENOSYS, f"bpf(2) on {machine}: x86_64 and aarch64 only") from None


@functools.cache
def _syscall() -> ctypes._NamedFuncPointer:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    call.argtypes = [ctypes.c_long] * 6
    return call
