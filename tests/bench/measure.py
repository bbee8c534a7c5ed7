"""What a process costs, from /proc. Only readings live here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["cpu_seconds", "descendants", "median", "pss_bytes"]


def cpu_seconds(pids: Iterable[int], proc: Path = Path("/proc")) -> float:
    """CPU time of these processes with all their threads, in seconds.

    From schedstat, which counts nanoseconds; stat has utime + stime in ticks of 10 ms only, and is
    used where the kernel keeps no schedstat.
    """
    total = 0.0
    for pid in pids:
        threads = sorted((proc / str(pid) / "task").glob("*/schedstat"))
        if threads:
            total += sum(int(path.read_text().split()[0]) for path in threads) / 1e9
            continue
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / 100
    return total


def pss_bytes(pids: Iterable[int], proc: Path = Path("/proc")) -> int:
    """Proportional set size: what these processes cost the host's memory."""
    total = 0
    for pid in pids:
        for line in (proc / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def descendants(pid: int, proc: Path = Path("/proc")) -> tuple[int, ...]:
    """The process and all below it."""
    found = [pid]
    for each in found:
        for path in (proc / str(each) / "task").glob("*/children"):
            found += [int(child) for child in path.read_text().split()]
    return tuple(found)


def median(values: Iterable[float]) -> float:
    """The middle value; the mean of the middle two of an even number.

    Raises:
        ValueError: there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else sum(ordered[middle - 1 : middle + 1]) / 2
