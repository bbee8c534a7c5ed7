"""Which TCP ports a process listens on: the socket tables of /proc joined with its descriptors.

Only the join and the parser of the tables live here (proc_pid_net(5), proc_pid_fd(5)). A table is
read once for each network namespace and kept until a listen event says that it is old.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SocketTables", "parse_listeners", "socket_inodes"]

#: Descriptors looked at; a process with more of them has opened its listening sockets long before.
MAX_DESCRIPTORS = 65_536
_TABLES = ("net/tcp", "net/tcp6")
_LISTEN = b"0A"
_BLOCK_BYTES = 65_536


def parse_listeners(lines: bytes) -> dict[int, int]:
    """The listening sockets of a piece of /proc/PID/net/tcp or tcp6: inode to port.

    Args:
        lines: whole lines; what is no socket's line (the heading) is skipped.
    """
    found: dict[int, int] = {}
    for line in lines.split(b"\n"):
        fields = line.split(None, 10)
        if len(fields) < 10 or fields[3] != _LISTEN:
            continue
        try:
            port = int(fields[1].rpartition(b":")[2], 16)
            inode = int(fields[9])
        except ValueError:
            continue
        if inode > 0 and 0 < port <= 0xFFFF:
            found[inode] = port
    return found


def socket_inodes(process_fd: int) -> Iterator[int]:
    """The inodes of the sockets among a process's descriptors.

    Args:
        process_fd: a descriptor of its directory in /proc.

    Raises:
        OSError: the process is gone, or its descriptors must not be read.
    """
    fd = os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process_fd)
    try:
        with os.scandir(fd) as entries:
            for entry in islice(entries, MAX_DESCRIPTORS):
                try:
                    link = os.readlink(entry.name, dir_fd=fd)
                except OSError:
                    continue  # closed since, as descriptors are
                if link.startswith("socket:["):
                    number = link[8:-1]
                    if number.isascii() and number.isdigit():
                        yield int(number)
    finally:
        os.close(fd)


class SocketTables:
    """The listening sockets of each network namespace, read at most once until `invalidate`.

    A socket starts to listen with a listen event; fork, exec and SCM_RIGHTS only hand it on. So a
    table which was read after the last such event knows every listening socket, and a burst of
    execs costs one reading.
    """

    __slots__ = ("_ports",)

    def __init__(self) -> None:
        self._ports: dict[str, dict[int, int]] = {}

    def invalidate(self) -> None:
        """Forgets every table."""
        self._ports.clear()

    def ports(self, process_fd: int) -> dict[int, int]:
        """The listening sockets (inode to port) of the network namespace of a process.

        Args:
            process_fd: a descriptor of its directory in /proc.
        """
        try:
            namespace = os.readlink("ns/net", dir_fd=process_fd)
        except OSError:
            # Without the right to know the namespace there is no right to read descriptors.
            return {}
        known = self._ports.get(namespace)
        if known is None:
            known = {}
            for name in _TABLES:
                known.update(_read_listeners(name, process_fd))
            self._ports[namespace] = known
        return known


def _read_listeners(name: str, process_fd: int) -> dict[int, int]:
    """Reads one table up to its last listening socket.

    The kernel lists the listening sockets first (tcp_get_idx in net/ipv4/tcp_ipv4.c), so a block
    of lines without any ends the reading: a proxy's 100,000 connections are not formatted only
    to be thrown away, and a large empty hash table is not walked a second time (2 ms).
    """
    found: dict[int, int] = {}
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=process_fd)
    except OSError:
        return found
    rest = b""
    try:
        while block := os.read(fd, _BLOCK_BYTES):
            lines, newline, rest = (rest + block).rpartition(b"\n")
            if not newline:
                continue
            listeners = parse_listeners(lines)
            if not listeners:
                break
            found.update(listeners)
    except OSError:
        pass  # the process is gone; its successor in the namespace reads the table again
    finally:
        os.close(fd)
    return found
