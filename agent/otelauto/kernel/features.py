"""What this kernel can do, found out by trying.

Every probe loads, creates or attaches something tiny and closes it at once; none looks at a
version number, because distributions carry features back (and leave some out). A probe that is
refused for lack of privilege is a no as well: error_number() tells the two apart.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otelauto.kernel.bpf import (
    MapType,
    ProgramType,
    attach_raw_tracepoint,
    create_map,
    load_program,
)
from otelauto.kernel.maps import possible_cpus
from otelauto.kernel.syscalls import Command, bpf, buffer, perf_event_open

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Features", "UprobeFeatures", "instruction", "probe", "probe_uprobes"]

# Numbers of helpers (include/uapi/linux/bpf.h).
_GET_NS_CURRENT_PID_TGID: Final = 120
_GET_CURRENT_TASK_BTF: Final = 158
_TASK_PT_REGS: Final = 175
_LOOP: Final = 181

_TRACE_UPROBE_MULTI: Final = 48  # enum bpf_attach_type
_PERF_ATTR_SIZE: Final = 112
_PERF_ATTR_DISABLED: Final = 1


def instruction(code: int, *, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One BPF instruction (Documentation/bpf/standardization/instruction-set.rst)."""
    return struct.pack("=BBhi", code, src << 4 | dst, off, imm)


def _move(dst: int, imm: int) -> bytes:
    return instruction(0xB7, dst=dst, imm=imm)


def _copy(dst: int, src: int) -> bytes:
    return instruction(0xBF, dst=dst, src=src)


def _call(helper: int) -> bytes:
    return instruction(0x85, imm=helper)


_EXIT: Final = instruction(0x95)
_NOTHING: Final = _move(0, 0) + _EXIT


@dataclass(frozen=True, slots=True)
class Features:
    """What works.

    Attributes:
        sock_length: raw tracepoints sock_send_length and sock_recv_length (Linux >= 6.3).
        task_registers: bpf_task_pt_regs of bpf_get_current_task_btf (5.15).
        sys_exit: raw tracepoint sys_exit.
        namespace_pid: bpf_get_ns_current_pid_tgid in raw tracepoints (5.7).
        bounded_loops: loops that the verifier follows (5.3).
        loop_helper: bpf_loop (5.17).
        ring_buffer: ring buffer maps (5.8).
        lru_hash: LRU hash maps.
        batch: lookups of many entries in one call (5.6).
        kprobes: perf events on kernel functions.
        btf: the kernel's type information.
        possible_cpus: values of a per-CPU map.
        errors: errno by the name of each feature that does not work.
    """

    sock_length: bool
    task_registers: bool
    sys_exit: bool
    namespace_pid: bool
    bounded_loops: bool
    loop_helper: bool
    ring_buffer: bool
    lru_hash: bool
    batch: bool
    kprobes: bool
    btf: bool
    possible_cpus: int
    errors: Mapping[str, int] = field(default_factory=dict)

    def error_number(self, feature: str) -> int:
        """Errno with which a feature was refused, 0 if it works."""
        return self.errors.get(feature, 0)


@dataclass(frozen=True, slots=True)
class UprobeFeatures:
    """Which ways there are to probe user space.

    Attributes:
        events: errno for perf events, 0 if they work; they need CAP_SYS_ADMIN.
        links: errno for many probes as one BPF link (6.6), 0 if they work; CAP_BPF and CAP_PERFMON
            are enough.
    """

    events: int
    links: int


def probe_uprobes(root: Path = Path("/")) -> UprobeFeatures:
    """Try both ways; apart from probe(), because the kernel takes 0.1 s to remove the probes.

    Args:
        root: of the file system, for /sys.
    """
    devices = root / "sys/bus/event_source/devices"
    return UprobeFeatures(
        events=_errno_of(lambda: _has_uprobes(devices)), links=_errno_of(_has_uprobe_links)
    )


def probe(root: Path = Path("/")) -> Features:
    """Try everything but uprobes; some thirty system calls and 0.03 s.

    Args:
        root: of the file system, for /sys.
    """
    devices = root / "sys/bus/event_source/devices"
    probes: dict[str, Callable[[], None]] = {
        "sock_length": _has_sock_length,
        "task_registers": _has_task_registers,
        "sys_exit": lambda: _has_raw_tracepoint("sys_exit"),
        "namespace_pid": _has_namespace_pid,
        "bounded_loops": _has_bounded_loops,
        "loop_helper": _has_loop_helper,
        "ring_buffer": lambda: _has_map(MapType.RINGBUF, 0, 0, os.sysconf("SC_PAGE_SIZE")),
        "lru_hash": lambda: _has_map(MapType.LRU_HASH, 4, 4, 64),
        "batch": _has_batch,
        "kprobes": lambda: _has_kprobes(devices),
        "btf": lambda: _must_exist(root / "sys/kernel/btf/vmlinux"),
    }
    errors: dict[str, int] = {}
    for name, attempt in probes.items():
        number = _errno_of(attempt)
        if number:
            errors[name] = number
    try:
        cpus = possible_cpus(root)
    except (OSError, ValueError):
        cpus = os.cpu_count() or 1
    return Features(
        **{name: name not in errors for name in probes}, possible_cpus=cpus, errors=errors
    )


def _errno_of(attempt: Callable[[], None]) -> int:
    try:
        attempt()
    except OSError as error:
        return error.errno or errno.EIO
    except ValueError:  # a file of /sys that is not what it was
        return errno.EINVAL
    return 0


def _load(instructions: bytes) -> None:
    os.close(load_program(ProgramType.RAW_TRACEPOINT, instructions))


def _has_raw_tracepoint(name: str) -> None:
    program = load_program(ProgramType.RAW_TRACEPOINT, _NOTHING)
    try:
        os.close(attach_raw_tracepoint(program, name))
    finally:
        os.close(program)


def _has_sock_length() -> None:
    _has_raw_tracepoint("sock_send_length")
    _has_raw_tracepoint("sock_recv_length")


def _has_task_registers() -> None:
    _load(_call(_GET_CURRENT_TASK_BTF) + _copy(1, 0) + _call(_TASK_PT_REGS) + _NOTHING)


def _has_namespace_pid() -> None:
    # The result is written to the stack: 8 bytes below the frame pointer.
    _load(
        _move(1, 0)
        + _move(2, 0)
        + _copy(3, 10)
        + instruction(0x07, dst=3, imm=-8)
        + _move(4, 8)
        + _call(_GET_NS_CURRENT_PID_TGID)
        + _NOTHING
    )


def _has_bounded_loops() -> None:
    # for (r1 = 0; r1 < 8; r1++);
    _load(
        _move(1, 0)
        + instruction(0x07, dst=1, imm=1)
        + instruction(0xA5, dst=1, off=-2, imm=8)
        + _NOTHING
    )


def _has_loop_helper() -> None:
    # bpf_loop(0, no callback): a verifier that knows the helper dislikes the argument (EACCES),
    # one that does not dislikes the call (EINVAL).
    code = _move(1, 0) + _move(2, 0) + _move(3, 0) + _move(4, 0) + _call(_LOOP) + _NOTHING
    try:
        _load(code)
    except OSError as error:
        if error.errno != errno.EACCES:
            raise


def _has_map(kind: MapType, key_size: int, value_size: int, entries: int) -> None:
    os.close(create_map(kind, key_size=key_size, value_size=value_size, max_entries=entries))


def _has_batch() -> None:
    fd = create_map(MapType.HASH, key_size=4, value_size=4, max_entries=1)
    token, keys, values = buffer(4), buffer(4), buffer(4)
    attr = struct.pack(
        "=QQQQIIQQ",
        0,
        ctypes.addressof(token),
        ctypes.addressof(keys),
        ctypes.addressof(values),
        1,
        fd,
        0,
        0,
    )
    try:
        bpf(Command.MAP_LOOKUP_BATCH, buffer(attr), what="of an empty map")
    except FileNotFoundError:
        pass  # the map is empty: the command exists
    finally:
        os.close(fd)


def _has_kprobes(devices: Path) -> None:
    _open_disabled(devices / "kprobe/type", b"tcp_sendmsg\0", 0)


def _has_uprobes(devices: Path) -> None:
    with _code_of_nobody() as path:
        _open_disabled(devices / "uprobe/type", path, 0)


def _has_uprobe_links() -> None:
    # BPF_LINK_CREATE with uprobe_multi: path, offsets, reference counters, cookies, count, flags.
    program = load_program(ProgramType.KPROBE, _NOTHING, attach_type=_TRACE_UPROBE_MULTI)
    try:
        with _code_of_nobody() as path:
            name, offsets = buffer(path), buffer(8)
            attr = struct.pack(
                "=IIIIQQQQIIQ",
                program,
                0,
                _TRACE_UPROBE_MULTI,
                0,
                ctypes.addressof(name),
                ctypes.addressof(offsets),
                0,
                0,
                1,
                0,
                0,
            )
            os.close(bpf(Command.LINK_CREATE, buffer(attr), what="uprobe_multi"))
    finally:
        os.close(program)


@contextlib.contextmanager
def _code_of_nobody() -> Iterator[bytes]:
    """Path of a file of instructions that no process runs: a probe in it changes nothing."""
    fd = os.memfd_create("otelauto-feature-probe")
    try:
        os.write(fd, b"\x90" * 64 if os.uname().machine == "x86_64" else b"\x1f\x20\x03\xd5" * 16)
        yield f"/proc/self/fd/{fd}".encode() + b"\0"
    finally:
        os.close(fd)


def _open_disabled(kind: Path, text: bytes, offset: int) -> None:
    number = int(kind.read_text())
    name = buffer(text)
    attr = bytearray(_PERF_ATTR_SIZE)
    struct.pack_into("=II", attr, 0, number, _PERF_ATTR_SIZE)
    struct.pack_into("=Q", attr, 40, _PERF_ATTR_DISABLED)
    struct.pack_into("=QQ", attr, 56, ctypes.addressof(name), offset)
    os.close(perf_event_open(buffer(bytes(attr)), pid=-1, cpu=0, what=kind.parent.name))


def _must_exist(path: Path) -> None:
    path.stat()
