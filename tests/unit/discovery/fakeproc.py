"""A process file system in a folder, for the readers of discovery."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HEADING = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout"
    " inode\n"
)


def socket_line(port: int, inode: int, *, state: str = "0A", v6: bool = False) -> str:
    address = ("0" * 32) if v6 else "0100007F"
    return (
        f"   0: {address}:{port:04X} {address}:0000 {state} 00000000:00000000 00:00000000"
        f" 00000000  1000        0 {inode} 1 0000000000000000 100 0 0 10 0\n"
    )


class FakeProc:
    """Builds /proc/PID folders and the socket tables of network namespaces."""

    def __init__(self, root: Path) -> None:
        self.path = root / "proc"
        self.path.mkdir()
        self._namespaces = root / "namespaces"
        self._start = 1000
        self._inode = 5000

    def add(
        self,
        pid: int,
        exe: str = "",
        *,
        cmdline: Sequence[str] = (),
        environ: Mapping[str, str] | bytes = b"",
        unit: str = "",
        cgroup: str = "",
        cwd: str = "/",
        parent: int = 1,
        comm: str = "x",
        start: int | None = None,
        state: str = "S",
        flags: int = 0x400000,
        namespace: int = 1,
        ports: Sequence[int] = (),
    ) -> None:
        """A new process; an existing one of this id is replaced (execve, or reuse of the id)."""
        folder = self.path / str(pid)
        if start is None:
            self._start += 1
            start = self._start
        if folder.exists():
            shutil.rmtree(folder)
        (folder / "fd").mkdir(parents=True)
        (folder / "ns").mkdir()
        self.stat(pid, parent=parent, comm=comm, start=start, state=state, flags=flags)
        arguments = cmdline or ([exe] if exe else [])
        (folder / "cmdline").write_bytes(
            b"".join(each.encode("utf-8", "surrogateescape") + b"\0" for each in arguments)
        )
        if not isinstance(environ, bytes):
            environ = b"".join(f"{k}={v}\0".encode() for k, v in environ.items())
        (folder / "environ").write_bytes(environ)
        path = f"/system.slice/{unit}" if unit else "/"
        (folder / "cgroup").write_text(cgroup or f"0::{path}\n")
        if exe:
            (folder / "exe").symlink_to(exe)
        (folder / "cwd").symlink_to(cwd)
        (folder / "ns/net").symlink_to(f"net:[{namespace}]")
        (folder / "net").symlink_to(self._namespace(namespace))
        (folder / "fd/0").symlink_to("/dev/null")
        for port in ports:
            self.listen(pid, port, namespace=namespace)

    def stat(
        self,
        pid: int,
        *,
        parent: int = 1,
        comm: str = "x",
        start: int = 1,
        state: str = "S",
        flags: int = 0x400000,
    ) -> None:
        zeros = " ".join(["0"] * 8)
        text = f"{pid} ({comm}) {state} {parent} 1 1 0 -1 {flags} {zeros} 0 0 1 0 {start} 0 0\n"
        (self.path / str(pid) / "stat").write_bytes(text.encode("utf-8", "surrogateescape"))

    def start_of(self, pid: int) -> int:
        return int((self.path / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[19])

    def socket(self, pid: int) -> int:
        """A new socket among the descriptors of a process; returns its inode."""
        self._inode += 1
        self.give(pid, self._inode)
        return self._inode

    def give(self, pid: int, inode: int) -> None:
        """A descriptor for a socket that exists: inherited or passed on."""
        folder = self.path / str(pid) / "fd"
        (folder / str(len(list(folder.iterdir())))).symlink_to(f"socket:[{inode}]")

    def listen(self, pid: int, port: int, *, namespace: int = 1, v6: bool = False) -> int:
        """A new listening socket of a process; returns its inode."""
        inode = self.socket(pid)
        with (self._namespace(namespace) / ("tcp6" if v6 else "tcp")).open("a") as table:
            table.write(socket_line(port, inode, v6=v6))
        return inode

    def close_ports(self, namespace: int = 1) -> None:
        """Nobody listens any more."""
        for name in ("tcp", "tcp6"):
            (self._namespace(namespace) / name).write_text(HEADING)

    def exit(self, pid: int) -> None:
        shutil.rmtree(self.path / str(pid))

    def _namespace(self, number: int) -> Path:
        folder = self._namespaces / str(number)
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "tcp").write_text(HEADING)
            (folder / "tcp6").write_text(HEADING)
        return folder
