"""What is loaded and where it is hooked, for each way of hooking.

Only tables and the definitions for the compiler live here; ``driver`` carries them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from otelauto.abi import _layout as abi
from otelauto.kernel.attach import Hook, HookKind
from otelauto.kernel.bpf import ProgramType
from otelauto.kernel.diagnosis import Layout
from otelauto.kernel.loader import Program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from struct import Struct

__all__ = ["WITNESSES", "KernelSettings", "Way", "cflags", "hooks", "jumps", "maps", "programs"]

#: A way of hooking: at the socket (Linux 6.3), or at the exit of system calls.
Way = Literal["sock", "syscall"]

_FRONT_ENDS: Final[Mapping[Way, tuple[str, ...]]] = {
    "sock": ("sock_recv_length", "sock_send_length"),
    "syscall": ("sys_exit",),
}
_CONNECTIONS: Final = ("inet_sock_set_state", "tcp_destroy_sock")
_PROCESSES: Final = ("sched_process_fork", "sched_process_exec", "sched_process_exit")
_CONSEQUENCES: Final = {
    "inet_sock_set_state": "requests that never get a response are not counted, and new listeners"
    " are not noticed",
    "tcp_destroy_sock": "the state of closed connections is kept until it is the oldest",
    "sched_process_fork": "children of instrumented processes are not followed",
    "sched_process_exec": "new processes are only noticed when they listen",
    "sched_process_exit": "processes that end stay in the list of targets",
}

#: Programs without a hook: by tail calls, or by the agent.
_CALLED: Final = ("steps", "route", "unix_end", "unix_look")

#: Index of the kernel's map ``jumps`` (bpf/core/state.h, enum jump) -> program.
_JUMPS: Final[tuple[str, ...]] = ("steps", "route", "inet_sock_set_state", "unix_end")

#: Only where exchanges become spans; the last one of jumps().
_SPAN_PROGRAMS: Final = ("span",)

#: The maps that the agent reads or writes; see maps().
_MAPS: Final[tuple[str, ...]] = (
    "targets",
    "target_slots",
    "services",
    "route_edges",
    "route_cache",
    "paths",
    "red",
    "methods",
    "option",
    "counts",
    "events",
    "jumps",
    "unix_sockets",
)


#: Only where exchanges become spans.
_SPAN_MAPS: Final = ("span_events",)


def maps(*, spans: bool) -> tuple[str, ...]:
    """The maps that the agent reads or writes.

    Args:
        spans: KernelSettings.spans.
    """
    return (*_MAPS, *_SPAN_MAPS) if spans else _MAPS


def jumps(*, spans: bool) -> tuple[str, ...]:
    """The programs that others call, by their index in the kernel's map ``jumps``.

    Args:
        spans: KernelSettings.spans.
    """
    return (*_JUMPS, *_SPAN_PROGRAMS) if spans else _JUMPS


def _witness(name: str, part: str, layout: Struct, offsets: Mapping[str, int]) -> Layout:
    return Layout(map=name, part=part, size=layout.size, offsets=offsets)


#: The layouts that the kernel programs must have: verified before any of them runs.
WITNESSES: Final[tuple[Layout, ...]] = (
    _witness("targets", "value", abi.TARGET, abi.TARGET_OFFSETS),
    _witness("target_slots", "value", abi.TARGET_SLOT, abi.TARGET_SLOT_OFFSETS),
    _witness("services", "value", abi.SERVICE, abi.SERVICE_OFFSETS),
    _witness("route_edges", "key", abi.ROUTE_STEP, abi.ROUTE_STEP_OFFSETS),
    _witness("route_edges", "value", abi.ROUTE_EDGE, abi.ROUTE_EDGE_OFFSETS),
    _witness("route_cache", "key", abi.PATH_KEY, abi.PATH_KEY_OFFSETS),
    _witness("route_cache", "value", abi.ROUTE_HIT, abi.ROUTE_HIT_OFFSETS),
    _witness("paths", "value", abi.PATH_TEXT, abi.PATH_TEXT_OFFSETS),
    _witness("red", "key", abi.RED_KEY, abi.RED_KEY_OFFSETS),
    _witness("red", "value", abi.RED_VALUE, abi.RED_VALUE_OFFSETS),
    _witness("option", "value", abi.OPTIONS, abi.OPTIONS_OFFSETS),
    _witness("abi_event_process", "value", abi.EVENT_PROCESS, abi.EVENT_PROCESS_OFFSETS),
    _witness("abi_event_listen", "value", abi.EVENT_LISTEN, abi.EVENT_LISTEN_OFFSETS),
    _witness("abi_event_span", "value", abi.EVENT_SPAN, abi.EVENT_SPAN_OFFSETS),
    _witness("abi_event_path", "value", abi.EVENT_PATH, abi.EVENT_PATH_OFFSETS),
)


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """What the kernel side is built with; a change of any of it needs another load.

    Attributes:
        headers: ebpf.headers.
        duration_bounds_seconds: upper bounds, at most 23.
        request_bounds_bytes: upper bounds, at most 15.
        response_bounds_bytes: upper bounds, at most 15.
        max_connections: connections that are followed at once.
        max_series: distinct series.
        route_seed: where the hashes of paths start from; drawn anew at each start.
        state_dir: private directory for the logs of failures; None: none are kept.
        spans: sampled exchanges become spans; without it the programs have no code for them.
    """

    headers: Literal["auto", "bundled", "kernel"]
    duration_bounds_seconds: tuple[float, ...]
    request_bounds_bytes: tuple[float, ...]
    response_bounds_bytes: tuple[float, ...]
    max_connections: int
    max_series: int
    route_seed: int
    state_dir: Path | None = None
    spans: bool = False


def programs(way: Way, *, spans: bool) -> tuple[Program, ...]:
    """The programs to load.

    Args:
        way: of hooking.
        spans: KernelSettings.spans.
    """
    names = (*_FRONT_ENDS[way], *_CONNECTIONS, *_PROCESSES, *_CALLED)
    if spans:
        names = (*names, *_SPAN_PROGRAMS)
    return tuple(Program(name, ProgramType.RAW_TRACEPOINT) for name in names)


def hooks(way: Way) -> tuple[Hook, ...]:
    """The hooks: processes first, so that no target is missed; traffic last."""
    names = (*_PROCESSES, *_CONNECTIONS, *_FRONT_ENDS[way])
    return tuple(
        Hook(
            program=name,
            kind=HookKind.RAW_TRACEPOINT,
            target=name,
            optional=name in _CONSEQUENCES,
            consequence=_CONSEQUENCES.get(name, ""),
        )
        for name in names
    )


def cflags(
    settings: KernelSettings, way: Way, *, cpus: int, pid_namespace: int | None
) -> list[str]:
    """Definitions for the compiler that override bpf/limits.h.

    Args:
        settings: of this start.
        way: of hooking.
        cpus: possible CPUs.
        pid_namespace: inode of the agent's pid namespace; None: it is the first one.
    """
    shards = 1
    while shards < min(cpus, 8):
        shards *= 2
    nanoseconds = [round(bound * 1e9) for bound in settings.duration_bounds_seconds]
    flags = [
        f"-DMAX_CONNECTIONS={settings.max_connections}",
        f"-DMAX_SERIES={settings.max_series * shards}",
        f"-DSHARD_MASK={shards - 1}",
        _buckets("DURATION_BUCKET", nanoseconds),
        _buckets("REQUEST_SIZE_BUCKET", settings.request_bounds_bytes),
        _buckets("RESPONSE_SIZE_BUCKET", settings.response_bounds_bytes),
    ]
    if cpus <= shards:
        flags.append("-DSHARDS_ARE_OWN")
    if settings.spans:
        flags.append("-DSPANS")
    if way == "syscall":
        flags.append("-DHOOK_SYSCALL")
    if pid_namespace is not None:
        flags.append(f"-DAGENT_PIDNS={pid_namespace}U")
    return flags


def _buckets(macro: str, bounds: Sequence[float]) -> str:
    # A value is a whole number: above 2.5 is above 2.
    terms = "+".join(f"ABOVE(x,{int(bound)}ULL)" for bound in bounds) or "0"
    return f"-D{macro}(x)=({terms})"
