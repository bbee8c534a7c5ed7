"""What a test leaves on the host: BPF objects, mounts, network namespaces, processes.

A machine may run other BPF users at the same time, whose objects come and go. An object counts as
ours unless every process that holds it is a stranger to this test run.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.live.gate import bpf_syscall
from tests.servers.process import marked

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["HostState", "leftovers", "observe"]

# Where a test, or the agent under test, may mount: others mount what they need at the same time.
_OURS = ("/sys/", "/run/netns")
_NEXT_ID = {"prog": 11, "map": 12, "link": 31}


@dataclass(frozen=True, slots=True)
class HostState:
    """The objects of one moment."""

    bpf: frozenset[tuple[str, int]]
    mounts: frozenset[str]
    namespaces: frozenset[str]
    processes: frozenset[int]


def _bpf_ids(kind: str) -> set[int]:
    found = set()
    attributes = ctypes.create_string_buffer(12)
    current = 0
    while True:
        attributes[:12] = current.to_bytes(4, "little") + bytes(8)
        try:
            bpf_syscall(_NEXT_ID[kind], attributes)
        except OSError:
            return found
        current = int.from_bytes(attributes[4:8], "little")
        found.add(current)


def observe() -> HostState:
    """Look at the host now (root only: others get no BPF ids)."""
    bpf = frozenset((kind, number) for kind in _NEXT_ID for number in _bpf_ids(kind))
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    netns = Path("/run/netns")
    names = frozenset(path.name for path in netns.iterdir()) if netns.is_dir() else frozenset()
    return HostState(
        bpf, frozenset(line.split()[4] for line in mounts), names, frozenset(marked())
    )


def _descriptor_files() -> list[Path]:
    files: list[Path] = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                files += (process / "fdinfo").iterdir()
    return files


def _holders() -> dict[tuple[str, int], set[int]]:
    """BPF objects by the processes with a descriptor of them."""
    found: dict[tuple[str, int], set[int]] = {}
    for path in _descriptor_files():
        try:
            text = path.read_text()
        except OSError:
            continue  # closed, or its process gone, since it was listed
        for line in text.splitlines():
            name, _, value = line.partition(":")
            if name in {"prog_id", "map_id", "link_id"}:
                holder = int(path.parts[2])
                found.setdefault((name.removesuffix("_id"), int(value)), set()).add(holder)
    return found


def _kept(before: HostState, sessions: Collection[int]) -> dict[str, object]:
    now = observe()
    running = marked(sessions)
    ours = {os.getpid(), *running}
    holders = _holders()
    # A program holds its maps without a descriptor. Where strangers use BPF too, what nobody holds
    # may be theirs; on a quiet machine it is ours.
    strangers = any(pids - ours for item, pids in holders.items() if item not in before.bpf)
    bpf = {
        item: sorted(holders.get(item, ()))
        for item in now.bpf - before.bpf
        if (holders[item] & ours if holders.get(item) else not strangers)
    }
    found = {
        "BPF objects and their holders": bpf,
        "mounts": sorted(path for path in now.mounts - before.mounts if path.startswith(_OURS)),
        "network namespaces": sorted(now.namespaces - before.namespaces),
        "processes": {pid: text for pid, text in running.items() if pid not in before.processes},
    }
    return {name: things for name, things in found.items() if things}


def leftovers(
    before: HostState, sessions: Collection[int] = (), *, patience_seconds: float = 4
) -> dict[str, object]:
    """What is there now and was not before; empty if nothing. The sessions are those of the test.

    The kernel frees programs and maps some time after the last descriptor is closed, and a
    stranger's program is held by nobody while it is loaded: hence the patience.
    """
    deadline = time.monotonic() + patience_seconds
    while kept := _kept(before, sessions):
        if time.monotonic() > deadline:
            return kept
        time.sleep(0.1)
    return {}
