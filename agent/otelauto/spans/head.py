"""The start of an HTTP/1 request, as it was sent, taken apart.

Bytes in, values out: no I/O, no clocks. It never raises, whatever the bytes are; what cannot be
understood is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Head", "authority", "parse_head"]

#: Fields of a span itself; further headers are kept only if they are asked for.
_ALWAYS: Final = frozenset({"host", "user-agent", "tracestate"})
_PORT_MAX: Final = 65535
_PORT_DIGITS: Final = 5


@dataclass(frozen=True, slots=True)
class Head:
    """What a request says of itself.

    Attributes:
        method: as it was sent.
        path: of the target, without query; empty: the target is an authority (CONNECT).
        query: without the question mark; empty: none.
        authority: of the target, or the Host header; without user information.
        headers: values by lower-case name, of those that were asked for.
    """

    method: str = ""
    path: str = ""
    query: str = ""
    authority: str = ""
    headers: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def header(self, name: str) -> str:
        """The values of a header in one; empty: it was not there."""
        return ", ".join(self.headers.get(name, ()))


def parse_head(raw: bytes, *, cut: bool, wanted: Collection[str] = ()) -> Head:
    """Take a head apart.

    Args:
        raw: from the request line on.
        cut: the head goes on behind these bytes; a line that is not whole is left out then.
        wanted: lower-case names of headers to keep.
    """
    block, end, _ = raw.partition(b"\r\n\r\n")
    lines = block.split(b"\n")
    if cut and not end and len(lines) > 1:
        lines.pop()
    method, _, rest = _text(lines[0].rstrip(b"\r")).lstrip("\r").partition(" ")
    target, _, version = rest.rpartition(" ")
    if not version.startswith("HTTP/"):
        target = rest  # the request line itself is longer than what was kept
    headers = _headers(lines[1:], wanted)
    path, query, named = _target(target, is_connect=method == "CONNECT")
    host = headers.get("host", ("",))[0]
    return Head(method, path, query, _without_user(named or host), headers)


def authority(text: str) -> tuple[str, int]:
    """Host and port of an authority; 0: it names no port, or no valid one.

    An IPv6 address comes without its brackets.
    """
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        host, port = text, ""
    host = host.removeprefix("[").removesuffix("]")
    valid = port.isascii() and port.isdigit() and len(port) <= _PORT_DIGITS
    number = int(port) if valid else 0
    return host, number if number <= _PORT_MAX else 0


def _headers(lines: list[bytes], wanted: Collection[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            continue
        key = name.lower().decode("latin-1")
        if key in _ALWAYS or key in wanted:
            found[key] = (*found.get(key, ()), _text(value.strip(b" \t\r")))
    return found


def _target(target: str, *, is_connect: bool) -> tuple[str, str, str]:
    """Path, query and authority of a request target (RFC 9112, 3.2)."""
    if is_connect:
        return "", "", target
    named = ""
    if not target.startswith("/"):
        scheme, separator, rest = target.partition("://")
        if separator and scheme.isalnum():
            end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
            named, target = rest[:end], rest[end:]
            if not target.startswith("/"):
                target = "/" + target
    path, _, query = target.partition("#")[0].partition("?")
    return path, query, named


def _without_user(text: str) -> str:
    return text.rpartition("@")[2]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
