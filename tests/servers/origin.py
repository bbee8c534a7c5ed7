"""An HTTP/1.x origin that does by path what real servers do rarely, and witnesses every request.

Run as a program; standard library only. One JSON line per exchange goes to the access log::

    {"method": ..., "target": ..., "status": 200, "first_ns": ..., "last_ns": ...,
     "request_bytes": ..., "response_bytes": ..., "fault": "", "waited_ns": 0}

first_ns and last_ns are CLOCK_MONOTONIC at the return of the read that brought the request's first
byte and of the write that took the response's last. Bytes are those of bodies, without framing.
waited_ns is how long this process waited for a CPU meanwhile: by so much the moments may be late.

Paths: /status/NNN  /bytes?n=  /slow?ms=  /chunked?n=&size=&ms=  /close-delimited?size=&ms=
/early-hints  /continue?ms=  /upgrade  /204  /304  /head  /echo  /split?ms=  /iov  /events?n=&ms=
/sendfile?size=  /splice?size=  /reset  /abort  /partial?size=  and 200 "ok" for any other; HEAD
works on all that have a body.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MAX_HEAD = 1 << 20
SCHEDSTAT = Path("/proc/thread-self/schedstat")


class ClosedError(Exception):
    """The peer has closed."""


@dataclass(slots=True)
class Exchange:
    method: str
    target: str
    version: str
    headers: dict[str, str]
    first_ns: int
    status: int = 0
    last_ns: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    fault: str = ""
    waited_ns: int = 0
    waited_before_ns: int = 0
    close: bool = False
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    def done(self) -> None:
        """The response's last byte, so far, is written."""
        self.last_ns = time.monotonic_ns()
        self.waited_ns = waited_ns() - self.waited_before_ns

    def number(self, name: str, default: int) -> int:
        values = parse_qs(urlsplit(self.target).query).get(name)
        return int(values[0]) if values else default


def waited_ns() -> int:
    """How long this thread has waited for a CPU; 0 where the kernel does not say."""
    try:
        return int(SCHEDSTAT.read_text().split()[1])
    except (OSError, IndexError):
        return 0


@dataclass(slots=True)
class Connection:
    sock: socket.socket
    access: TextIO
    peek: bool = False
    buffer: bytearray = field(default_factory=bytearray)
    arrived_ns: int = 0
    waited_ns: int = 0

    async def read(self) -> None:
        if not self.buffer:
            self.waited_ns = waited_ns()
        if self.peek:
            with contextlib.suppress(BlockingIOError):
                self.sock.recv(65536, socket.MSG_PEEK)
        data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        if not data:
            raise ClosedError
        if not self.buffer:
            self.arrived_ns = time.monotonic_ns()
        self.buffer += data

    async def send(self, exchange: Exchange, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)
        exchange.done()

    async def head(self) -> Exchange:
        while b"\r\n\r\n" not in self.buffer:
            if len(self.buffer) > MAX_HEAD:
                raise ClosedError
            await self.read()
        text, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        first, waited = self.arrived_ns, self.waited_ns
        self.buffer = bytearray(rest)
        lines = text.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise ClosedError
        fields = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        exchange = Exchange(parts[0], parts[1], parts[2], headers, first)
        exchange.waited_before_ns = waited
        connection = headers.get("connection", "").lower()
        exchange.close = "close" in connection or (
            parts[2] == "HTTP/1.0" and "keep-alive" not in connection
        )
        return exchange

    async def body(self, exchange: Exchange) -> None:
        if "chunked" in exchange.headers.get("transfer-encoding", ""):
            while True:
                size = int((await self.line()).partition(b";")[0], 16)  # without extensions
                chunk = await self.exactly(size + 2)
                exchange.body += chunk[:-2]
                if not size:
                    break
        else:
            size = int(exchange.headers.get("content-length", "0"))
            exchange.body = await self.exactly(size)
        exchange.request_bytes = len(exchange.body)

    async def line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            await self.read()
        line, _, rest = bytes(self.buffer).partition(b"\r\n")
        self.buffer = bytearray(rest)
        return line

    async def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self.read()
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def log(self, exchange: Exchange) -> None:
        names = ("method", "target", "status", "first_ns", "last_ns", "request_bytes")
        names += ("response_bytes", "fault", "waited_ns")
        record = {name: getattr(exchange, name) for name in names}
        self.access.write(json.dumps(record) + "\n")
        self.access.flush()


def head_of(exchange: Exchange, status: int, *fields: str) -> bytes:
    exchange.status = status
    lines = [f"HTTP/1.1 {status} Reason", *fields]
    if exchange.close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def answer(
    connection: Connection, exchange: Exchange, *, status: int = 200, body: bytes = b"ok"
) -> None:
    """Head and body in one write; no body for HEAD, 204 and 304."""
    fields = [] if status == 204 else [f"Content-Length: {len(body)}"]
    data = head_of(exchange, status, *fields)
    if exchange.method != "HEAD" and status not in {204, 304}:
        data += body
        exchange.response_bytes = len(body)
    await connection.send(exchange, data)


async def sleep_ms(milliseconds: int) -> None:
    if milliseconds:
        await asyncio.sleep(milliseconds / 1000)


async def slow(connection: Connection, exchange: Exchange) -> None:
    await sleep_ms(exchange.number("ms", 100))
    await answer(connection, exchange)


async def chunked(connection: Connection, exchange: Exchange) -> None:
    size = exchange.number("size", 1000)
    await connection.send(exchange, head_of(exchange, 200, "Transfer-Encoding: chunked"))
    if exchange.method == "HEAD":
        return
    for turn in range(exchange.number("n", 3)):
        await sleep_ms(exchange.number("ms", 0) if turn else 0)
        await connection.send(exchange, b"%x\r\n" % size + b"c" * size + b"\r\n")
        exchange.response_bytes += size
    await connection.send(exchange, b"0\r\n\r\n")


async def close_delimited(connection: Connection, exchange: Exchange) -> None:
    exchange.close = True
    size = exchange.number("size", 5000)
    await connection.send(exchange, head_of(exchange, 200))
    await sleep_ms(exchange.number("ms", 0))
    await connection.send(exchange, b"d" * size)
    exchange.response_bytes = size


async def early_hints(connection: Connection, exchange: Exchange) -> None:
    """103 and the answer in one write."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    exchange.response_bytes = 2
    data = hints + head_of(exchange, 200, "Content-Length: 2") + b"ok"
    await connection.send(exchange, data)


async def upgrade(connection: Connection, exchange: Exchange) -> None:
    """101 (or 200 to CONNECT), then an echo until the peer closes."""
    status = 200 if exchange.method == "CONNECT" else 101
    fields = () if status == 200 else ("Connection: Upgrade", "Upgrade: echo")
    exchange.close = False
    await connection.send(exchange, head_of(exchange, status, *fields))
    connection.log(exchange)
    scratch = Exchange("", "", "", {}, 0)
    while True:
        if connection.buffer:
            await connection.send(scratch, bytes(connection.buffer))
            connection.buffer.clear()
        await connection.read()


async def split(connection: Connection, exchange: Exchange) -> None:
    """The response head in three writes."""
    data = head_of(exchange, 200, "Content-Length: 2") + b"ok"
    exchange.response_bytes = 2
    for piece in (data[:3], data[3:14], data[14:]):
        await connection.send(exchange, piece)
        await sleep_ms(exchange.number("ms", 20))


async def iov(connection: Connection, exchange: Exchange) -> None:
    """Head and body by one vectored write."""
    data = head_of(exchange, 200, "Content-Length: 5") + b"hello"
    exchange.response_bytes = 5
    os.writev(connection.sock.fileno(), [data[:10], data[10:30], data[30:]])
    exchange.done()


async def send_file(connection: Connection, exchange: Exchange) -> None:
    """The head by a write, the body by sendfile(2)."""
    size = exchange.number("size", 5000)
    await connection.send(exchange, head_of(exchange, 200, f"Content-Length: {size}"))
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        await asyncio.get_running_loop().sock_sendfile(connection.sock, file, fallback=False)
    exchange.response_bytes = size
    exchange.done()


async def splice(connection: Connection, exchange: Exchange) -> None:
    """The head by a write, the body, of at most a pipe's size, by splice(2)."""
    size = exchange.number("size", 5000)
    await connection.send(exchange, head_of(exchange, 200, f"Content-Length: {size}"))
    out, into = os.pipe()
    os.write(into, b"s" * size)
    exchange.response_bytes = os.splice(out, connection.sock.fileno(), size)
    exchange.done()
    os.close(out)
    os.close(into)


async def reset(connection: Connection, exchange: Exchange) -> None:
    """A TCP reset instead of an answer."""
    exchange.fault, exchange.close = "reset", True
    linger = struct.pack("ii", 1, 0)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


async def abort(_connection: Connection, exchange: Exchange) -> None:
    """A close instead of an answer."""
    exchange.fault, exchange.close = "abort", True


async def partial(connection: Connection, exchange: Exchange) -> None:
    """A close after half of the announced body."""
    size = exchange.number("size", 1000)
    exchange.fault, exchange.close = "partial", True
    data = head_of(exchange, 200, f"Content-Length: {size}") + b"p" * (size // 2)
    exchange.response_bytes = size // 2
    await connection.send(exchange, data)


async def echo(connection: Connection, exchange: Exchange) -> None:
    body = json.dumps({"method": exchange.method, "bytes": exchange.request_bytes}).encode()
    await answer(connection, exchange, body=body)


async def plain(connection: Connection, exchange: Exchange) -> None:
    path = exchange.path
    status = 201 if path == "/continue" else 200
    if path.startswith("/status/"):
        status = int(path.rpartition("/")[2])
    elif path in {"/204", "/304"}:
        status = int(path[1:])
    size = exchange.number("n", 2) if path == "/bytes" else 2
    await answer(connection, exchange, status=status, body=b"x" * size)


ROUTES: dict[str, Callable[[Connection, Exchange], Awaitable[None]]] = {
    "/slow": slow, "/chunked": chunked, "/events": chunked, "/close-delimited": close_delimited,
    "/early-hints": early_hints, "/upgrade": upgrade, "/split": split, "/iov": iov,
    "/reset": reset, "/abort": abort, "/partial": partial, "/echo": echo,
    "/sendfile": send_file, "/splice": splice,
}  # fmt: skip


async def serve_connection(sock: socket.socket, access: TextIO, *, peek: bool) -> None:
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = Connection(sock, access, peek)
    try:
        while True:
            if connection.buffer:  # pipelined: it came with an earlier read
                connection.arrived_ns = time.monotonic_ns()
            exchange = await connection.head()
            if exchange.headers.get("expect", "").lower() == "100-continue":
                await connection.send(exchange, b"HTTP/1.1 100 Continue\r\n\r\n")
                await sleep_ms(exchange.number("ms", 0))
            await connection.body(exchange)
            is_tunnel = exchange.method == "CONNECT"
            handler = upgrade if is_tunnel else ROUTES.get(exchange.path, plain)
            await handler(connection, exchange)
            connection.log(exchange)
            if exchange.close:
                break
    except (ClosedError, OSError, ValueError):
        pass
    finally:
        sock.close()


async def serve(listener: socket.socket, access: TextIO, *, peek: bool) -> None:
    listener.setblocking(False)
    loop = asyncio.get_running_loop()
    tasks = set()
    while True:
        sock, _ = await loop.sock_accept(listener)
        task = loop.create_task(serve_connection(sock, access, peek=peek))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--port", type=int)
    place.add_argument("--unix")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--access", required=True, help="the access log")
    parser.add_argument("--workers", type=int, default=1, help="processes that accept together")
    parser.add_argument("--peek", action="store_true", help="look at each read before it is made")
    args = parser.parse_args()
    if args.unix:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(args.unix)
        listener.listen(1024)
    else:
        family = socket.AF_INET6 if ":" in args.address else socket.AF_INET
        both = args.address == "::"
        listener = socket.create_server(
            (args.address, args.port), family=family, backlog=1024, dualstack_ipv6=both
        )
    for _ in range(args.workers - 1):
        if os.fork() == 0:
            break
    with Path(args.access).open("a", encoding="utf-8") as access:
        try:
            asyncio.run(serve(listener, access, peek=args.peek))
        except KeyboardInterrupt:
            sys.exit(130)


if __name__ == "__main__":
    main()
