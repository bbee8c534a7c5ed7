# ruff: noqa: INP001 - a program of the scenario
"""receiver.py FOLDER TOKEN: keeps the OTLP metrics that come with the right Authorization.

It stands for a remote endpoint with a path of its own and a password; whatever comes without it is
answered with 401. Standard library only.
"""

from __future__ import annotations

import gzip
import itertools
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NUMBERS = itertools.count(1)


class Receiver(BaseHTTPRequestHandler):
    """Answers as a gateway would."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One export."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        code = 200 if self.path == "/api/v1/otlp/v1/metrics" else 404
        if self.headers.get("Authorization") != f"Basic {sys.argv[2]}":
            code = 401
        if code == 200:
            packed = self.headers.get("Content-Encoding") == "gzip"
            name = f"{next(NUMBERS):06d}.metrics"
            part = Path(sys.argv[1], "received", f".{name}")
            part.write_bytes(gzip.decompress(body) if packed else body)
            part.rename(part.with_name(name))
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


if __name__ == "__main__":
    Path(sys.argv[1], "received").mkdir(parents=True, exist_ok=True)
    ThreadingHTTPServer(("127.0.0.1", 9091), Receiver).serve_forever()
