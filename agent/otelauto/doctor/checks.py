"""What is looked at on the host, each a Check.

Nothing is changed. Checks that a start makes as
well are those of ``kernel.preflight``; here they become one list with the rest.
"""

from __future__ import annotations

import ctypes
import errno
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from otelauto.kernel import features, preflight
from otelauto.kernel.driver import first_pid_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otelauto.config.schema import Config
    from otelauto.kernel.features import Features

__all__ = [
    "Check",
    "agents",
    "clock",
    "container",
    "disk",
    "hooks",
    "host",
    "probed_hooks",
    "toolchain",
]

_CHILD: Final = (
    "import bcc, re; bcc.BPF; maps = open('/proc/self/maps').read();"
    " llvm = re.search(r'libLLVM[-.]?(?:so[.])?([0-9][0-9.]*[0-9]|[0-9])', maps);"
    " print(getattr(bcc, '__version__', '?'), llvm.group(1) if llvm else '?')"
)
_CHILD_SECONDS: Final = 30
_TIMEX_BYTES: Final = 256  # struct timex is 208 bytes
_TIME_ERROR: Final = 5
_LOW_DISK_BYTES: Final = 64 << 20
#: Names (as in comm, 15 bytes) of programs that count the same requests with eBPF.
_SAME_WORK: Final = frozenset(
    {"beyla", "obi", "ebpf-instrument", "coroot-node-age", "pem", "deepflow-agent"}
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Attributes:
        code: the exit code that a failure asks for.
    """

    name: str
    state: Literal["pass", "warn", "fail"]
    why: str
    remedy: str = ""
    code: int = 3


def toolchain(candidates: tuple[str, ...]) -> tuple[str, str]:
    """("0.26.0, LLVM 14", "") of the first bcc that imports, or ("", the reason)."""
    for python in candidates:
        try:
            done = subprocess.run(
                [python, "-I", "-c", _CHILD],
                capture_output=True,
                timeout=_CHILD_SECONDS,
                check=True,
                text=True,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            )
        except (OSError, subprocess.SubprocessError):
            continue
        bcc, _, llvm = done.stdout.strip().partition(" ")
        return f"{bcc}, LLVM {'built in' if llvm == '?' else llvm}", ""
    # Once more, for the reason.
    return preflight.import_bcc(candidates)


def host(config: Config) -> Iterator[Check]:
    """The checks of a start, BCC and LLVM among them."""
    mode = config.ebpf.headers
    for found in preflight.check(mode=mode, bcc=toolchain):  # type: ignore[arg-type]
        state: Literal["pass", "warn", "fail"] = "fail" if found.required else "warn"
        yield Check(found.name, "pass" if found.ok else state, found.why, found.remedy)


def hooks(found: Features) -> Check:
    """Which way of hooking the kernel allows."""
    name = "hooks"
    missing = [each for each in ("ring_buffer", "namespace_pid") if not getattr(found, each)]
    if missing:
        shown = ", ".join(f"{each} ({_errno(found, each)})" for each in missing)
        return Check(name, "fail", f"the kernel lacks {shown}", "Linux 5.10 or newer is needed")
    if found.sock_length and found.task_registers:
        return Check(name, "pass", "at the socket (the cheapest)")
    if found.sys_exit:
        return Check(name, "pass", "at the end of system calls; Linux 6.3 has a cheaper way")
    why = f"neither at the socket nor at system calls ({_errno(found, 'sys_exit')})"
    return Check(name, "fail", why, "see the lines on capabilities, lockdown and bpf")


def _errno(found: Features, name: str) -> str:
    number = found.error_number(name)
    return errno.errorcode.get(number, str(number))


def probed_hooks() -> Check:
    """The same, of this kernel."""
    return hooks(features.probe())


def container(root: Path = Path("/")) -> Check:
    """Whether the agent has process ids of its own, and so does not see the whole host."""
    try:
        kind = (root / "run/systemd/container").read_text().strip()
    except OSError:
        kind = "docker" if (root / ".dockerenv").exists() else ""
    where = f"in a container ({kind})" if kind else "not in a container"
    try:
        own = first_pid_namespace(root / "proc") is not None
    except OSError as error:
        return Check("container", "warn", f"{where}; its process ids: {error.strerror}")
    if not own:
        return Check("container", "pass", f"{where}; the host's process ids are seen")
    return Check(
        "container",
        "warn",
        f"{where}, in a namespace of process ids: processes outside it are not seen",
        "for the whole host give it the host's process ids (podman and docker: --pid=host)",
    )


def clock() -> Check:
    """Whether the clock is synchronized, by adjtimex(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    state = int(libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    if state < 0:
        return Check("clock", "warn", "the kernel does not tell whether it is synchronized")
    if state == _TIME_ERROR:
        remedy = "start chrony or systemd-timesyncd; points with a wrong time may be refused"
        return Check("clock", "warn", "not synchronized", remedy)
    return Check("clock", "pass", "synchronized")


def disk(directory: Path) -> Check:
    """Whether what is kept over restarts finds room."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    why = f"{free >> 20} MiB free at {directory}"
    if free >= _LOW_DISK_BYTES:
        return Check("disk", "pass", why)
    return Check("disk", "warn", why, "make room: learned routes are not kept when it is full")


def agents(proc: Path = Path("/proc")) -> Check:
    """Whether another program counts the same requests."""
    same = sorted({_comm(path) for path in proc.glob("[0-9]*/comm")} & _SAME_WORK)
    if not same:
        return Check("other agents", "pass", "none that counts the same requests")
    why = f"{', '.join(same)} runs: requests are counted, and probed, twice"
    return Check("other agents", "warn", why, "stop it, or select other services in each")


def _comm(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:  # it ended meanwhile
        return ""
