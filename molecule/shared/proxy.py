# ruff: noqa: INP001 - a program of the scenarios
"""An HTTP proxy that listens in a network of hosts and dials from outside it.

    proxy.py NAMESPACE ADDRESS PORT

It dials the package mirrors of Debian and of this machine's own apt, and nothing else. Standard
library only.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import socket
import sys
from pathlib import Path

CLONE_NEWNET = 0x40000000


def allowed() -> set[str]:
    """Debian's mirror, those of this machine's apt, and the hosts in OTELAUTO_MACHINES_ALLOW."""
    found = {"deb.debian.org", *os.environ.get("OTELAUTO_MACHINES_ALLOW", "").split()}
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        if path.is_file():
            found.update(re.findall(r"https?://([^/\s:]+)", path.read_text()))
    return found


def listener(space: str, address: str, port: int) -> socket.socket:
    """A socket that listens inside the namespace; the process itself stays where it is."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/self/ns/net").open() as here, Path(space).open() as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            sys.exit(os.strerror(ctypes.get_errno()))
        found = socket.create_server((address, port))
        libc.setns(here.fileno(), CLONE_NEWNET)
    return found


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction to its end."""
    try:
        while received := await reader.read(65536):
            writer.write(received)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def request(head: bytes) -> tuple[str, int, bytes, bytes]:
    """Host, port, what is sent on, and what is answered at once."""
    lines = head.split(b"\r\n")
    method, url, version = lines[0].decode("latin-1").split()
    if method == "CONNECT":
        host, _, port = url.rpartition(":")
        return host, int(port), b"", b"HTTP/1.1 200 OK\r\n\r\n"
    host, _, path = url.split("://", 1)[1].partition("/")
    host, _, port = host.partition(":")
    kept = [x for x in lines[1:-2] if not x.lower().startswith((b"proxy-", b"connection:"))]
    first = f"{method} /{path} {version}".encode()
    return host, int(port or 80), b"\r\n".join([first, *kept, b"Connection: close", b"", b""]), b""


async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request; whatever is wrong with it ends its connection only."""
    try:
        host, port, forward, answer = request(await reader.readuntil(b"\r\n\r\n"))
        if host not in allowed():
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        there, back = await asyncio.open_connection(host, port)
        writer.write(answer)
        back.write(forward)
        await asyncio.gather(pump(reader, back), pump(there, writer))
    except (OSError, ValueError, IndexError, asyncio.IncompleteReadError) as error:
        sys.stdout.write(f"{error!r}\n")
        writer.close()


async def main(space: str, address: str, port: str) -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(client, sock=listener(space, address, int(port)))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
