"""An OTLP/HTTP receiver on a port of 127.0.0.1."""

from __future__ import annotations

import gzip
import http.server
import threading
from typing import TYPE_CHECKING, Any

from tests.receivers._decoded import Answer, Inbox, response

if TYPE_CHECKING:
    import ssl

    from typing_extensions import Self


class OtlpHttpReceiver(Inbox):
    """A context manager: a server from `with` to its end.

    Args:
        answers: the script; the last one repeats; none: accept everything.
        tls: a server context; None: plain HTTP.
    """

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        super().__init__(answers)
        inbox = self

        class Handler(_Handler):
            receiver = inbox

        self._server = _Server(("127.0.0.1", port), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._scheme = "https" if tls else "http"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The base URL, without the signal's path."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def endpoint(self) -> str:
        """The metrics endpoint."""
        return f"{self.url}/v1/metrics"

    @property
    def traces_endpoint(self) -> str:
        """The traces endpoint."""
        return f"{self.url}/v1/traces"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Failed handshakes and vanished clients are what the tests cause."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    receiver: Inbox

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = self.receiver.next_answer()
        self.receiver.record(
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            answer=answer,
        )
        if answer.silent:
            self.receiver.closed.wait()
            self.close_connection = True
            return
        self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        content = b""
        if answer.body is not None:
            content = answer.body
        elif answer.status is None:
            content = response(self.path, answer.rejected).SerializeToString()
        self.send_response(int(answer.status or 200))
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/x-protobuf")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.retry_after_seconds is not None:
            self.send_header("Retry-After", f"{answer.retry_after_seconds:g}")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Quiet."""
