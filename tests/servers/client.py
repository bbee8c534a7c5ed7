"""A client program that a test watches, and a witness of what it did.

Run as a program; standard library only::

    client.py MARK HOW ADDRESS PORT [METHOD:TARGET[:BODY BYTES] ...]

Each exchange is printed as one JSON line: {"status": 200, "first_ns": ..., "last_ns": ...}, taken
from CLOCK_MONOTONIC before the request's first write and after the response's last read. MARK does
nothing but stand in the command line.

HOW: "http.client" and "urllib" from the library; "steps" is http.client that begins each exchange
when a line comes on standard input; "vectors" uses sendmsg and recvmsg_into; "peek" looks at the
response before it takes it; "abandon" hangs up 0.1 s after the request. ADDRESS may be the path of
a unix socket, for "unix", which is http.client over it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

Exchange = tuple[str, str, bytes]
Action = Callable[[Exchange], int]


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def ask(connection: http.client.HTTPConnection, exchange: Exchange) -> int:
    method, target, body = exchange
    connection.request(method, target, body=body or None)
    response = connection.getresponse()
    response.read()
    return response.status


def by_urllib(address: str, port: int, exchange: Exchange) -> int:
    method, target, body = exchange
    url = f"http://{address}:{port}{target}"
    request = urllib.request.Request(url, data=body or None, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            response.read()
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.read()
        return error.code


def head_of(exchange: Exchange) -> bytes:
    return f"{exchange[0]} {exchange[1]} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()


def by_vectors(address: str, port: int, exchange: Exchange) -> int:
    with socket.create_connection((address, port), 10) as sock:
        head = head_of(exchange)
        sock.sendmsg([head[:6], b"", head[6:20], head[20:]])
        received = b""
        while True:
            small, large = bytearray(3), bytearray(4096)
            size, *_ = sock.recvmsg_into([small, large])
            if not size:
                return int(received.split(b" ")[1])
            received += bytes(small + large)[:size]


def by_peeking(address: str, port: int, exchange: Exchange) -> int:
    with socket.create_connection((address, port), 10) as sock:
        sock.sendall(head_of(exchange))
        received = b""
        while True:
            for _ in range(3):
                sock.recv(65536, socket.MSG_PEEK)
            data = sock.recv(65536)
            if not data:
                return int(received.split(b" ")[1])
            received += data


def abandon(address: str, port: int, exchange: Exchange) -> int:
    with socket.create_connection((address, port), 10) as sock:
        sock.sendall(head_of(exchange))
        time.sleep(0.1)
    return 0


def action(how: str, address: str, port: int) -> Action:
    direct = {
        "urllib": by_urllib, "vectors": by_vectors, "peek": by_peeking, "abandon": abandon,
    }.get(how)  # fmt: skip
    if direct:
        return lambda exchange: direct(address, port, exchange)
    connection = (
        UnixConnection(address)
        if how == "unix"
        else http.client.HTTPConnection(address, port, timeout=10)
    )
    return lambda exchange: ask(connection, exchange)


def exchanges(arguments: list[str], *, stepwise: bool) -> Iterator[Exchange]:
    for argument in arguments:
        method, target, *size = argument.split(":")
        if stepwise and not sys.stdin.readline():
            return
        yield method, target, b"b" * int(size[0]) if size else b""


def main() -> None:
    _, _mark, how, address, port, *rest = sys.argv
    act = action(how, address, int(port))
    for exchange in exchanges(rest, stepwise=how == "steps"):
        record: dict[str, int | str] = {"first_ns": time.monotonic_ns()}
        with contextlib.suppress(OSError, http.client.HTTPException):
            record["status"] = act(exchange)
        sys.stdout.write(json.dumps({**record, "last_ns": time.monotonic_ns()}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
