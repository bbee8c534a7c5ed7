"""A middle service: asks the next one for each request, and witnesses when.

Standard library only. As a program: chain_app.py HOW PORT NEXT LOG. HOW "threads" has one thread
for each connection, which waits; "asyncio" serves all on one event loop. As a WSGI application:
the environment says NEXT and LOG.

Each request is one JSON line, {"path": ..., "first_ns": ..., "last_ns": ...}: CLOCK_MONOTONIC
around the question to the next service. The path goes on as it came, the headers do not.
"""

from __future__ import annotations

import asyncio
import http.client
import http.server
import json
import os
import sys
import time
from pathlib import Path


def witness(log: str, path: str, first_ns: int) -> None:
    line = json.dumps({"path": path, "first_ns": first_ns, "last_ns": time.monotonic_ns()})
    with Path(log).open("a") as file:
        file.write(line + "\n")


def ask(port: int, path: str, log: str) -> bytes:
    first_ns = time.monotonic_ns()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    witness(log, path, first_ns)
    return body


def application(environ, start_response):
    body = ask(int(os.environ["NEXT"]), environ["PATH_INFO"], os.environ["LOG"])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def threads(port: int, following: int, log: str) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = ask(following, self.path, log)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


async def on_loop(port: int, following: int, log: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split()[1].decode()
            first_ns = time.monotonic_ns()
            theirs, ours = await asyncio.open_connection("127.0.0.1", following)
            ours.write(f"GET {path} HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n".encode())
            await theirs.read()
            ours.close()
            witness(log, path, first_ns)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


def main(how: str, port: str, following: str, log: str) -> None:
    if how == "threads":
        threads(int(port), int(following), log)
    else:
        asyncio.run(on_loop(int(port), int(following), log))


if __name__ == "__main__":
    main(*sys.argv[1:])
