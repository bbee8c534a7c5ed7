"""The crudest possible server: it sends given bytes at given moments, whatever was asked.

``serve`` runs in the process that calls it; as a program::

    python raw.py PORT '[[0.3, "HTTP/1.1 201 Created\\r\\nContent-Length: 2\\r\\n\\r\\nok"]]'

where each step is a delay in seconds and the bytes (latin-1) that follow a complete request head.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["exchange", "padded_request", "serve"]


def serve(port: int, steps: Sequence[tuple[float, bytes]], *, once: bool = False) -> None:
    """Answer every connection's first request head with the steps, then close in good order."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            peer, _ = listener.accept()
            with peer:
                _answer(peer, steps)
            if once:
                return


def _answer(peer: socket.socket, steps: Sequence[tuple[float, bytes]]) -> None:
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    received = b""
    try:
        while b"\r\n\r\n" not in received:
            data = peer.recv(65536)
            if not data:
                return
            received += data
        for delay_seconds, data in steps:
            time.sleep(delay_seconds)
            peer.sendall(data)
        # A close with unread bytes would be a reset, and the peer would lose what was sent.
        peer.shutdown(socket.SHUT_WR)
        peer.settimeout(1)
        while peer.recv(65536):
            pass
    except OSError:
        return


def exchange(
    port: int,
    pieces: Sequence[tuple[float, bytes]],
    *,
    address: str = "127.0.0.1",
    timeout_seconds: float = 10,
    half_close: bool = False,
) -> bytes:
    """Send the pieces, each after its delay in seconds; return all that comes before the close.

    With half_close the peer is told that nothing more will come.
    """
    received = b""
    with socket.create_connection((address, port), timeout_seconds) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for delay_seconds, data in pieces:
            time.sleep(delay_seconds)
            sock.sendall(data)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        while data := sock.recv(65536):
            received += data
    return received


def padded_request(size_bytes: int, path: str = "/sz", *, close: bool = False) -> bytes:
    """A GET of exactly so many bytes, filled up by a cookie."""
    connection = "Connection: close\r\n" if close else ""
    start = f"GET {path} HTTP/1.1\r\nHost: h\r\n{connection}Cookie: ".encode()
    end = b"\r\n\r\n"
    filling = size_bytes - len(start) - len(end)
    if filling < 1:
        raise ValueError(f"a request of {size_bytes} bytes has no room for {path}")
    return start + b"c" * filling + end


if __name__ == "__main__":
    script = json.loads(sys.argv[2])
    serve(int(sys.argv[1]), [(float(delay), text.encode("latin-1")) for delay, text in script])
