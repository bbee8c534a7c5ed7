"""A small HTTP server for a handful of pages, hard to hold up.

Only HTTP lives here, nothing of metrics. An event loop in a thread of its own serves every
connection, so an idle one costs a few kilobytes and no thread. All is bounded: connections (the
one that idles longest makes room for a new one), the size of a head, the time for a head, for a
TLS handshake, for each piece of an answer and for all of it. Pages are streamed, so that a slow
reader holds one piece of a page and not the page.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import socket
import threading
import zlib
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from otelauto.errors import ExportError
from otelauto.export import _http_head

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from otelauto.export._http_head import Head

__all__ = ["Access", "Answer", "Limits", "PageServer"]

_METHODS = ("GET", "HEAD")
_LINGER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page answers.

    Attributes:
        body: the page in pieces; the first is made before the status is sent.
    """

    status: int
    content_type: str
    body: Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the host a client can take."""

    connections: int = 64
    head_bytes: int = 16 * 1024
    head_seconds: float = 5.0
    idle_seconds: float = 120.0
    piece_seconds: float = 10.0
    answer_seconds: float = 60.0


@dataclass(slots=True, eq=False)
class _Connection:
    """A connection that is open; idle while it waits for a head."""

    task: asyncio.Task[None] | None = None
    idle: bool = True
    first: bool = True


@dataclass(frozen=True, slots=True)
class Access:
    """Who may read: TLS with this context, and these credentials; empty: everybody."""

    tls: ssl.SSLContext | None = None
    username: str = ""
    password: str = field(default="", repr=False)


class PageServer:
    """Listens from start() to stop().

    Args:
        address: to bind; empty: every interface.
        port: 0: any free one.
        pages: by exact path; called in the event loop's helper thread, one at a time, and must
            not raise. "/healthz" is answered without a page and without credentials.
        failed: told of the error that broke an answer off half-way.
    """

    def __init__(
        self,
        address: str,
        port: int,
        *,
        pages: Mapping[str, Callable[[Head], Answer]],
        access: Access | None = None,
        limits: Limits | None = None,
        failed: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._failed = failed
        self._turn = asyncio.Lock()
        self._address = address
        self._port = port
        self._pages = pages
        self._access = access or Access()
        self._limits = limits or Limits()
        self._answers: Counter[int] = Counter()
        self._open: dict[_Connection, None] = {}  # in the order in which they became idle
        self._listener: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._listener.getsockname()[1]) if self._listener else self._port

    @property
    def answers(self) -> Mapping[int, int]:
        """How many requests were answered, by status."""
        return dict(self._answers)

    def start(self) -> None:
        """Bind and serve.

        Raises:
            ExportError: the address cannot be bound.
        """
        self._listener = _bound(self._address, self._port)
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(ready)), name="prometheus", daemon=True
        )
        self._thread.start()
        ready.wait(10)

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """Close the port and every connection."""
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        if self._listener is not None:
            self._listener.close()

    async def _main(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._listen()
        ready.set()
        await self._stop.wait()
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
        tasks = [one.task for one in self._open if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _listen(self) -> None:
        if self._listener is not None and self._stop is not None and not self._stop.is_set():
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            # Out of descriptors or memory: the listener would wake the loop without end.
            loop.remove_reader(listener)
            loop.call_later(0.2, self._listen)
            return
        accepted.setblocking(False)
        if len(self._open) >= self._limits.connections and not self._make_room():
            accepted.close()
            return
        connection = _Connection()
        self._open[connection] = None
        connection.task = loop.create_task(self._serve(accepted, connection))
        # Not in _serve(): a task that is cancelled before its first step runs no finally.
        connection.task.add_done_callback(partial(_close, accepted))

    def _make_room(self) -> bool:
        for connection in self._open:
            if connection.idle and connection.task is not None:
                del self._open[connection]
                connection.task.cancel()
                return True
        return False

    async def _serve(self, accepted: socket.socket, connection: _Connection) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await self._streams(accepted)
            while await self._exchange(reader, writer, connection):
                connection.first = False
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            pass  # the client left, dawdled, or speaks no TLS
        except Exception as error:  # noqa: BLE001 - one broken page must not end the server
            self._failed(error)
        finally:
            self._open.pop(connection, None)
            if writer is not None:
                writer.transport.abort()

    async def _streams(
        self, accepted: socket.socket
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=self._limits.head_bytes, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        tls = self._access.tls
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            accepted,
            ssl=tls,
            ssl_handshake_timeout=self._limits.head_seconds if tls else None,
        )
        # drain() shall mean that the kernel has taken the piece. Not 0: asyncio's TLS transport
        # takes an empty buffer for a full one then, and drain() never returns.
        transport.set_write_buffer_limits(high=1)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: _Connection,
    ) -> bool:
        """One request and its answer; whether another may follow."""
        limits = self._limits
        connection.idle = True
        if connection in self._open:
            self._open[connection] = self._open.pop(connection)
        try:
            data = await asyncio.wait_for(
                reader.readuntil(b"\r\n\r\n"),
                limits.head_seconds if connection.first else limits.idle_seconds,
            )
            connection.idle = False
            head = _http_head.parse(data)
        except (asyncio.LimitOverrunError, _http_head.BadHead) as error:
            status = error.status if isinstance(error, _http_head.BadHead) else 431
            await self._send(writer, _plain(status), _http_head.Head("GET", "/"), keep=False)
            await _linger(reader, writer)
            return False
        answer = await self._answer(head)
        keep = head.keep_alive and head.chunked_answers and not head.has_body
        await self._send(writer, answer, head, keep=keep)
        if not keep:
            await _linger(reader, writer)
        return keep

    async def _answer(self, head: Head) -> Answer:
        if head.path == "/healthz":
            return _plain(200, "ok\n") if head.method in _METHODS else _plain(405)
        access = self._access
        if access.username and not _http_head.authorized(
            head, username=access.username, password=access.password
        ):
            return _plain(401)
        page = self._pages.get(head.path)
        if page is None:
            return _plain(404)
        if head.method not in _METHODS:
            return _plain(405)
        async with self._turn:
            return await asyncio.get_running_loop().run_in_executor(None, page, head)

    async def _send(
        self, writer: asyncio.StreamWriter, answer: Answer, head: Head, *, keep: bool
    ) -> None:
        self._answers[answer.status] += 1
        await asyncio.wait_for(
            self._send_pieces(writer, answer, head, keep=keep), self._limits.answer_seconds
        )

    async def _send_pieces(
        self, writer: asyncio.StreamWriter, answer: Answer, head: Head, *, keep: bool
    ) -> None:
        gzip = answer.status == 200 and _http_head.accepts_gzip(head)
        chunked = head.chunked_answers
        pending = _answer_head(answer, gzip=gzip, chunked=chunked, keep=keep)
        if head.method != "HEAD":
            for piece in _compressed(answer.body) if gzip else answer.body:
                if piece:
                    framed = b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
                    await self._write(writer, pending + framed)
                    pending = b""
            pending += b"0\r\n\r\n" if chunked else b""
        if pending:
            await self._write(writer, pending)

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await asyncio.wait_for(writer.drain(), self._limits.piece_seconds)


def _close(accepted: socket.socket, _: object) -> None:
    accepted.close()


def _answer_head(answer: Answer, *, gzip: bool, chunked: bool, keep: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} {http.HTTPStatus(answer.status).phrase}",
        f"Content-Type: {answer.content_type}",
        "X-Content-Type-Options: nosniff",
        "Vary: Accept, Accept-Encoding",
    ]
    if gzip:
        lines.append("Content-Encoding: gzip")
    if answer.status == 401:
        lines.append('WWW-Authenticate: Basic realm="otelauto", charset="UTF-8"')
    if answer.status == 405:
        lines.append(f"Allow: {', '.join(_METHODS)}")
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    if not keep:
        lines.append("Connection: close")
    return "\r\n".join((*lines, "", "")).encode()


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let the client read the answer before the connection ends.

    Closing a socket that holds unread bytes (a request's body, the rest of a huge head) resets it,
    and the client loses the answer that tells it why.
    """

    async def drained() -> None:
        if writer.can_write_eof():
            writer.write_eof()
            while await reader.read(65536):
                pass
        else:
            writer.close()
            await writer.wait_closed()

    with contextlib.suppress(OSError, asyncio.TimeoutError):
        await asyncio.wait_for(drained(), _LINGER_SECONDS)


def _plain(status: int, text: str = "") -> Answer:
    body = text or f"{status} {http.HTTPStatus(status).phrase}\n"
    return Answer(status, "text/plain; charset=utf-8", (body.encode(),))


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    # Level 1: a third of the time of level 6, and a page of metrics comes out as small.
    packer = zlib.compressobj(1, wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _bound(address: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            address or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ExportError(
            f"Prometheus endpoint: address {address!r} cannot be resolved: {error}",
            hint="set prometheus_export.listen_address to an address of this host",
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen(64)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ExportError(
            f"Prometheus endpoint: {address or '*'}:{port} cannot be bound: {error.strerror}",
            hint="stop what listens there (ss -ltnp shows it) or set another port",
        ) from error
    return listener
