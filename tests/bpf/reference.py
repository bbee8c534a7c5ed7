"""What h11, an HTTP/1 parser of another origin, says of a conversation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11
from tests.bpf.replay import Truth, Turn

from otelauto.abi._layout import Version

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["path_of", "turn_of"]

#: Heads of any size.
HEAD_BYTES = 1 << 20
VERSIONS = {b"1.0": Version.HTTP_1_0, b"1.1": Version.HTTP_1_1}


@dataclass(frozen=True, slots=True)
class _Message:
    start: h11.Request | h11.Response | h11.InformationalResponse
    body_bytes: int
    end: int


def path_of(method: str, target: bytes) -> bytes | None:
    """The path of a request target (RFC 9112 section 3.2): no query, no fragment."""
    if method == "CONNECT":
        return None
    absolute = re.match(rb"(?i)https?://[^/?#]*", target)
    path = re.split(rb"[?#]", target[absolute.end() :] if absolute else target, maxsplit=1)[0]
    return path or None


def turn_of(requests: bytes, responses: bytes, *, closed: bool = False) -> Turn:
    """Read both streams; the responses may end with the connection.

    Raises:
        h11.ProtocolError: one of them is not HTTP/1.
    """
    asked = _requests(requests)
    answered = _responses(responses, [message.start for message in asked], closed=closed)
    first, truths = 0, []
    for request, response in zip(asked, answered, strict=True):
        method = request.start.method.decode()
        truths.append(
            Truth(
                method=method,
                path=path_of(method, request.start.target),
                status=response.start.status_code,
                request_bytes=request.body_bytes,
                response_bytes=response.body_bytes,
                version=VERSIONS[request.start.http_version],
                first=first,
                last=response.end - 1,
            )
        )
        first = request.end
    return Turn(requests, responses, tuple(truths), closed)


def _requests(stream: bytes) -> list[_Message]:
    messages = []
    at = 0
    while at < len(stream):
        connection = h11.Connection(h11.SERVER, HEAD_BYTES)
        connection.receive_data(stream[at:])
        messages.append(_read(connection, len(stream)))
        at = messages[-1].end
    return messages


def _responses(stream: bytes, asked: Sequence[h11.Request], *, closed: bool) -> list[_Message]:
    messages = []
    at = 0
    for request in asked:
        connection = h11.Connection(h11.CLIENT, HEAD_BYTES)
        headers = [("Host", "h")]
        headers += [(name, value) for name, value in request.headers if name == b"upgrade"]
        connection.send(h11.Request(method=request.method, target=request.target, headers=headers))
        connection.send(h11.EndOfMessage())
        connection.receive_data(stream[at:])
        if closed:
            connection.receive_data(b"")
        messages.append(_read(connection, len(stream)))
        at = messages[-1].end
    return messages


def _read(connection: h11.Connection, size: int) -> _Message:
    """The next message, with interim responses before it; `end` is where it ends in the stream."""
    start, body_bytes = None, 0
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request | h11.Response | h11.InformationalResponse):
            start = event
        elif isinstance(event, h11.Data):
            body_bytes += len(event.data)
        elif isinstance(event, h11.EndOfMessage) or event is h11.PAUSED:
            break
        else:
            raise h11.RemoteProtocolError(f"the stream ends inside a message: {event!r}")
    assert start is not None
    return _Message(start, body_bytes, size - len(connection.trailing_data[0]))
