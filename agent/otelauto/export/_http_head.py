"""The head of an HTTP/1 request: bytes in, a value or a status code out.

Pure functions; no sockets. Strict on purpose: what is not plainly right is answered with 400.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BadHead", "Head", "accepts_gzip", "authorized", "parse"]

_TOKEN = frozenset(
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


class BadHead(Exception):  # noqa: N818 - it is an answer, not a fault
    """The head cannot be understood; it carries the status to answer with."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body.

    Attributes:
        path: of the target, without the query, not decoded.
        headers: lower-case names; repeated ones joined with ", ".
        keep_alive: the client lets the connection be used again.
        chunked_answers: the client understands Transfer-Encoding (HTTP/1.1).
        has_body: more bytes follow that are no request.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    keep_alive: bool = True
    chunked_answers: bool = True
    has_body: bool = False


def parse(head: bytes) -> Head:
    """The request whose head these bytes are, with the empty line that ends it.

    Raises:
        BadHead: it is none.
    """
    lines = head.split(b"\r\n")
    words = lines[0].split(b" ")
    if len(words) != 3 or not words[0] or not _TOKEN.issuperset(words[0]):
        raise BadHead(400)
    if words[2] not in {b"HTTP/1.1", b"HTTP/1.0"}:
        raise BadHead(505 if words[2].startswith(b"HTTP/") else 400)
    target = words[1]
    if target.lower().startswith((b"http://", b"https://")):
        # absolute-form, which every server must understand (RFC 9112, 3.2.2)
        _, slash, rest = target.partition(b"//")[2].partition(b"/")
        target = slash + rest
    if not target.startswith(b"/"):
        raise BadHead(400)
    headers: dict[str, str] = {}
    for line in lines[1:-2]:
        name, colon, value = line.partition(b":")
        if not colon or not name or not _TOKEN.issuperset(name):
            raise BadHead(400)
        key, text = name.decode().lower(), value.strip(b" \t").decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    modern = words[2] == b"HTTP/1.1"
    options = {one.strip().lower() for one in headers.get("connection", "").split(",")}
    return Head(
        method=words[0].decode(),
        path=target.partition(b"?")[0].decode("latin-1"),
        headers=headers,
        keep_alive="close" not in options and (modern or "keep-alive" in options),
        chunked_answers=modern,
        has_body="transfer-encoding" in headers or headers.get("content-length", "0") != "0",
    )


def accepts_gzip(head: Head) -> bool:
    """Whether the client takes a gzip body (RFC 9110, 12.5.3)."""
    for one in head.headers.get("accept-encoding", "").split(","):
        coding, _, quality = one.partition(";")
        if coding.strip().lower() in {"gzip", "*"}:
            return quality.replace(" ", "").lower() not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def authorized(head: Head, *, username: str, password: str) -> bool:
    """Whether the head has these credentials, in a time that does not tell how nearly."""
    scheme, _, encoded = head.headers.get("authorization", "").partition(" ")
    try:
        given = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        given = b""
    same = hmac.compare_digest(given, f"{username}:{password}".encode())
    return same and scheme.lower() == "basic"
