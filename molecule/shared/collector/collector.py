# ruff: noqa: INP001 - a program of the scenarios' stand-in package
"""Stands in for the vendor's collector on test hosts: does what its River file says, and records.

It parses the file with the collection's strict parser and checks its references, opens the HTTP
receiver and its own server where the file and the flags say, takes a reload only if the file is
right (and answers 400 with the reason if not), and keeps what arrives as files. It forwards
nothing, and its gRPC receiver only accepts connections.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from river.check import check
from river.errors import RiverError
from river.formatter import format_body
from river.parser import parse
from river.read import read

FLAVOR = "alloy" if Path(sys.argv[0]).name == "alloy" else "agent"
EVERYWHERE = {"grpc": "0.0.0.0:4317", "http": "0.0.0.0:4318"}


def loaded(path: str) -> list[dict[str, Any]]:
    """The blocks of a file that a collector would load."""
    tree = parse(Path(path).read_text(encoding="utf-8"))
    check(tree, FLAVOR)
    return read(tree)


def listeners(blocks: list[dict[str, Any]]) -> dict[str, str]:
    """Where the receiver listens; without an endpoint everywhere, as the product does."""
    found: dict[str, str] = {}
    for statement in blocks:
        for name, block in statement.items():
            if name.startswith("otelcol.receiver.otlp"):
                for inner in block["$block"]:
                    for protocol in set(inner) & set(EVERYWHERE):
                        given = [
                            x["endpoint"] for x in inner[protocol]["$block"] if "endpoint" in x
                        ]
                        found[protocol] = given[0] if given else EVERYWHERE[protocol]
    return found


class Collector:
    """The state that both servers share."""

    def __init__(self, path: str, storage: str) -> None:
        self.path = path
        self.received = Path(storage) / "received"
        self.received.mkdir(parents=True, exist_ok=True)
        self.blocks = loaded(path)
        self.reloads = 0
        self.lock = threading.Lock()
        self.number = len(list(self.received.iterdir()))

    def reload(self) -> str:
        """Take the file if it is right; the reason if it is not."""
        try:
            self.blocks = loaded(self.path)
        except (OSError, RiverError) as error:
            return str(error)
        self.reloads += 1
        return ""

    def keep(self, signal_name: str, body: bytes) -> None:
        """One export as one file; the newest thousand stay."""
        with self.lock:
            self.number += 1
            name = f"{self.number:06d}.{signal_name}"
        part = self.received / f".{name}"
        part.write_bytes(body)
        part.rename(self.received / name)
        (self.received / f"{self.number - 1000:06d}.{signal_name}").unlink(missing_ok=True)


def receiver(collector: Collector) -> type[BaseHTTPRequestHandler]:
    """Answers OTLP over HTTP."""

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            known = {"/v1/metrics": "metrics", "/v1/traces": "traces"}
            if self.path in known:
                collector.keep(known[self.path], body)
            self.send_response(200 if self.path in known else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Requests are kept, not logged."""

    return Receiver


def own_server(collector: Collector) -> type[BaseHTTPRequestHandler]:
    """Answers readiness and reload."""

    class Own(BaseHTTPRequestHandler):
        def answer(self, code: int, text: str) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_GET(self) -> None:
            if self.path == "/-/ready":
                self.answer(200, "ready\n")
            elif self.path == "/state":
                environment = {name: os.environ[name] for name in os.environ if "MARK" in name}
                state = {"reloads": collector.reloads, "environment": environment}
                self.answer(200, json.dumps(state))
            else:
                self.answer(404, "")

        def do_POST(self) -> None:
            problem = collector.reload() if self.path == "/-/reload" else "no such page"
            self.answer(400 if problem else 200, problem or "reloaded\n")

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    return Own


def serve(address: str, handler: type[BaseHTTPRequestHandler]) -> None:
    """Listen in the background."""
    host, _, port = address.rpartition(":")
    server = ThreadingHTTPServer((host.strip("[]"), int(port)), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def run(arguments: list[str]) -> None:
    """``run [--flag=value]... FILE``."""
    flags = dict(word[2:].partition("=")[::2] for word in arguments if word.startswith("--"))
    [path] = [word for word in arguments if not word.startswith("--")]
    collector = Collector(path, flags.get("storage.path", "data"))
    serve(flags.get("server.http.listen-addr", "127.0.0.1:12345"), own_server(collector))
    for address in listeners(collector.blocks).values():
        serve(address, receiver(collector))
    signal.signal(signal.SIGHUP, lambda *_: print(collector.reload(), flush=True))  # noqa: T201
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()


def main(arguments: list[str]) -> None:
    """The commands that roles and units use."""
    try:
        match arguments:
            case ["run", *rest]:
                run(rest)
            case ["validate", "--help"] if FLAVOR == "alloy":
                sys.stdout.write("Usage: alloy validate\n")
            case ["validate", *_, path] if FLAVOR == "alloy":
                loaded(path)
            case ["fmt", path]:
                sys.stdout.write(format_body(parse(Path(path).read_text(encoding="utf-8"))))
            case _:
                sys.exit(f"unknown command: {arguments}")
    except RiverError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
