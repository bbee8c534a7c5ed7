"""Kernel objects by descriptor: maps, programs, links, perf events.

Only thin functions over system calls live here; each takes and returns descriptors and raises
OSError with the kernel's errno. Typed access to maps is in maps.py, policy (what is optional, what
an error means) in attach.py, features.py and loader.py.

A descriptor is the only thing that keeps an object alive: nothing is pinned, so whatever ends the
process also detaches and frees everything.

Source: include/uapi/linux/bpf.h, include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from otelauto.kernel.syscalls import Command, bpf, buffer, kernel_error, perf_event_open

__all__ = [
    "MapInfo",
    "MapType",
    "ProgramInfo",
    "ProgramType",
    "attach_raw_tracepoint",
    "attach_tracepoint",
    "attach_uprobe",
    "create_map",
    "enable_run_statistics",
    "load_program",
    "map_info",
    "program_ids",
    "program_info",
    "run_raw_tracepoint",
    "set_program",
]

_PERF_TYPE_TRACEPOINT: Final = 2
_PERF_SAMPLE_RAW: Final = 1 << 10
_PERF_ATTR_SIZE: Final = 112  # PERF_ATTR_SIZE_VER5, Linux 4.1
_PERF_IOC_SET_BPF: Final = 0x40042408
_PERF_IOC_ENABLE: Final = 0x2400
_NAME_BYTES: Final = 16
_LOG_BYTES: Final = 1 << 16


class MapType(IntEnum):
    """enum bpf_map_type, as far as it is used."""

    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERF_EVENT_ARRAY = 4
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11
    RINGBUF = 27


class ProgramType(IntEnum):
    """enum bpf_prog_type, as far as it is used."""

    SOCKET_FILTER = 1
    KPROBE = 2  # uprobes as well
    TRACEPOINT = 5
    RAW_TRACEPOINT = 17


@dataclass(frozen=True, slots=True)
class MapInfo:
    """A map and what the kernel says of it.

    Attributes:
        fd: descriptor, owned by whoever got this value.
        type: a MapType; another number if it is one that is not named there.
        key_size: bytes.
        value_size: bytes; of one CPU's value in per-CPU maps.
        max_entries: capacity; bytes of the data area for a ring buffer.
        map_id: the kernel's id.
        name: up to 15 bytes.
    """

    fd: int
    type: int
    key_size: int
    value_size: int
    max_entries: int
    map_id: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What the kernel says of a program.

    Attributes:
        run_time_ns, run_count: since it was loaded; 0 unless statistics are enabled.
        instructions: translated instructions, which the CPU's code is made of.
        verified_instructions: what the verifier walked (Linux >= 5.16, else 0).
        missed: runs skipped to prevent recursion (Linux >= 5.12, else 0).
    """

    type: int
    program_id: int
    name: str
    instructions: int
    run_time_ns: int
    run_count: int
    missed: int
    verified_instructions: int


def create_map(
    map_type: MapType,
    *,
    key_size: int,
    value_size: int,
    max_entries: int,
    flags: int = 0,
    name: str = "",
) -> int:
    """Descriptor of a new map.

    Raises:
        OSError: EINVAL (sizes, or a kernel without this type), EPERM, ENOMEM.
    """
    attr = struct.pack(
        "=IIIIIII16s",
        map_type,
        key_size,
        value_size,
        max_entries,
        flags,
        0,
        0,
        name.encode()[: _NAME_BYTES - 1],
    )
    return bpf(Command.MAP_CREATE, buffer(attr), what=f"{map_type.name} {name}".rstrip())


def load_program(
    program_type: ProgramType,
    instructions: bytes,
    *,
    name: str = "",
    licence: str = "GPL",
    attach_type: int = 0,
) -> int:
    """Descriptor of a program from its raw instructions (8 bytes each).

    Args:
        program_type: which kind of hook it is for.
        instructions: the program.
        name: up to 15 bytes.
        licence: the kernel gives most helpers to GPL programs only.
        attach_type: enum bpf_attach_type, for the kinds of hook that want it at load time.

    Raises:
        OSError: with the end of the verifier's log in the message.
    """
    code, text, log = buffer(instructions), buffer(licence.encode() + b"\0"), buffer(_LOG_BYTES)

    def load(level: int) -> int:
        attr = struct.pack(
            "=IIQQIIQII16sII",
            program_type,
            len(instructions) // 8,
            ctypes.addressof(code),
            ctypes.addressof(text),
            level,
            _LOG_BYTES if level else 0,
            ctypes.addressof(log) if level else 0,
            0,
            0,
            name.encode()[: _NAME_BYTES - 1],
            0,
            attach_type,
        )
        return bpf(Command.PROG_LOAD, buffer(attr), what=name)

    try:
        return load(0)
    except OSError as error:
        # Once more for the reason. Not at first: a good program's log may not fit.
        with contextlib.suppress(OSError):
            return load(1)
        lines = log.value.decode(errors="replace").strip().splitlines()[-4:]
        message = "; ".join([error.strerror or "", *lines])
        raise OSError(error.errno, message) from None


def map_info(fd: int) -> MapInfo:
    """What the kernel says of a map (BPF_OBJ_GET_INFO_BY_FD, Linux >= 4.13).

    Raises:
        OSError: EINVAL if the descriptor is no BPF object, EBADF.
    """
    raw = _info(fd, 80, "map")
    kind, ident, key_size, value_size, max_entries, _flags = struct.unpack_from("=6I", raw)
    return MapInfo(
        fd=fd,
        type=kind,
        key_size=key_size,
        value_size=value_size,
        max_entries=max_entries,
        map_id=ident,
        name=_text(raw[24:40]),
    )


def program_info(fd: int) -> ProgramInfo:
    """What the kernel says of a program (BPF_OBJ_GET_INFO_BY_FD, Linux >= 4.13).

    Raises:
        OSError: EINVAL if the descriptor is no BPF object, EBADF.
    """
    raw = _info(fd, 232, "program")
    kind, ident = struct.unpack_from("=II", raw)
    (translated,) = struct.unpack_from("=I", raw, 20)
    run_time_ns, run_count, missed = struct.unpack_from("=QQQ", raw, 192)
    (verified,) = struct.unpack_from("=I", raw, 216)
    return ProgramInfo(
        type=kind,
        program_id=ident,
        name=_text(raw[64:80]),
        instructions=translated // 8,
        run_time_ns=run_time_ns,
        run_count=run_count,
        missed=missed,
        verified_instructions=verified,
    )


def program_ids() -> frozenset[int]:
    """Ids of every program that the kernel holds now, whoever loaded it.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN.
    """
    found: set[int] = set()
    ident = 0
    while True:
        attr = buffer(struct.pack("=III", ident, 0, 0))
        try:
            bpf(Command.PROG_GET_NEXT_ID, attr)
        except FileNotFoundError:
            return frozenset(found)
        _, ident, _ = struct.unpack("=III", attr.raw)
        found.add(ident)


def set_program(array_fd: int, index: int, *, program_fd: int) -> None:
    """Fill one slot of a program array, the target of a tail call.

    The array is emptied when its last descriptor is closed, even while programs use it: keep it.

    Raises:
        OSError: EINVAL if the program's type is not that of the array's other programs.
    """
    key, value = buffer(struct.pack("=I", index)), buffer(struct.pack("=I", program_fd))
    attr = struct.pack("=IIQQQ", array_fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
    bpf(Command.MAP_UPDATE_ELEM, buffer(attr), what=f"program array slot {index}")


def run_raw_tracepoint(fd: int, args: tuple[int, ...], *, cpu: int | None = None) -> int:
    """Run a raw tracepoint program once with these arguments; its return value.

    BPF_PROG_TEST_RUN, Linux >= 5.10. Nothing is attached and no tracepoint fires.

    Raises:
        OSError: EINVAL if there are fewer arguments than the program reads.
    """
    context = buffer(struct.pack(f"={len(args)}Q", *args))
    attr = buffer(
        struct.pack(
            "=IIIIQQIIIIQQII",
            fd, 0, 0, 0, 0, 0, 0, 0,
            len(context), 0,
            ctypes.addressof(context) if args else 0, 0,
            0 if cpu is None else 1,
            cpu or 0,
        )
    )  # fmt: skip
    bpf(Command.PROG_TEST_RUN, attr, what="raw tracepoint")
    (result,) = struct.unpack_from("=I", attr, 4)
    return int(result)


def enable_run_statistics() -> int:
    """Descriptor that makes the kernel count run time and runs while it is open (Linux >= 5.8).

    It costs every program on the host two clock reads a run.

    Raises:
        OSError: EINVAL on older kernels, EPERM without CAP_SYS_ADMIN.
    """
    return bpf(Command.ENABLE_STATS, buffer(struct.pack("=I", 0)))


def attach_raw_tracepoint(program_fd: int, name: str) -> int:
    """Descriptor of the attachment; closing it detaches.

    Raises:
        OSError: ENOENT if this kernel has no such tracepoint, EINVAL if the program reads more
            arguments than it has.
    """
    text = buffer(name.encode() + b"\0")
    attr = struct.pack("=QIIQ", ctypes.addressof(text), program_fd, 0, 0)
    return bpf(Command.RAW_TRACEPOINT_OPEN, buffer(attr), what=name)


def attach_tracepoint(
    program_fd: int, category: str, name: str, *, tracefs: Path = Path("/sys/kernel/tracing")
) -> int:
    """Descriptor of a perf event on a static tracepoint that runs the program on every CPU.

    Raises:
        OSError: ENOENT if the kernel has no such tracepoint or tracefs is not mounted.
    """
    ident = int((tracefs / "events" / category / name / "id").read_text())
    attr = _perf_attr(_PERF_TYPE_TRACEPOINT, config=ident)
    return _run_on_event(attr, program_fd, pid=-1, what=f"tracepoint {category}:{name}")


def attach_uprobe(
    program_fd: int,
    path: str,
    offset: int,
    *,
    on_return: bool = False,
    pid: int = -1,
    devices: Path = Path("/sys/bus/event_source/devices"),
) -> int:
    """Descriptor of a perf event on an instruction of a file that runs the program.

    Args:
        program_fd: a program of type KPROBE.
        path: the file; any path that leads to its inode.
        offset: in the file, not a virtual address.
        on_return: when the function that starts there returns.
        pid: only in this process; -1 for all, those to come included.
        devices: where the kernel describes its event sources.

    Raises:
        OSError: ENOENT without uprobes or without the file, EINVAL for an offset that is no
            instruction, EOPNOTSUPP for one that cannot be probed.
    """
    source = devices / "uprobe"
    kind = int((source / "type").read_text())
    bit = int((source / "format" / "retprobe").read_text().strip().removeprefix("config:"))
    name = buffer(os.fsencode(path) + b"\0")
    attr = _perf_attr(
        kind,
        config=1 << bit if on_return else 0,  # the upper half, ref_ctr_offset, must stay 0
        config1=ctypes.addressof(name),
        config2=offset,
    )
    what = f"{'uretprobe' if on_return else 'uprobe'} {path}+{offset:#x}"
    return _run_on_event(attr, program_fd, pid=pid, what=what)


def _perf_attr(kind: int, *, config: int, config1: int = 0, config2: int = 0) -> bytes:
    attr = bytearray(_PERF_ATTR_SIZE)
    struct.pack_into("=IIQQQ", attr, 0, kind, _PERF_ATTR_SIZE, config, 1, _PERF_SAMPLE_RAW)
    struct.pack_into("=I", attr, 48, 1)  # wakeup_events
    struct.pack_into("=QQ", attr, 56, config1, config2)
    return bytes(attr)


def _run_on_event(attr: bytes, program_fd: int, *, pid: int, what: str) -> int:
    event = perf_event_open(buffer(attr), pid=pid, cpu=0 if pid == -1 else -1, what=what)
    try:
        fcntl.ioctl(event, _PERF_IOC_SET_BPF, program_fd)
        fcntl.ioctl(event, _PERF_IOC_ENABLE, 0)
    except OSError as error:
        os.close(event)
        raise kernel_error(error.errno or 0, what) from None
    return event


def _info(fd: int, size: int, what: str) -> bytes:
    raw = buffer(size)
    attr = buffer(struct.pack("=IIQ", fd, size, ctypes.addressof(raw)))
    bpf(Command.OBJ_GET_INFO_BY_FD, attr, what=f"{what} {fd}")
    return raw.raw


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode(errors="replace")
