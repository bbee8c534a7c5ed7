"""One process, read from /proc.

Only the reading lives here; what is read is bytes under the control of that process, so nothing is
trusted: any field may be missing, huge, not UTF-8, or vanish between two reads.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from otelauto.discovery.cgroups import Place, parse_cgroup
from otelauto.discovery.sockets import SocketTables, socket_inodes
from otelauto.model import Process

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

__all__ = [
    "ENVIRONMENT",
    "ProcessView",
    "Stat",
    "list_pids",
    "open_process",
    "otel_variables",
    "parse_cmdline",
    "parse_stat",
    "read_stat",
]

#: The variables that are kept; the rest of an environment is secrets, and is never kept.
ENVIRONMENT = frozenset({"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"})

#: Bytes of a command line that are read; what follows is cut. Java class paths are long.
MAX_CMDLINE_BYTES = 262_144
#: Bytes of an environment that are searched (the kernel's own limit is a quarter of the stack's).
MAX_ENVIRON_BYTES = 8_388_608
#: Bytes of one variable that are kept: MAX_ARG_STRLEN, more cannot pass execve().
MAX_VARIABLE_BYTES = 131_072
_BLOCK_BYTES = 65_536
_SMALL_BYTES = 65_536

_FLAG_EXITING = 0x00000004
_FLAG_KERNEL_THREAD = 0x00200000
_DENIED = (errno.EACCES, errno.EPERM)
_WANTED = tuple(name.encode() + b"=" for name in sorted(ENVIRONMENT))


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says (proc_pid_stat(5)).

    Attributes:
        comm: the name of the main thread, at most 15 bytes, chosen by the process.
        start_ticks: when it started, in clock ticks since the boot.
        kernel_thread: it has no program.
        exiting: its main thread has begun to exit, or is a zombie.
    """

    comm: str
    parent: int
    start_ticks: int
    kernel_thread: bool
    exiting: bool


_GONE = Stat(comm="", parent=0, start_ticks=0, kernel_thread=False, exiting=True)


def parse_stat(content: bytes) -> Stat | None:
    """Parses /proc/PID/stat; None if it is none. The name may hold any byte, even ") S 1 "."""
    before, bracket, after = content.rpartition(b")")
    fields = after.split()
    if not bracket or len(fields) < 20:
        return None
    try:
        flags = int(fields[6])
        return Stat(
            comm=before.partition(b"(")[2].decode("utf-8", "surrogateescape"),
            parent=int(fields[1]),
            start_ticks=int(fields[19]),
            kernel_thread=bool(flags & _FLAG_KERNEL_THREAD),
            exiting=fields[0] in {b"Z", b"X", b"x"} or bool(flags & _FLAG_EXITING),
        )
    except ValueError:
        return None


def parse_cmdline(content: bytes) -> tuple[str, ...]:
    """Splits /proc/PID/cmdline; a process that overwrote its title leaves one text and padding."""
    text = content.decode("utf-8", "surrogateescape").rstrip("\0")
    return tuple(text.split("\0")) if text else ()


def otel_variables(blocks: Iterable[bytes]) -> dict[str, str]:
    """Finds the variables of ENVIRONMENT in the blocks of /proc/PID/environ.

    The first definition counts, as for getenv(). Values keep every "=" after the first. Nothing
    but one variable is held in memory at a time.
    """
    found: dict[str, str] = {}
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\0")
        for variable in whole:
            _keep(variable, found)
        rest = rest[:MAX_VARIABLE_BYTES]
    _keep(rest, found)
    return found


def _keep(variable: bytes, found: dict[str, str]) -> None:
    if variable.startswith(_WANTED) and len(variable) < MAX_VARIABLE_BYTES:
        name, _, value = variable.partition(b"=")
        found.setdefault(name.decode(), value.decode("utf-8", "surrogateescape"))


def list_pids(proc: Path) -> list[int]:
    """The process ids (thread groups) of /proc, ascending; empty if it cannot be read."""
    try:
        names = os.listdir(proc)  # noqa: PTH208 - names, not paths, of thousands
    except OSError:
        return []
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def read_stat(proc: Path, pid: int) -> Stat | None:
    """Reads /proc/PID/stat alone; None if the process is gone."""
    try:
        fd = os.open(f"{proc}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    return _read_stat(fd)


def _read_stat(fd: int) -> Stat | None:
    try:
        return parse_stat(os.read(fd, 4096))
    except OSError:
        return None
    finally:
        os.close(fd)


def open_process(proc: Path, pid: int, *, tables: SocketTables) -> ProcessView | None:
    """Opens a process; None if it is gone. Whether it is a zombie, its stat tells later.

    Args:
        proc: the mount point.
        pid: process id in the agent's pid namespace.
        tables: the socket tables that processes share.
    """
    try:
        # A Path for each exec on the host would cost more than the call itself.
        fd = os.open(f"{proc}/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    return ProcessView(pid, fd, tables=tables)


class ProcessView:
    """A process whose fields are read when they are first asked for, and then kept.

    All reads go through one descriptor of its directory, so that they fail instead of telling of
    another process after its id has been reused. Close it, or use it in a `with` statement.

    Attributes:
        pid: process id in the agent's pid namespace.
        unreadable: the entries that the agent has no right to read.
    """

    def __init__(self, pid: int, fd: int, *, tables: SocketTables) -> None:
        self.pid = pid
        self.unreadable: set[str] = set()
        self._fd = fd
        self._tables = tables

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Releases the descriptor; fields that were read stay readable."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self, name: str, limit: int) -> bytes:
        """The first bytes of an entry; what could be read if it fails."""
        return b"".join(self._blocks(name, limit))

    @cached_property
    def stat(self) -> Stat:
        """Parent, start, name; of a process that is gone: one that is exiting."""
        return self._stat() or _GONE

    @cached_property
    def exe(self) -> str:
        """The executable's path as the process sees it, without " (deleted)"."""
        return self._link("exe").removesuffix(" (deleted)")

    @cached_property
    def cwd(self) -> str:
        """The working directory as the process sees it, without " (deleted)"."""
        return self._link("cwd").removesuffix(" (deleted)")

    @cached_property
    def cmdline(self) -> tuple[str, ...]:
        """The arguments."""
        return parse_cmdline(self.read("cmdline", MAX_CMDLINE_BYTES))

    @cached_property
    def environ(self) -> Mapping[str, str]:
        """The variables of ENVIRONMENT that it was started with."""
        return otel_variables(self._blocks("environ", MAX_ENVIRON_BYTES))

    @cached_property
    def place(self) -> Place:
        """Its systemd unit and machine."""
        return parse_cgroup(self.read("cgroup", _SMALL_BYTES))

    @cached_property
    def listen_ports(self) -> frozenset[int]:
        """The TCP ports on which one of its descriptors listens."""
        ports = self._tables.ports(self._fd)
        if not ports:
            return frozenset()
        try:
            return frozenset(ports[i] for i in socket_inodes(self._fd) if i in ports)
        except OSError as error:
            self._note("fd", error)
            return frozenset()

    def recall(self, process: Process) -> None:
        """Takes what was read of this same process earlier, unless it runs another program now.

        A server that changes its folder or its title after its start keeps its name that way.
        """
        if (self.stat.start_ticks, self.exe) == (process.start_ticks, process.exe):
            self.__dict__["cmdline"] = process.cmdline
            self.__dict__["environ"] = process.environ
            self.__dict__["cwd"] = process.cwd

    def know_ports(self, ports: frozenset[int]) -> None:
        """Takes the ports as known, instead of reading descriptors and socket tables."""
        self.__dict__["listen_ports"] = ports

    def may_listen(self, ranges: Iterable[tuple[int, int]]) -> bool:
        """Whether any socket of its network namespace listens on one of the ports."""
        known = self.__dict__.get("listen_ports")
        ports = self._tables.ports(self._fd).values() if known is None else known
        return any(low <= port <= high for low, high in ranges for port in ports)

    def freeze(self, heard: frozenset[int] = frozenset()) -> Process | None:
        """Reads what has not been read yet; None if the process ended meanwhile.

        Args:
            heard: ports that listen events told of.
        """
        process = Process(
            pid=self.pid,
            start_ticks=self.stat.start_ticks,
            exe=self.exe,
            cmdline=self.cmdline,
            environ=self.environ,
            unit=self.place.unit,
            cwd=self.cwd,
            listen_ports=self.listen_ports | heard,
            parent=self.stat.parent,
        )
        # Fields read while it died are empty, not wrong: do not build an identity on them.
        now = self._stat()
        return None if self.stat.exiting or now is None or now.exiting else process

    def _stat(self) -> Stat | None:
        try:
            return _read_stat(os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._fd))
        except OSError:
            return None

    def _link(self, name: str) -> str:
        try:
            return os.readlink(name, dir_fd=self._fd)
        except OSError as error:
            self._note(name, error)
            return ""

    def _blocks(self, name: str, limit: int) -> Iterator[bytes]:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._fd)
        except OSError as error:
            self._note(name, error)
            return
        try:
            while limit > 0 and (block := os.read(fd, min(limit, _BLOCK_BYTES))):
                limit -= len(block)
                yield block
        except OSError as error:
            self._note(name, error)
        finally:
            os.close(fd)

    def _note(self, name: str, error: OSError) -> None:
        if error.errno in _DENIED:
            self.unreadable.add(name)
